"""The fused decoder layer computes what transformers and PEFT compute."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
import transformers

from dlm.adapters.torch.chat import Encoded
from dlm.adapters.torch.fused_layers import fused_layers
from dlm.adapters.torch.loss import packed_hidden_states
from dlm.adapters.torch.packing import pack
from dlm.adapters.torch.rms_norm import rms_norm, rms_norm_backward
from dlm.adapters.torch.short_attention import register

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PACK = pack(
    [
        Encoded((3, *range(10, 30), *range(40, 49)), (False,) * 23 + (True,) * 7),
        Encoded((3, *range(10, 30), *range(60, 75)), (False,) * 23 + (True,) * 13),
        Encoded((4, *range(80, 95)), (False,) + (True,) * 15),
    ]
)


def _adapted(name: str = "Llama", dtype: torch.dtype = torch.float32, **options: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    config = getattr(transformers, f"{name}Config")(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=320, initializer_range=0.2, pad_token_id=2, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    lora = LoraConfig(**{"r": 4, "lora_alpha": 12, "target_modules": ALL, **options})
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.manual_seed(1)
        model = getattr(transformers, f"{name}ForCausalLM")._from_config(config, attn_implementation=register())
        for norm in (module for key, module in model.named_modules() if key.endswith("norm")):
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        adapted = get_peft_model(model.to(dtype).requires_grad_(False), lora)
        for key, parameter in adapted.named_parameters():
            if "lora_B" in key:
                torch.nn.init.normal_(parameter, std=0.1)
    return adapted.train()


def _result(adapted: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    adapted.zero_grad()
    hidden = packed_hidden_states(adapted.get_base_model(), PACK)
    (hidden.float() * torch.linspace(-1, 1, hidden.numel()).view(hidden.shape)).sum().backward()
    return hidden.detach().float(), {n: p.grad.clone() for n, p in adapted.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 8e-2)])
@pytest.mark.parametrize("targets", [ALL, ["q_proj", "v_proj"], ["k_proj", "down_proj", "up_proj"]])
@pytest.mark.parametrize("name", ["Llama", "Mistral", "Qwen2"])
def test_states_and_gradients_are_those_of_peft(
    name: str, targets: list[str], dtype: torch.dtype, tolerance: float
) -> None:
    """bf16 has 8 bits of mantissa; after two layers of sums of some dozen products some hundredths are left."""
    adapted = _adapted(name, dtype, target_modules=targets)
    hidden, wanted = _result(adapted)
    with fused_layers(adapted, "cpu") as count:
        assert count == 2
        same, gradients = _result(adapted)
    assert float((same - hidden).norm() / hidden.norm()) < tolerance
    assert gradients.keys() == wanted.keys()
    for key, gradient in wanted.items():
        assert gradients[key].dtype == torch.float32
        assert float((gradients[key] - gradient).norm() / gradient.norm()) < tolerance, key


def test_changed_parameters_are_seen_at_the_next_pass() -> None:
    adapted = _adapted()
    with fused_layers(adapted, "cpu"):
        _result(adapted)
        for key, parameter in adapted.named_parameters():
            if "lora_" in key:
                parameter.data.mul_(1.5)  # not even torch's own version counter sees this
        fused, _ = _result(adapted)
    torch.testing.assert_close(fused, _result(adapted)[0], rtol=1e-4, atol=1e-4)


def test_everything_is_given_back() -> None:
    adapted = _adapted()
    before = {name: parameter.clone() for name, parameter in adapted.named_parameters()}
    with fused_layers(adapted, "cpu"):
        _result(adapted)
    layers = adapted.get_base_model().model.layers
    assert all("forward" not in vars(layer) for layer in layers)
    after = dict(adapted.named_parameters())
    assert all(torch.equal(before[name], after[name]) for name in before)
    weights = [p for name, p in after.items() if "base_layer.weight" in name]
    assert all(p.untyped_storage().nbytes() == p.numel() * p.element_size() for p in weights)


def test_the_bare_base_shines_through_when_the_adapter_is_off() -> None:
    adapted = _adapted()
    with torch.no_grad(), adapted.disable_adapter():
        wanted = packed_hidden_states(adapted.get_base_model(), PACK)
        with fused_layers(adapted, "cpu"):
            torch.testing.assert_close(packed_hidden_states(adapted.get_base_model(), PACK), wanted)


@pytest.mark.parametrize("options", [{"lora_dropout": 0.1}, {"use_dora": True}, {"rank_pattern": {"up_proj": 2}}])
def test_layers_it_cannot_do_are_left_alone(options: dict[str, Any]) -> None:
    with fused_layers(_adapted(**options), "cpu") as count:
        assert count == 0


def test_other_families_and_devices_are_left_alone() -> None:
    with fused_layers(_adapted("Qwen3"), "cpu") as count:
        assert count == 0
    with fused_layers(_adapted(), "cuda") as count:
        assert count == 0


def test_the_norm_is_that_of_torch() -> None:
    draw = torch.Generator().manual_seed(2)
    x, dn, residual = (torch.randn(100, 24, generator=draw) for _ in range(3))
    weight = torch.rand(24, generator=draw)
    leaf = x.clone().requires_grad_(True)
    wanted = torch.nn.functional.rms_norm(leaf, (24,), weight, 1e-5)
    n = torch.empty_like(x)
    scale = rms_norm(x, weight, 1e-5, n)
    torch.testing.assert_close(n, wanted.detach())
    (slope,) = torch.autograd.grad(wanted, leaf, dn)
    torch.testing.assert_close(rms_norm_backward(dn, x, scale, weight, residual), slope + residual)
