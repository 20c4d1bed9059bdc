"""The fast LoRA layer computes what PEFT's computes."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

import tiny
from dlm.adapters.torch.fast_lora import use_fast_lora
from dlm.domain.base_models import ResolvedBase


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> ResolvedBase:
    return tiny.tiny_base(tmp_path_factory.mktemp("tiny"))


def _adapted(base: ResolvedBase, dtype: torch.dtype, **options: Any) -> Any:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"], **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base.folder, dtype=dtype), config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    return model


def _loss_and_gradients(model: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    ids = torch.arange(5, 25).reshape(2, 10)
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_loss_and_gradients_are_those_of_peft(base: ResolvedBase, dtype: torch.dtype, tolerance: float) -> None:
    """bf16 has 8 bits of mantissa; sums of a few hundred products agree to about a hundredth."""
    peft, fast = _adapted(base, dtype), _adapted(base, dtype)
    assert use_fast_lora(fast) == 4
    (loss, wanted), (same_loss, gradients) = _loss_and_gradients(peft), _loss_and_gradients(fast)
    torch.testing.assert_close(same_loss, loss, rtol=tolerance, atol=tolerance)
    for name, gradient in wanted.items():
        assert gradients[name].dtype == torch.float32
        error = (gradients[name] - gradient).norm() / gradient.norm()
        assert float(error) < tolerance, name


def test_a_disabled_adapter_is_the_bare_base(base: ResolvedBase) -> None:
    model = _adapted(base, torch.float32)
    ids = torch.arange(5, 15)[None]
    with torch.no_grad(), model.disable_adapter():
        wanted = model(ids).logits
    use_fast_lora(model)
    with torch.no_grad(), model.disable_adapter():
        torch.testing.assert_close(model(ids).logits, wanted)


@pytest.mark.parametrize("options", [{"lora_dropout": 0.1}, {"use_dora": True}])
def test_layers_it_cannot_do_are_left_alone(base: ResolvedBase, options: dict[str, Any]) -> None:
    assert use_fast_lora(_adapted(base, torch.float32, **options)) == 0
