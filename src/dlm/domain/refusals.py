"""What a machine cannot do, or should not: the refusals that come before any planning.

Two kinds. Impossible things are always refused. Impractical ones can be forced by somebody who knows better, with
``DLM_FORCE_PLAN=1``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import attrs

from dlm.domain.base_models import Modality
from dlm.domain.errors import HardwareError, UsageError
from dlm.domain.hardware import Backend, Capabilities
from dlm.domain.plan import Precision

FORCE_VARIABLE = "DLM_FORCE_PLAN"
FORCE_HINT = f"To try it all the same, set {FORCE_VARIABLE}=1."

_BACKEND_NAMES: Mapping[Backend, str] = MappingProxyType(
    {"cuda": "an NVIDIA GPU", "rocm": "an AMD GPU", "mps": "an Apple GPU", "cpu": "a CPU"}
)


def refuse_unsupported(
    capabilities: Capabilities,
    *,
    adapter: str,
    precision: Precision | None,
    optimizer: str,
    modality: Modality,
    world_size: int,
    force: bool,
) -> None:
    """Refuse what cannot run here, in a fixed order.

    Raises:
        HardwareError: with the value to write instead.
        UsageError: ``world_size`` is below 1.
    """
    if world_size < 1:
        raise UsageError("hardware.world-size", f"training needs at least 1 process, got {world_size}", subject="train")
    if world_size > 1 and capabilities.backend != "cpu":  # two CPU processes are slow but right
        refuse_multi_gpu(capabilities, world_size)
    if adapter == "qlora":
        _refuse_qlora(capabilities)
    _refuse_precision(capabilities, precision)
    _refuse_optimizer(capabilities, optimizer)
    if not force:
        _refuse_media(capabilities, modality)


def refuse_multi_gpu(capabilities: Capabilities, gpus: int) -> None:
    """Refuse training on several GPUs where that is not supported.

    Raises:
        HardwareError: not NVIDIA, fewer devices than asked for, or devices of different generations.
    """
    if gpus <= 1:
        return
    if capabilities.backend != "cuda":
        raise HardwareError(
            "hardware.multi-gpu",
            f"training with {gpus} processes needs NVIDIA GPUs; this machine trains on {_here(capabilities)}",
            hint="Leave --gpus out.",
        )
    devices = capabilities.devices[:gpus]
    families = sorted({f"{device.sm[0]}.{device.sm[1]}" for device in devices if device.sm})
    if len(families) > 1:
        raise HardwareError(
            "hardware.mixed-gpus",
            f"the GPUs are of different generations (compute capability {', '.join(families)}); "
            "the fast ones would wait for the slow ones and results would differ",
            hint="Name GPUs of one kind, such as --gpus 0,1.",
        )


def _refuse_qlora(capabilities: Capabilities) -> None:
    if capabilities.backend != "cuda":
        raise HardwareError(
            "hardware.qlora-needs-cuda",
            f"adapter: qlora needs an NVIDIA GPU; this machine trains on {_here(capabilities)}",
            hint="Set training.adapter: lora.",
        )
    if not capabilities.has_bitsandbytes:
        raise HardwareError(
            "hardware.qlora-needs-bitsandbytes",
            "adapter: qlora needs the package bitsandbytes, which is not installed",
            hint="Run: pip install 'dlm[cuda]', or set training.adapter: lora.",
        )


def _refuse_precision(capabilities: Capabilities, precision: Precision | None) -> None:
    if precision == "bf16" and not capabilities.supports_bf16:
        raise HardwareError(
            "hardware.no-bf16",
            f"precision: bf16 needs hardware that computes in bf16; {capabilities.device_name} does not",
            hint="Remove training.precision, and dlm chooses one that works here.",
        )
    if precision == "fp16" and capabilities.backend == "cpu":
        raise HardwareError(
            "hardware.no-fp16",
            "precision: fp16 does not train on a CPU: its range is too small without a GPU's loss scaling",
            hint="Remove training.precision, and dlm chooses one that works here.",
        )


def _refuse_optimizer(capabilities: Capabilities, optimizer: str) -> None:
    if "8bit" in optimizer and not (capabilities.backend == "cuda" and capabilities.has_bitsandbytes):
        raise HardwareError(
            "hardware.optimizer-needs-cuda",
            f"optimizer: {optimizer} needs an NVIDIA GPU and the package bitsandbytes",
            hint="Set training.optimizer: adamw_torch.",
        )


@attrs.frozen
class _MediaFloor:
    """Smallest memory in GiB on which a kind of base was seen to train."""

    gpu_gb: float
    unified_gb: float
    doing: str


_MEDIA_FLOORS: Mapping[Modality, _MediaFloor] = MappingProxyType(
    {
        "vision-language": _MediaFloor(12.0, 16.0, "sees pictures"),
        "audio-language": _MediaFloor(24.0, 32.0, "hears sound"),
    }
)
_ROUNDING = 0.93
"""A card sold with 12 GB reports 11.2 to 11.9 GiB."""


def _refuse_media(capabilities: Capabilities, modality: Modality) -> None:
    floor = _MEDIA_FLOORS.get(modality)
    if floor is None:
        return
    have = _memory_gb(capabilities)
    need = floor.unified_gb if capabilities.backend == "mps" else floor.gpu_gb
    if capabilities.backend != "cpu" and (have is None or have >= need * _ROUNDING):
        return
    found = "has no GPU" if capabilities.backend == "cpu" else f"has {have:.0f} GB"
    raise HardwareError(
        "hardware.media-needs-gpu",
        f"training a base that {floor.doing} takes a GPU with {floor.gpu_gb:.0f} GB, "
        f"or a Mac with {floor.unified_gb:.0f} GB; this machine {found}",
        hint=f"Choose a text base. {FORCE_HINT}",
    )


def _memory_gb(capabilities: Capabilities) -> float | None:
    if capabilities.backend == "mps":
        return capabilities.unified_memory_gb
    return capabilities.devices[0].total_gb if capabilities.devices else capabilities.vram_gb


@attrs.frozen(kw_only=True)
class NamedAdapter:
    """One adapter of a document with several."""

    name: str
    kind: str
    r: int


def refuse_adapter_set(capabilities: Capabilities, params: int, adapters: Sequence[NamedAdapter]) -> None:
    """Refuse several adapters whose qlora members do not fit on the GPU together.

    A rule of thumb, before the exact estimate of each: half a byte per weight for the 4-bit base, the adapters' states
    (at least 0.1 GB each, growing with rank), and as much again as the base for activations.

    Raises:
        HardwareError: naming the qlora adapters.
    """
    quantised = [adapter for adapter in adapters if adapter.kind == "qlora"]
    if not quantised:
        return
    _refuse_qlora(capabilities)
    if len(adapters) < 2 or capabilities.vram_gb is None:
        return
    billions = params / 1e9
    mean_rank = sum(adapter.r for adapter in quantised) / len(quantised)
    need = billions + len(quantised) * max(0.1, billions * mean_rank / 64)
    if need > 0.85 * capabilities.vram_gb:
        names = ", ".join(adapter.name for adapter in quantised)
        raise HardwareError(
            "hardware.adapters-do-not-fit",
            f"the qlora adapters {names} need about {need:.1f} GB together; "
            f"{0.85 * capabilities.vram_gb:.1f} GB of GPU memory can be used",
            hint="Lower lora_r, train fewer adapters, or choose a smaller base.",
        )


def _here(capabilities: Capabilities) -> str:
    return _BACKEND_NAMES[capabilities.backend]
