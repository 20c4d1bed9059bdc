"""What a machine can do, as a value. Filled by a hardware probe; read by the planner."""

from __future__ import annotations

from typing import Any, Literal

import attrs

Backend = Literal["cuda", "rocm", "mps", "cpu"]
DeterminismClass = Literal["strong", "best-effort", "advisory"]


@attrs.frozen(kw_only=True)
class Device:
    """One visible accelerator; memory in GiB."""

    name: str
    total_gb: float
    free_gb: float
    sm: tuple[int, int] | None = None


@attrs.frozen(kw_only=True)
class Capabilities:
    """The machine, as probed without the network. Field names are those of ``doctor --json``.

    ``vram_gb`` is the free memory of device 0 in GiB; ``supports_bf16`` on a CPU means native bf16 instructions
    (AVX512-BF16, AMX or Arm BF16), emulated bf16 does not count. ``ram_gb`` and ``ram_free_gb`` respect the limit of a
    container; 0 means unknown. ``cpu_features`` names the instructions that matter: ``amx_bf16``, ``avx512_bf16``,
    ``arm_bf16``, ``avx512``, ``avx2``. ``mlx_missing`` says what MLX lacks here; empty when it is usable.
    """

    backend: Backend
    device_name: str
    sm: tuple[int, int] | None = None
    rocm_arch: str | None = None
    vram_gb: float | None = None
    unified_memory_gb: float | None = None
    cpu_cores: int = 1
    ram_gb: float = 0.0
    ram_free_gb: float = 0.0
    supports_bf16: bool = False
    supports_fp16: bool = False
    has_flash_attention: bool = False
    has_xformers: bool = False
    has_bitsandbytes: bool = False
    has_triton: bool = False
    has_mlx: bool = False
    torch_version: str | None = None
    accelerate_version: str | None = None
    cuda_version: str | None = None
    rocm_version: str | None = None
    driver_version: str | None = None
    platform: str = ""
    determinism_class: DeterminismClass = "advisory"
    devices: tuple[Device, ...] = ()
    cpu_features: tuple[str, ...] = ()
    mlx_missing: tuple[str, ...] = ()
    has_wandb: bool = False

    def to_json(self) -> dict[str, Any]:
        """Give the ``capabilities`` object of ``doctor --json``, telemetry left out."""
        return attrs.asdict(self, value_serializer=_plain)


def _plain(_: object, __: object, value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
