"""How much memory training took."""

from __future__ import annotations


def peak_memory_mb(device: str) -> int | None:
    """Give the peak so far in MiB: of the device's allocator, or of this process on a CPU."""
    import torch

    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated() / 2**20)
    if device.startswith("mps"):
        return int(torch.mps.driver_allocated_memory() / 2**20)
    import psutil

    info = psutil.Process().memory_info()
    return int(getattr(info, "peak_wset", info.rss) / 2**20)
