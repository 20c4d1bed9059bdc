"""Whether a ggml library does what we take it to do: numbers whose blocks are known, quantised once."""

from __future__ import annotations

import ctypes
import hashlib
from array import array
from collections.abc import Mapping
from types import MappingProxyType

import attrs

from dlm.adapters.ggml.libraries import GgmlLibrary
from dlm.domain.quantization import GGML_TYPE_IDS, GgmlType, row_bytes

KINDS: tuple[GgmlType, ...] = ("Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K")
"""Types we ask for."""

COLUMNS = 256
"""A whole number of blocks of every type."""


@attrs.frozen
class _Known:
    """256 numbers that a type holds exactly, so that every compiler and processor gives the same blocks.

    Number ``i`` is ``steps[i // 32 % 2] * (low + i % period * stride)``; ``sha256`` is that of their blocks.
    """

    steps: tuple[int, int]
    low: int
    period: int
    stride: int
    sha256: str

    def numbers(self) -> array[float]:
        low, period, stride = self.low, self.period, self.stride
        return array("f", (self.steps[i // 32 % 2] * (low + i % period * stride) for i in range(COLUMNS)))


_KNOWN: Mapping[GgmlType, _Known] = MappingProxyType(
    {
        "Q8_0": _Known((1, 1), -127, 32, 8, "3612f18e78286eea50154c239aedd4c4c06540def018bae334d4c7fb148c964a"),
        "Q5_0": _Known((1, 1), -16, 32, 1, "e91d9a30dc1d42813be5a1067ed8b2e338b71db0399aa6f06fc2b88672c936e8"),
        "Q5_1": _Known((1, 1), 0, 32, 1, "7643a3c76b037de32426b4227509d748694f2158bd56b7cbe9c68e9b758e8588"),
        "Q4_K": _Known((63, 21), -8, 16, 1, "a08d038c4871ae5028420b751f2a329410eb7b2731a3e6559c8fd8386da273eb"),
        "Q5_K": _Known((63, 21), -16, 32, 1, "2585ebd04411c4313cd4c09095dbf28932249636139938faec9efa074f597cab"),
        "Q6_K": _Known((128, 64), -32, 16, 4, "e87901fded8bafa808a026c50143f38b6f80dc44df499bfb6efb1a8d7071d035"),
    }
)


def known_numbers(kind: GgmlType) -> array[float]:
    """Give the 256 numbers that ``kind`` is tried with; its blocks hold them exactly."""
    return _KNOWN[kind].numbers()


def blocks(library: GgmlLibrary, kind: GgmlType, numbers: array[float]) -> bytes:
    """Quantise one row of 256 numbers."""
    source = (ctypes.c_float * COLUMNS).from_buffer(numbers)
    target = (ctypes.c_char * row_bytes(kind, COLUMNS))()
    addresses = ctypes.addressof(source), ctypes.addressof(target)
    library.prepare(GGML_TYPE_IDS[kind])
    library.quantize(GGML_TYPE_IDS[kind], *addresses, first=0, rows=1, columns=COLUMNS, importance=None)
    return target.raw


def fault(library: GgmlLibrary) -> str | None:
    """Say what the library does otherwise than we know it; None when nothing."""
    for kind, known in _KNOWN.items():
        if library.row_size(GGML_TYPE_IDS[kind], COLUMNS) != row_bytes(kind, COLUMNS):
            return f"its {kind} rows have another size"
        if hashlib.sha256(blocks(library, kind, known.numbers())).hexdigest() != known.sha256:
            return f"it writes other {kind} blocks than llama.cpp"
    return None
