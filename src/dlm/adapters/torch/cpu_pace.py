"""Settings of the process that a training on a CPU needs to be quick.

**Freed memory is kept for the next step.** glibc gives freed memory back to the system and gets it again, page by page,
in the next step: on a virtual machine each page costs about 2 µs, and a step of 512 tokens touches 140,000 of them.

**Numbers next to zero are zero.** The probability of most tokens is below 1e-38, where fp32 has only denormal numbers;
a processor takes a hundred times as long for them.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 2**31 - 1
_LARGE_BYTES = 32 * 2**20
"""glibc's own upper limit: larger blocks always come from the system and go back to it."""
_DEFAULT_BYTES = 128 * 2**10
"""Both thresholds at the start of a process."""


@contextmanager
def quick_cpu(device: str) -> Iterator[None]:
    """Set both for the length of a ``with`` block, if the device is a CPU."""
    import torch

    if device != "cpu":
        yield
        return
    torch.set_flush_denormal(True)
    try:
        with _kept_heap():
            yield
    finally:
        torch.set_flush_denormal(False)


def give_back_holes(device: str) -> None:
    """Give memory between living blocks back to the system. Steps of changing sizes leave such holes, 10 MB a step at
    first; filling them anew costs one step a tenth of a second, so this is for now and then."""
    libc = _glibc() if device == "cpu" else None
    if libc is not None:
        libc.malloc_trim(0)


@contextmanager
def _kept_heap() -> Iterator[None]:
    """Keep freed memory; on Linux with glibc, else nothing changes."""
    libc = _glibc()
    if libc is None:
        yield
        return
    libc.mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
    libc.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
    try:
        yield
    finally:
        libc.mallopt(_TRIM_THRESHOLD, _DEFAULT_BYTES)
        libc.mallopt(_MMAP_THRESHOLD, _DEFAULT_BYTES)
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
