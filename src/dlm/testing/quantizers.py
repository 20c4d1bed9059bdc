"""Quantisers that need no native code."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from dlm.domain.errors import ExportError
from dlm.domain.quantization import GgmlType, QuantName, row_bytes


class RoundingQuantizer:
    """Keeps :class:`dlm.ports.quantizer.BlockQuantizer`'s promises for the types whose blocks are plain rounding.

    Args:
        missing: what to say is missing; None to work.
    """

    name = "rounding"

    def __init__(self, missing: str | None = None) -> None:
        self._missing = missing

    def missing(self) -> str | None:
        return self._missing

    def types(self) -> frozenset[GgmlType]:
        return frozenset() if self._missing else frozenset({"Q8_0", "Q5_0", "Q5_1"})

    def quantize(
        self, rows: memoryview, *, columns: int, kind: GgmlType, importance: memoryview | None = None
    ) -> memoryview:
        import gguf
        import numpy as np

        if kind not in self.types():
            raise ValueError(f"{kind} is not written here")
        numbers = np.frombuffer(rows, np.float32)
        row_bytes(kind, columns)
        if not len(numbers) or len(numbers) % columns:
            raise ValueError(f"{len(numbers)} numbers are no whole rows of {columns}")
        _check(numbers, "export.bad-weights")
        if importance is not None:
            weights = np.frombuffer(importance, np.float32)
            if len(weights) != columns:
                raise ValueError(f"importance of {len(weights)} columns for rows of {columns}")
            _check(weights, "export.bad-importance", lowest=0.0)
        blocks: Any = gguf.quants.quantize(numbers.reshape(-1, columns), gguf.GGMLQuantizationType[kind])
        return memoryview(blocks.tobytes())


class CopyingFileQuantizer:
    """Keeps :class:`dlm.ports.quantizer.FileQuantizer`'s promises by copying, and lists what it was asked for.

    Args:
        missing: what to say is missing; None to work.
        fails: what the program says as it fails; None to work.
    """

    name = "copying"

    def __init__(self, missing: str | None = None, fails: str | None = None) -> None:
        self._missing = missing
        self._fails = fails
        self.asked: list[tuple[QuantName, Path | None]] = []

    def missing(self) -> str | None:
        return self._missing

    def quantize_file(self, source: Path, into: Path, *, quant: QuantName, importance: Path | None) -> None:
        self.asked.append((quant, importance))
        if self._missing or self._fails or source.read_bytes()[:4] != b"GGUF":
            code = "export.no-quantizer" if self._missing else "export.quantizer-failed"
            raise ExportError(code, f"nothing was quantised: {self._missing or self._fails or 'not a GGUF file'}")
        shutil.copyfile(source, into)


def _check(numbers: Any, code: str, *, lowest: float = -32752.0) -> None:
    if not (numbers.min() >= lowest and numbers.max() <= 32752.0):
        raise ExportError(code, f"numbers from {numbers.min()} to {numbers.max()}")
