"""The probe: host, accelerator and packages put together."""

from __future__ import annotations

import platform

from dlm.adapters.hardware import host
from dlm.adapters.hardware.accelerators import Accelerator, find_accelerator
from dlm.adapters.hardware.packages import findable, missing_for_mlx, version
from dlm.domain.hardware import Backend, Capabilities, DeterminismClass

_GIB = 2**30
_DETERMINISM: dict[Backend, DeterminismClass] = {
    "cuda": "strong",
    "mps": "best-effort",
    "rocm": "best-effort",
    "cpu": "advisory",
}


class TorchHardwareProbe:
    """Looks at this machine. Implements ``HardwareProbe``.

    Torch is imported only when its build could see a GPU, so that on a CPU build the probe takes milliseconds.
    """

    def probe(self) -> Capabilities:
        """Give what this machine can do now; free memory changes from call to call."""
        torch_version = version("torch")
        gpu = find_accelerator(torch_version)
        memory = host.memory()
        features = host.cpu_features() or _features_elsewhere()
        return Capabilities(
            backend=gpu.backend,
            device_name=gpu.name or f"CPU ({host.processor_name()})",
            sm=gpu.sm,
            rocm_arch=gpu.rocm_arch,
            vram_gb=gpu.free_gb,
            unified_memory_gb=memory.total / _GIB if gpu.backend == "mps" else None,
            cpu_cores=host.cores(),
            ram_gb=memory.total / _GIB,
            ram_free_gb=memory.free / _GIB,
            supports_bf16=_supports_bf16(gpu, features),
            supports_fp16=gpu.backend != "cpu",
            has_flash_attention=gpu.is_modern and findable("flash_attn"),
            has_xformers=findable("xformers"),
            has_triton=findable("triton"),
            has_bitsandbytes=gpu.backend == "cuda" and findable("bitsandbytes"),
            has_mlx=gpu.backend == "mps" and not _mlx_lacks(gpu),
            mlx_missing=_mlx_lacks(gpu),
            has_wandb=findable("wandb"),
            torch_version=torch_version,
            accelerate_version=version("accelerate"),
            cuda_version=gpu.cuda_version,
            rocm_version=gpu.rocm_version,
            driver_version=gpu.driver_version,
            platform=f"{platform.system()} {platform.release()}",
            determinism_class=_DETERMINISM[gpu.backend],
            devices=gpu.devices,
            cpu_features=features,
        )


def _features_elsewhere() -> tuple[str, ...]:
    return host.torch_features() if platform.system() == "Windows" else ()


def _supports_bf16(gpu: Accelerator, features: tuple[str, ...]) -> bool:
    if gpu.backend == "cpu":
        return bool(host.NATIVE_BF16.intersection(features))
    return gpu.is_modern


def _mlx_lacks(gpu: Accelerator) -> tuple[str, ...]:
    missing = missing_for_mlx(platform.system(), platform.machine())
    return missing or (() if gpu.backend == "mps" else ("a working Metal GPU",))
