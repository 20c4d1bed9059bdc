"""The inference plan by machine and adapter."""

from __future__ import annotations

import attrs
import pytest

from dlm.domain.errors import UsageError
from dlm.domain.hardware import Capabilities
from dlm.domain.inference_plan import resolve_inference_plan
from dlm.testing.hardware import LAPTOP, MAC, SERVER, nvidia

AMD = attrs.evolve(nvidia(bitsandbytes=False), backend="rocm", rocm_arch="gfx1100", sm=None)
OLD_AMD = attrs.evolve(AMD, supports_bf16=False)


@pytest.mark.parametrize(
    ("machine", "qlora", "precision", "dequantize", "in_4bit", "device"),
    [
        (nvidia(), True, "bf16", False, True, "cuda"),
        (nvidia(sm=(7, 5)), True, "fp16", False, True, "cuda"),
        (nvidia(bitsandbytes=False), True, "fp16", True, False, "cuda"),
        (nvidia(), False, "bf16", False, False, "cuda"),
        (nvidia(sm=(7, 5)), False, "fp16", False, False, "cuda"),
        (MAC, True, "fp16", True, False, "mps"),
        (MAC, False, "fp16", False, False, "mps"),
        (SERVER, True, "bf16", True, False, "cpu"),
        (SERVER, False, "bf16", False, False, "cpu"),
        (LAPTOP, False, "fp32", False, False, "cpu"),
        (AMD, False, "bf16", False, False, "cuda"),
        (OLD_AMD, True, "fp16", True, False, "cuda"),
    ],
)
def test_how_a_base_is_loaded(
    machine: Capabilities, qlora: bool, precision: str, dequantize: bool, in_4bit: bool, device: str
) -> None:
    plan = resolve_inference_plan(machine, backend="pytorch", trained_with_qlora=qlora)
    assert (plan.precision.value, plan.dequantize_on_load.value, plan.load_in_4bit, plan.device) == (
        precision,
        dequantize,
        in_4bit,
        device,
    )


def test_auto_takes_mlx_where_it_runs() -> None:
    assert resolve_inference_plan(MAC).backend.value == "mlx"
    assert resolve_inference_plan(LAPTOP).backend.value == "pytorch"
    assert resolve_inference_plan(MAC, trained_with_qlora=True).load_in_4bit is False


@pytest.mark.parametrize("modality", ["vision-language", "audio-language"])
def test_media_bases_use_pytorch_whatever_was_asked(modality: str) -> None:
    plan = resolve_inference_plan(LAPTOP, backend="mlx", modality=modality)  # type: ignore[arg-type]  # parametrised
    assert plan.backend.value == "pytorch"


def test_mlx_elsewhere_names_the_missing_piece() -> None:
    with pytest.raises(UsageError) as caught:
        resolve_inference_plan(LAPTOP, backend="mlx")
    assert caught.value.exit_code == 2
    assert "a Mac with Apple silicon and the package mlx" in caught.value.message
    half = attrs.evolve(MAC, has_mlx=False, mlx_missing=("the package mlx_lm",))
    with pytest.raises(UsageError, match=r"needs the package mlx_lm$"):
        resolve_inference_plan(half, backend="mlx")


def test_flash_attention_where_present() -> None:
    fast = attrs.evolve(nvidia(), has_flash_attention=True)
    assert resolve_inference_plan(fast).attn_implementation.value == "flash_attention_2"
    assert resolve_inference_plan(MAC, backend="pytorch").attn_implementation.value == "sdpa"
