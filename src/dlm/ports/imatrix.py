"""Measuring which inputs of each layer matter."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from dlm.domain.base_models import ResolvedBase
from dlm.domain.events import Emit


class ImatrixPort(Protocol):
    """Collects an importance matrix: for each linear layer the mean square of each input column over text.

    Raises ``ExportError`` and ``HardwareError``.
    """

    def collect(
        self, base: ResolvedBase, texts: Iterable[str], into: Path, *, chunks: int, chunk_size: int, emit: Emit
    ) -> int:
        """Write the matrix as llama.cpp's GGUF form, atomically, from at most ``chunks`` pieces of ``chunk_size``
        tokens; gives how many pieces the text had. Fewer than two write nothing."""
        ...
