"""Numbers as GGUF stores them, for the types that need no native code: F32, F16, BF16, Q8_0."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dlm.adapters.gguf.container import Data
from dlm.adapters.gguf.planning import PlannedTensor
from dlm.domain.errors import ExportError
from dlm.domain.quantization import GgmlType

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float32]]

PLAIN_TYPES: frozenset[GgmlType] = frozenset({"F32", "F16", "BF16", "Q8_0"})
"""What ``encode_plain`` writes."""

_HALF_LIMIT = 65520.0
"""The smallest number that rounds to infinity in 16-bit floats, in which Q8_0 keeps its scales too."""

_LIMITS: Mapping[GgmlType, float] = MappingProxyType({"F32": math.inf, "BF16": math.inf, "Q8_0": 127 * _HALF_LIMIT})
"""The smallest number that cannot be stored, where it is not that of 16-bit floats."""

_BLOCK = 32
"""Numbers of a Q8_0 block: one 16-bit scale d, then a whole number q from -127 to 127 for each; the number is d·q."""

_JUST_BELOW_HALF = 0.49999997
"""The float32 before 1/2. Added before cutting off, it rounds as C's ``roundf`` does: halves away from 0, and what is
just below a half towards 0."""


def encode_plain(tensor: PlannedTensor, kind: GgmlType, values: Floats, *, matrix: int = 0) -> Data:
    """Give the bytes of rows.

    Args:
        values: ``(rows, columns)``, or ``(columns,)``; for Q8_0 columns are a multiple of 32.
        matrix: which of the tensor's matrices the rows belong to (the expert).

    Raises:
        ExportError: ``export.bad-weights``: a number that is none; ``export.half-overflow``: one too large for F16.
    """
    check_numbers(tensor, kind, values)
    if kind == "F32":
        return memoryview(values.astype("<f4", copy=False).tobytes())
    if kind == "F16":
        return _view(values.astype("<f2"))
    if kind == "BF16":
        return _view(_bfloat16(values))
    if kind == "Q8_0":
        return _view(_q8_0(values))
    raise ValueError(f"{kind} needs a quantiser")


def _bfloat16(values: Floats) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Round to the upper half of the bits, half to even."""
    import numpy as np

    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded = (bits >> np.uint32(16)) & np.uint32(1)
    rounded += bits
    rounded += np.uint32(0x7FFF)
    rounded >>= np.uint32(16)
    return rounded.astype("<u2")


def _q8_0(values: Floats) -> np.ndarray[Any, np.dtype[np.uint8]]:
    import numpy as np

    blocks = np.ascontiguousarray(values).reshape(-1, _BLOCK)
    # Turned over, so that the largest of each block is found along rows of neighbours: five times as fast.
    scales = np.ascontiguousarray(np.abs(blocks).T).max(axis=0) / np.float32(127)
    inverse = np.zeros_like(scales)
    np.divide(np.float32(1), scales, out=inverse, where=scales > np.finfo(np.float32).tiny)  # less is stored as 0
    scaled = blocks * inverse[:, None]
    scaled += np.copysign(np.float32(_JUST_BELOW_HALF), scaled)
    out = np.empty((len(blocks), 2 + _BLOCK), np.uint8)
    out[:, :2] = scales.astype("<f2").view(np.uint8).reshape(-1, 2)
    out[:, 2:].view(np.int8)[...] = scaled  # cutting off what is behind the point
    return out


def check_numbers(tensor: PlannedTensor, kind: GgmlType, values: Floats) -> None:
    """Look at the smallest and the largest number: both are finite only if all are.

    Raises:
        ExportError: as ``encode_plain``.
    """
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ExportError(
            "export.bad-weights",
            f"the tensor {tensor.name} holds a number that is infinite or none",
            hint="Fetch the base again, or train again with --fresh.",
        )
    if max(high, -low) >= _LIMITS.get(kind, _HALF_LIMIT):
        raise ExportError(
            "export.half-overflow",
            f"the tensor {tensor.name} holds {high if high > -low else low:.6g}, which is too large for {kind}",
            hint="Export with --quant BF16, which has the range of the base, or --quant Q8_0.",
        )


def _view(array: np.ndarray[Any, Any]) -> memoryview:
    return array.reshape(-1).view("u1").data
