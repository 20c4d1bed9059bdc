"""Blocks of quantised numbers, written by ggml."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from dlm.adapters.ggml.libraries import LLAMA_CPP_PYTHON, XLLAMACPP, GgmlLibrary, GgmlPackage
from dlm.adapters.ggml.probe import KINDS, fault
from dlm.domain.errors import ExportError
from dlm.domain.quantization import GGML_TYPE_IDS, GgmlType, row_bytes

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float32]]

LARGEST = 32752.0
"""Largest number that is quantised: half of the largest 16-bit float. Every block keeps its scale and lowest number in
such floats, and ggml's search for the best ones goes a little beyond the numbers themselves. Weights of a model that
works are below 100."""

PIECE = 65536
"""Numbers that a thread takes at a time: some milliseconds of work, so that all threads end together."""


class GgmlQuantizer:
    """Quantises with the ggml of an installed package. Implements ``BlockQuantizer``; threads may share it.

    Args:
        packages: where to look, the best first; the first whose ggml does what it should is used.
        threads: how many work on one tensor; None for one per core.
    """

    def __init__(
        self, packages: Sequence[GgmlPackage] = (XLLAMACPP, LLAMA_CPP_PYTHON), *, threads: int | None = None
    ) -> None:
        self._packages = tuple(packages)
        self._threads = threads or _cores()

    @property
    def name(self) -> str:
        """Name the package in use, for people; the first one when none is."""
        return self._found.package

    def missing(self) -> str | None:
        """Say why nothing can be quantised here; None when it can."""
        return self._found.why

    def types(self) -> frozenset[GgmlType]:
        """Give what can be written."""
        return frozenset(KINDS) if self.missing() is None else frozenset()

    def quantize(
        self, rows: memoryview, *, columns: int, kind: GgmlType, importance: memoryview | None = None
    ) -> memoryview:
        """Give the blocks of whole rows, one after another.

        Raises:
            ExportError: numbers that are none or far too large; no ggml here.
            ValueError: a type it does not write, rows that are not whole, importance of another length.
        """
        import numpy as np

        library = self._library()
        row_size = row_bytes(_checked(kind), columns)
        numbers = _numbers(rows, columns)
        weights = None if importance is None else _weights(importance, columns)
        blocks = np.empty(len(numbers) // columns * row_size, np.uint8)
        self._fill(library, kind, numbers, blocks, columns, weights)
        return blocks.data

    def _fill(
        self, library: GgmlLibrary, kind: GgmlType, numbers: Floats, blocks: Any, columns: int, weights: Floats | None
    ) -> None:
        """Write all blocks, pieces of rows side by side."""
        source, target = numbers.ctypes.data, blocks.ctypes.data
        importance = None if weights is None else weights.ctypes.data
        total, step = len(numbers) // columns, max(1, PIECE // columns)
        library.prepare(GGML_TYPE_IDS[kind])

        def piece(first: int) -> None:
            rows = min(step, total - first)
            library.quantize(
                GGML_TYPE_IDS[kind], source, target, first=first, rows=rows, columns=columns, importance=importance
            )

        starts = range(0, total, step)
        if self._threads == 1 or len(starts) == 1:
            for first in starts:
                piece(first)
            return
        with ThreadPoolExecutor(min(self._threads, len(starts))) as pool:
            for _ in pool.map(piece, starts):
                pass  # an exception of a piece is raised here

    def _library(self) -> GgmlLibrary:
        if self._found.library is None:
            raise ExportError(
                "export.no-quantizer",
                f"nothing here can quantise: {self._found.why}",
                hint="Choose --quant Q8_0 or F16, which need nothing else.",
            )
        return self._found.library

    @cached_property
    def _found(self) -> _Search:
        reasons = []
        for package in self._packages:
            library, why = _opened(package)
            if library is not None:
                return _Search(library, package.name, None)
            reasons.append(why)
        return _Search(None, self._packages[0].name, "; ".join(reasons))


class _Search(NamedTuple):
    """A library that works, or why there is none."""

    library: GgmlLibrary | None
    package: str
    why: str | None


def _opened(package: GgmlPackage) -> tuple[GgmlLibrary | None, str]:
    """Give the first library of a package that passes the probe, else why none does."""
    why = f"the package {package.name} is not installed ({package.remedy})"
    for path in package.files():
        try:
            library = GgmlLibrary(path)
        except (OSError, AttributeError) as exc:
            why = f"the ggml in {package.name} cannot be used: {exc}"
            continue
        wrong = fault(library)
        if wrong is None:
            return library, ""
        why = f"the ggml in {package.name} cannot be used: {wrong}"
    return None, why


def _checked(kind: GgmlType) -> GgmlType:
    if kind not in KINDS:
        raise ValueError(f"ggml is asked for {', '.join(KINDS)} here, not {kind}")
    return kind


def _numbers(rows: memoryview, columns: int) -> Floats:
    """Give the numbers as one array without copying, checked: ggml ends the whole program over what it cannot store."""
    import numpy as np

    numbers = np.frombuffer(rows, np.float32)
    if not len(numbers) or len(numbers) % columns:
        raise ValueError(f"{len(numbers)} numbers are no whole rows of {columns}")
    low, high = float(numbers.min()), float(numbers.max())  # either is NaN when one number is
    if not (low >= -LARGEST and high <= LARGEST):
        raise ExportError(
            "export.bad-weights",
            f"a tensor has numbers from {low:g} to {high:g}, which cannot be weights",
            hint="The base or the adapter is damaged; fetch the base again, or train again with --fresh.",
        )
    return numbers


def _weights(importance: memoryview, columns: int) -> Floats:
    import numpy as np

    weights = np.frombuffer(importance, np.float32)
    if len(weights) != columns:
        raise ValueError(f"importance of {len(weights)} columns for rows of {columns}")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ExportError(
            "export.bad-importance",
            "the importance matrix has numbers below zero, or that are none",
            hint="Delete the folder cache/imatrix in dlm's home, or export with --no-imatrix.",
        )
    largest = float(weights.max(initial=0.0))
    # Only their ratios count; by a power of two they stay exact. ggml adds up products with squared numbers in float32.
    return weights if largest < _LARGEST_IMPORTANCE else weights * np.float32(2.0 ** -math.frexp(largest)[1])


_LARGEST_IMPORTANCE = 1e12
"""Times the square of the largest number, times a row's columns, it stays within float32."""


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)
