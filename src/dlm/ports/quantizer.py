"""Turning numbers into the blocks of quantised GGUF tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from dlm.domain.quantization import GgmlType, QuantName


class BlockQuantizer(Protocol):
    """Quantises rows of one tensor.

    ``missing`` says what is not there to do it, in words for the person; None when it works here. ``types`` is what it
    can write then.
    """

    @property
    def name(self) -> str: ...

    def missing(self) -> str | None: ...

    def types(self) -> frozenset[GgmlType]: ...

    def quantize(
        self, rows: memoryview, *, columns: int, kind: GgmlType, importance: memoryview | None = None
    ) -> memoryview:
        """Give the blocks of whole rows, one after another.

        Args:
            rows: float32 numbers, row after row; their count is a multiple of ``columns``.
            columns: numbers in a row, a multiple of the kind's block.
            importance: one float32 weight per column; None treats all alike.
        """
        ...


class FileQuantizer(Protocol):
    """Quantises a whole GGUF file by a program of its own. ``missing`` as above.

    Raises ``ExportError`` with the end of what the program said when it fails.
    """

    @property
    def name(self) -> str: ...

    def missing(self) -> str | None: ...

    def quantize_file(self, source: Path, into: Path, *, quant: QuantName, importance: Path | None) -> None:
        """Write ``into`` from a 16-bit file."""
        ...
