"""GPUs as torch sees them. Importing torch takes seconds, so a build that has no GPU support is not asked."""

from __future__ import annotations

import re
import subprocess
import warnings
from pathlib import Path
from typing import Any

import attrs

from dlm.domain.hardware import Backend, Device

_GIB = 2**30

FAULTS = (ImportError, OSError, RuntimeError, AssertionError, AttributeError, ValueError)
"""What a torch without a working driver raises from its queries."""

ROCM_BF16 = frozenset({"gfx90a", "gfx942", "gfx1100", "gfx1101", "gfx1102", "gfx1200", "gfx1201"})
"""AMD architectures with bf16 matrix instructions (CDNA 2 and 3, RDNA 3 and 4)."""


@attrs.frozen(kw_only=True)
class Accelerator:
    """The device that training would use."""

    backend: Backend = "cpu"
    name: str | None = None
    sm: tuple[int, int] | None = None
    rocm_arch: str | None = None
    free_gb: float | None = None
    cuda_version: str | None = None
    rocm_version: str | None = None
    driver_version: str | None = None
    devices: tuple[Device, ...] = ()

    @property
    def is_modern(self) -> bool:
        """Tell whether it computes in bf16: compute capability 8.0, or one of the AMD architectures."""
        if self.backend == "cuda":
            return self.sm is not None and self.sm >= (8, 0)
        return self.backend == "rocm" and self.rocm_arch in ROCM_BF16


def find_accelerator(torch_version: str | None) -> Accelerator:
    """Give the accelerator, or a CPU. Never raises; what a broken driver does not tell is None."""
    if torch_version is None or torch_version.endswith("+cpu"):
        return Accelerator()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a missing driver warns; the answer "cpu" says the same
            import torch

            return _of(torch)
    except FAULTS:
        return Accelerator()


def _of(torch: Any) -> Accelerator:
    if torch.cuda.is_available():
        return _gpu(torch)
    if torch.backends.mps.is_available() and torch.backends.mps.is_built():
        return Accelerator(backend="mps", name="Apple Silicon (MPS)")
    return Accelerator()


def _gpu(torch: Any) -> Accelerator:
    devices = tuple(_device(torch, index) for index in range(torch.cuda.device_count()))
    first = devices[0] if devices else None
    hip = getattr(torch.version, "hip", None)
    return Accelerator(
        backend="rocm" if hip else "cuda",
        name=first.name if first else None,
        sm=first.sm if first else None,
        rocm_arch=_rocm_arch(torch) if hip else None,
        free_gb=first.free_gb if first else None,
        cuda_version=None if hip else torch.version.cuda,
        rocm_version=hip,
        driver_version=_amd_driver() if hip else _nvidia_driver(),
        devices=devices,
    )


def _device(torch: Any, index: int) -> Device:
    properties = torch.cuda.get_device_properties(index)
    try:
        free, total = torch.cuda.mem_get_info(index)
    except FAULTS:
        free = total = properties.total_memory
    return Device(
        name=str(properties.name), total_gb=total / _GIB, free_gb=free / _GIB, sm=(properties.major, properties.minor)
    )


def _rocm_arch(torch: Any) -> str | None:
    name = getattr(torch.cuda.get_device_properties(0), "gcnArchName", "")
    return name.split(":", 1)[0] or None


def _nvidia_driver(proc: Path = Path("/proc")) -> str | None:
    """Linux has a file; elsewhere the driver's own tool is asked."""
    try:
        found = re.search(r"\b\d{3}\.\d+(?:\.\d+)?\b", (proc / "driver/nvidia/version").read_text(encoding="utf-8"))
    except OSError:
        return _nvidia_smi()
    return found.group() if found else None


def _nvidia_smi() -> str | None:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return (done.stdout.splitlines() or [""])[0].strip() or None


def _amd_driver(module: Path = Path("/sys/module/amdgpu/version")) -> str | None:
    try:
        return module.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None
