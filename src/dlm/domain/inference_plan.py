"""The inference plan: how a model is loaded for asking it things."""

from __future__ import annotations

from typing import Literal

from dlm.domain.base_models import Modality
from dlm.domain.choice import Choice
from dlm.domain.errors import UsageError
from dlm.domain.hardware import Capabilities
from dlm.domain.inference import InferencePlan
from dlm.domain.plan import Attention, Precision
from dlm.domain.planning import device_of

BackendRequest = Literal["auto", "pytorch", "mlx"]


def resolve_inference_plan(
    capabilities: Capabilities,
    *,
    backend: BackendRequest = "auto",
    trained_with_qlora: bool = False,
    modality: Modality = "text",
) -> InferencePlan:
    """Decide how to load a base and its adapter.

    Only an adapter trained with QLoRA gets its base in 4 bits, and only where that is possible; elsewhere the base is
    loaded whole. Bases that see or hear always use PyTorch.

    Raises:
        UsageError: MLX was asked for and cannot run here; the message names what is missing.
    """
    engine = _engine(capabilities, backend, modality)
    in_4bit = trained_with_qlora and engine.value == "pytorch" and _has_4bit(capabilities)
    return InferencePlan(
        backend=engine,
        precision=_precision(capabilities, engine.value, trained_with_qlora and not in_4bit),
        dequantize_on_load=_dequantize(trained_with_qlora, in_4bit),
        attn_implementation=_attention(capabilities),
        load_in_4bit=in_4bit,
        device=device_of(capabilities),
    )


def _engine(capabilities: Capabilities, wanted: BackendRequest, modality: Modality) -> Choice[str]:
    if modality in ("vision-language", "audio-language"):
        return Choice("pytorch", "bases that see or hear always use PyTorch")
    if wanted == "pytorch":
        return Choice("pytorch", "asked for")
    if capabilities.has_mlx:
        return Choice("mlx", "asked for" if wanted == "mlx" else "MLX is installed and the fastest on Apple hardware")
    missing = " and ".join(capabilities.mlx_missing) or "the packages mlx and mlx_lm on a Mac with Apple silicon"
    if wanted == "mlx":
        raise UsageError(
            "prompt.mlx-unavailable",
            f"the MLX backend cannot run here: it needs {missing}",
            subject="prompt",
            hint="Use --backend pytorch, or on a Mac with Apple silicon run: pip install 'dlm[mlx]'.",
        )
    return Choice("pytorch", "MLX is not usable on this machine")


def _has_4bit(capabilities: Capabilities) -> bool:
    return capabilities.backend == "cuda" and capabilities.has_bitsandbytes


def _precision(capabilities: Capabilities, engine: str, whole_qlora: bool) -> Choice[Precision]:
    if engine == "mlx":
        return Choice("fp16", "what MLX runs fastest")
    if capabilities.backend == "cpu":
        if capabilities.supports_bf16:
            return Choice("bf16", "this CPU computes in bf16 itself")
        return Choice("fp32", "this CPU has no fast 16-bit arithmetic")
    if capabilities.backend == "mps":
        return Choice("fp16", "half the memory of fp32, and Apple GPUs are fast in it")
    if whole_qlora and capabilities.backend == "cuda":
        return Choice("fp16", "the adapter was trained on a 4-bit base, here loaded in 16 bits without bitsandbytes")
    if capabilities.supports_bf16:
        return Choice("bf16", "this GPU supports it")
    return Choice("fp16", "this GPU does not support bf16")


def _dequantize(trained_with_qlora: bool, in_4bit: bool) -> Choice[bool]:
    if not trained_with_qlora:
        return Choice(False, "the adapter was trained on an unquantised base")
    if in_4bit:
        return Choice(False, "the base is loaded in 4 bits, as in training")
    return Choice(True, "4 bits need an NVIDIA GPU and bitsandbytes, so the base is loaded whole")


def _attention(capabilities: Capabilities) -> Choice[Attention]:
    if capabilities.has_flash_attention:
        return Choice("flash_attention_2", "the flash-attn package is installed and this GPU can use it")
    return Choice("sdpa", "torch's built-in fused attention")
