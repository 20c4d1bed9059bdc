"""Shapes of models: read from configs, guessed from a size, and the adapters that sit on them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.domain.errors import BaseModelError
from dlm.domain.model_shape import ModelShape

SMOLLM2 = {
    "model_type": "llama",
    "hidden_size": 576,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "intermediate_size": 1536,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
}


def config(model_type: str, hidden: int, layers: int, heads: int, kv: int, inner: int, vocab: int, **more: Any) -> Any:
    return {
        "model_type": model_type,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "intermediate_size": inner,
        "vocab_size": vocab,
        **more,
    }


# Sizes are those the models' own pages state.
PUBLISHED = {
    "SmolLM2-135M": (SMOLLM2, 134_515_008),
    "Qwen2.5-0.5B": (config("qwen2", 896, 24, 14, 2, 4864, 151936, tie_word_embeddings=True), 494_000_000),
    "Qwen3-1.7B": (
        config("qwen3", 2048, 28, 16, 8, 6144, 151936, head_dim=128, tie_word_embeddings=True),
        1_720_000_000,
    ),
    "Phi-3.5-mini": (config("phi3", 3072, 32, 32, 32, 8192, 32064), 3_821_000_000),
    "Gemma-2-2b": (config("gemma2", 2304, 26, 8, 4, 9216, 256000, head_dim=256), 2_614_000_000),
    "SmolLM3-3B": (config("smollm3", 2048, 36, 16, 4, 11008, 128256), 3_075_000_000),
    "OLMo-2-7B": (config("olmo2", 4096, 32, 32, 32, 11008, 100352), 7_299_000_000),
    "Mixtral-8x7B": (
        config("mixtral", 4096, 32, 32, 8, 14336, 32000, num_local_experts=8, num_experts_per_tok=2),
        46_700_000_000,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_computed_size_is_the_published_one(name: str) -> None:
    text, params = PUBLISHED[name]
    assert ModelShape.from_config(text).params == pytest.approx(params, rel=0.01)


def test_a_known_size_is_kept() -> None:
    assert ModelShape.from_config(SMOLLM2, 135_000_000).params == 135_000_000


def test_lora_size_is_what_peft_makes() -> None:
    # counted by PEFT 0.21 on this config, all linear layers, r 8
    assert ModelShape.from_config(SMOLLM2).lora_params(8) == 2_442_240
    assert ModelShape.from_config(SMOLLM2).lora_params(8, "dora") == 2_597_760


def test_lora_on_named_layers_only() -> None:
    shape = ModelShape.from_config(SMOLLM2)
    assert shape.lora_params(8, "lora", ("q_proj", "self_attn.v_proj")) == 30 * 8 * (576 + 576 + 576 + 192)
    assert shape.lora_params(8, "lora", ("nothing",)) == 0


def test_fused_layers_are_one_target() -> None:
    shape = ModelShape.from_config(PUBLISHED["Phi-3.5-mini"][0])
    assert [linear.name for linear in shape.linears()] == ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]


def test_experts_carry_no_adapter_and_only_the_chosen_ones_work() -> None:
    shape = ModelShape.from_config(PUBLISHED["Mixtral-8x7B"][0])
    assert {linear.name for linear in shape.linears()} == {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert shape.active_params == pytest.approx(12_700_000_000, rel=0.02)


def test_nested_text_config_with_left_out_defaults() -> None:
    nested = {
        "model_type": "qwen2_audio",
        "text_config": {"model_type": "qwen2", "intermediate_size": 11008, "vocab_size": 156032},
        "audio_config": {"hidden_size": 1280},
    }
    shape = ModelShape.from_config(nested, 8_400_000_000)
    assert (shape.hidden_size, shape.layers, shape.vocab_size) == (4096, 32, 156032)


@pytest.mark.parametrize("value", [0, -3, 1.5, "576", True, [576]])
def test_an_impossible_number_is_refused(value: Any) -> None:
    with pytest.raises(BaseModelError) as caught:
        ModelShape.from_config({**SMOLLM2, "hidden_size": value})
    assert caught.value.code == "base.bad-config"
    assert "hidden_size" in caught.value.message


def test_a_missing_number_is_refused() -> None:
    with pytest.raises(BaseModelError, match="num_hidden_layers"):
        ModelShape.from_config({"hidden_size": 8, "num_attention_heads": 2, "vocab_size": 9})


@given(st.dictionaries(st.sampled_from([*SMOLLM2, "text_config", "head_dim"]), st.none() | st.integers() | st.text()))
def test_any_config_gives_a_shape_or_our_error(text: dict[str, Any]) -> None:
    try:
        shape = ModelShape.from_config(text)
    except BaseModelError:
        return
    assert shape.params > 0
    assert shape.lora_params(1) > 0


@given(st.integers(min_value=1, max_value=10**12))
def test_a_guess_keeps_the_size(params: int) -> None:
    assert ModelShape.from_params(params).params == params


def test_a_guess_is_near_the_truth() -> None:
    for params in (135_000_000, 1_500_000_000, 8_000_000_000, 24_000_000_000):
        guess = ModelShape.from_params(params)
        assert guess.text_params == pytest.approx(params, rel=0.05)


def test_no_weights_is_no_model() -> None:
    with pytest.raises(BaseModelError):
        ModelShape.from_params(0)
