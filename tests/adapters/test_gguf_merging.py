"""Merging: the numbers are those of PEFT's own merge, for everything an adapter can hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlm.adapters.gguf.adapter_tensors import AdapterTensors
from dlm.adapters.gguf.merging import MergedWeights
from dlm.adapters.gguf.weights import SafetensorsWeights
from dlm.adapters.peft_files import PeftFiles
from dlm.domain.base_models import ResolvedBase
from dlm.domain.errors import ExportError
from peft_trained import load, merged_state, peft_adapter
from tiny_architectures import tiny_architecture

TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bases")


def _merged(base: ResolvedBase, folder: Path) -> MergedWeights:
    adapter = AdapterTensors(folder, PeftFiles().facts(folder))
    return MergedWeights(SafetensorsWeights(base.folder), adapter, tied=bool(base.config["tie_word_embeddings"]))


def _state(model: Any, *, tied: bool) -> dict[str, Any]:
    """Give PEFT's merged weights under the names of model folders."""
    state = merged_state(model)
    if tied:
        del state["lm_head.weight"]
    return state


def _assert_alike(ours: MergedWeights, theirs: dict[str, Any]) -> None:
    assert set(ours.names()) == set(theirs)
    for name, expected in theirs.items():
        assert ours.shape(name) == expected.shape
        np.testing.assert_allclose(ours.read(name), expected, rtol=0, atol=TOLERANCE, err_msg=name)
        half = slice(len(expected) // 3, len(expected) // 2)
        np.testing.assert_allclose(ours.read(name, half), expected[half], rtol=0, atol=TOLERANCE, err_msg=name)


LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("llama3", {"target_modules": LINEAR}),
        ("llama3", {"use_rslora": True, "r": 7}),
        ("qwen2", {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"layers.1.self_attn.v_proj": 3}}),
        ("qwen3", {"use_rslora": True, "rank_pattern": {"q_proj": 9}, "alpha_pattern": {"v_proj": 1}}),
        ("gemma2", {"use_dora": True, "target_modules": LINEAR}),
        ("phi3", {"use_dora": True, "use_rslora": True, "target_modules": ["qkv_proj", "gate_up_proj", "down_proj"]}),
        ("llama3", {"modules_to_save": ["embed_tokens", "lm_head"]}),
        ("olmo2", {"modules_to_save": ["model.norm", "q_norm", "post_attention_layernorm"], "use_dora": True}),
        ("smollm2", {"modules_to_save": ["model.norm"]}),
        ("qwen2", {"bias": "all"}),
        ("llama3", {"target_modules": ["q_proj", "lm_head"]}),
        ("llama3", {"target_modules": ["q_proj", "embed_tokens"]}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_it_is_what_peft_merges(family: str, settings: dict[str, Any], bases: Path, tmp_path: Path) -> None:
    base = tiny_architecture(family, bases / family)
    model = peft_adapter(base, tmp_path / "adapter", **settings)
    merged = _merged(base, tmp_path / "adapter")
    assert not merged.unties_output
    _assert_alike(merged, _state(model, tied=bool(base.config["tie_word_embeddings"])))
    plain = SafetensorsWeights(base.folder)
    changed = [name for name in merged.names() if not np.array_equal(merged.read(name), plain.read(name))]
    assert len(changed) >= base.config["num_hidden_layers"]  # the comparison is not one of a base with itself


@pytest.mark.parametrize("bias", ["all", "lora_only"])
def test_biases_are_those_that_were_trained(bias: str, bases: Path, tmp_path: Path) -> None:
    base = tiny_architecture("smollm2", bases / "biased", attention_bias=True, mlp_bias=True)
    model = peft_adapter(base, tmp_path / "adapter", bias=bias)
    merged, plain = _merged(base, tmp_path / "adapter"), SafetensorsWeights(base.folder)
    biases = [name for name in merged.names() if name.endswith("bias")]
    changed = [name for name in biases if not np.array_equal(merged.read(name), plain.read(name))]
    assert len(changed) == (len(biases) if bias == "all" else 4)  # q and v of two layers
    _assert_alike(merged, _state(model, tied=True))


@pytest.mark.parametrize("saved", [["embed_tokens"], ["lm_head"], ["embed_tokens", "lm_head"]])
def test_a_changed_table_or_head_comes_apart_from_the_other(saved: list[str], bases: Path, tmp_path: Path) -> None:
    base = tiny_architecture("qwen2", bases / "qwen2")
    model = peft_adapter(base, tmp_path / "adapter", modules_to_save=saved)
    merged = _merged(base, tmp_path / "adapter")
    assert merged.unties_output
    _assert_alike(merged, _state(model, tied=False))


def test_what_peft_kept_tied_stays_tied(bases: Path, tmp_path: Path) -> None:
    base = tiny_architecture("gemma2", bases / "gemma2")
    model = peft_adapter(base, tmp_path / "adapter", ensure_weight_tying=True, modules_to_save=["embed_tokens"])
    merged = _merged(base, tmp_path / "adapter")
    assert {*AdapterTensors(tmp_path / "adapter", PeftFiles().facts(tmp_path / "adapter")).wholes} == {
        "model.embed_tokens.weight",
        "lm_head.weight",
    }
    assert not merged.unties_output
    _assert_alike(merged, _state(model, tied=True))


@pytest.mark.parametrize("target", ["embed_tokens", "lm_head"])
def test_a_low_rank_change_of_a_tied_table_or_head_is_as_in_training(target: str, bases: Path, tmp_path: Path) -> None:
    """PEFT's merge would add the change to both, and the merged model would answer unlike the trained one."""
    import torch

    base = tiny_architecture("qwen2", bases / "qwen2")
    trained = peft_adapter(base, tmp_path / "adapter", target_modules=["q_proj", target], save_embedding_layers="auto")
    merged = _merged(base, tmp_path / "adapter")
    assert merged.unties_output
    model = load(base)
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    model.load_state_dict({name: torch.from_numpy(merged.read(name)) for name in merged.names()})
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        np.testing.assert_allclose(model(ids).logits, trained(ids).logits, rtol=0, atol=1e-4)


def test_a_grown_vocabulary_has_the_saved_rows(bases: Path, tmp_path: Path) -> None:
    for family, name in (("llama3", "untied"), ("qwen2", "tied")):
        base = tiny_architecture(family, bases / family)
        rows = base.config["vocab_size"] + 5
        saved = ["embed_tokens", "lm_head"]
        model = peft_adapter(base, tmp_path / name, rows=rows, modules_to_save=saved)
        merged = _merged(base, tmp_path / name)
        assert merged.shape("model.embed_tokens.weight") == (rows, 64)
        _assert_alike(merged, _state(model, tied=False))


def test_a_table_that_grew_without_its_head_is_refused(bases: Path, tmp_path: Path) -> None:
    base = tiny_architecture("llama3", bases / "llama3")
    peft_adapter(base, tmp_path / "adapter", rows=base.config["vocab_size"] + 5, modules_to_save=["embed_tokens"])
    with pytest.raises(ExportError, match="output head has") as caught:
        _merged(base, tmp_path / "adapter")
    assert caught.value.subject == "preflight[embedding_rows]"
    assert "lm_head" in str(caught.value.hint)


def test_an_adapter_of_another_base_is_refused(bases: Path, tmp_path: Path) -> None:
    base = tiny_architecture("llama3", bases / "llama3")
    peft_adapter(base, tmp_path / "llama", modules_to_save=["model.norm"])
    peft_adapter(tiny_architecture("phi3", bases / "phi3"), tmp_path / "phi", target_modules=["qkv_proj"])
    wide = tiny_architecture("llama3", bases / "wide", hidden=128)
    for other, adapter, why in (
        (base, "phi", "qkv_proj"),
        (wide, "llama", r"norm\.weight in the shape \(64,\)"),
        (tiny_architecture("llama3", bases / "short", num_hidden_layers=1), "llama", "layers.1"),
    ):
        with pytest.raises(ExportError, match=why) as caught:
            _merged(other, tmp_path / adapter)
        assert caught.value.code == "export.other-base"


def test_dora_of_a_table_is_refused(bases: Path, tmp_path: Path) -> None:
    base = tiny_architecture("llama3", bases / "llama3")
    peft_adapter(base, tmp_path / "adapter", target_modules=["q_proj", "embed_tokens"], use_dora=True)
    with pytest.raises(ExportError, match="magnitude of the table") as caught:
        _merged(base, tmp_path / "adapter")
    assert caught.value.code == "export.unfit-adapter"
