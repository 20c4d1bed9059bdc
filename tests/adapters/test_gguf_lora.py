"""Adapters as GGUF files: with the base's file they compute in llama.cpp what torch and PEFT compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from dlm.adapters.gguf.adapter_tensors import AdapterTensors
from dlm.adapters.gguf.architectures import architecture_of
from dlm.adapters.gguf.lora import plan_lora, write_lora
from dlm.adapters.gguf.weights import SafetensorsWeights
from dlm.adapters.peft_files import PeftFiles
from dlm.domain.base_models import ResolvedBase
from dlm.domain.errors import ExportError
from gguf_made import write_base
from peft_trained import divergence, peft_adapter
from tiny_architectures import tiny_architecture

BOUND = 1e-4
"""Mean KL in nats, base in 16 bits."""

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
FUSED = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]
ATTENTION = LINEAR[:4]


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bases")


def _write(base: ResolvedBase, adapter: Path, into: Path) -> Path:
    tensors = AdapterTensors(adapter, PeftFiles().facts(adapter))
    architecture = architecture_of(base.config)
    plan = plan_lora(tensors, architecture, SafetensorsWeights(base.folder))
    write_lora(plan, tensors, architecture, into, name="tutor", base="example/tiny")
    return into


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("llama3", {"target_modules": [*LINEAR, "lm_head"], "use_rslora": True}),
        ("qwen2", {"target_modules": LINEAR, "rank_pattern": {"q_proj": 2}, "alpha_pattern": {"k_proj": 3}}),
        ("qwen3", {"use_rslora": True, "rank_pattern": {"q_proj": 9}, "alpha_pattern": {"v_proj": 1}}),
        ("gemma2", {"target_modules": LINEAR}),
        ("phi3", {"target_modules": FUSED}),
        ("olmo2", {"target_modules": LINEAR}),
        ("mixtral", {"target_modules": ATTENTION}),
        ("smollm3", {"target_modules": LINEAR}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_base_and_adapter_run_as_in_torch(family: str, settings: dict[str, Any], bases: Path, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    base = tiny_architecture(family, bases / family)
    model = peft_adapter(base, tmp_path / "adapter", **settings)
    lora = _write(base, tmp_path / "adapter", tmp_path / "adapter.gguf")
    plain = write_base(base, tmp_path / "base.gguf")
    kl = divergence(model, plain, lora)
    print(f"{family}: KL {kl:.1e} nats")
    assert kl <= BOUND
    if family == "llama3":  # and the adapter is what makes the difference
        assert divergence(model, plain) > 100 * BOUND


def test_the_official_reader_finds_pairs_in_half_precision(bases: Path, tmp_path: Path) -> None:
    base = tiny_architecture("llama3", bases / "llama3")
    peft_adapter(base, tmp_path / "adapter", target_modules=["k_proj", "down_proj"])
    reader = gguf.GGUFReader(_write(base, tmp_path / "adapter", tmp_path / "adapter.gguf"))
    values = {key: field.contents() for key, field in reader.fields.items()}
    assert values["general.type"] == "adapter"
    assert values["general.architecture"] == "llama"
    assert values["adapter.type"] == "lora"
    assert values["adapter.lora.alpha"] == 8.0
    tensors = {item.name: item for item in reader.tensors}
    assert set(tensors) == {
        f"blk.{layer}.{part}.weight.lora_{side}" for layer in (0, 1) for part in ("attn_k", "ffn_down") for side in "ab"
    }
    assert {item.tensor_type.name for item in reader.tensors} == {"F16"}
    stored = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    module = "base_model.model.model.layers.1.self_attn.k_proj"
    a, b = (stored[f"{module}.lora_{side}.weight"].astype(np.float16) for side in "AB")
    assert (tensors["blk.1.attn_k.weight.lora_a"].data == a).all()
    assert (tensors["blk.1.attn_k.weight.lora_b"].data[:4] == b[[0, 8, 1, 9]]).all()  # rows of a head of 16


@pytest.mark.parametrize(
    ("settings", "alpha", "factors"),
    [
        ({}, 8.0, {"q_proj": 1, "v_proj": 1}),
        ({"use_rslora": True}, 16.0, {"q_proj": 1, "v_proj": 1}),
        ({"alpha_pattern": {"q_proj": 2.0}, "target_modules": ["q_proj", "v_proj", "o_proj"]}, 8.0, {"q_proj": 0.25}),
        ({"rank_pattern": {"q_proj": 16}}, 8.0, {"q_proj": 1, "v_proj": 1}),
        ({"lora_alpha": 0}, 1.0, {"q_proj": 0, "v_proj": 0}),
    ],
)
def test_scaling_is_kept(
    settings: dict[str, Any], alpha: float, factors: dict[str, float], bases: Path, tmp_path: Path
) -> None:
    base = tiny_architecture("qwen3", bases / "qwen3")
    peft_adapter(base, tmp_path / "adapter", **settings)
    reader = gguf.GGUFReader(_write(base, tmp_path / "adapter", tmp_path / "adapter.gguf"))
    assert reader.fields["adapter.lora.alpha"].contents() == pytest.approx(alpha)
    stored = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    tensors = {item.name: item.data for item in reader.tensors}
    for module, factor in factors.items():
        b = stored[f"base_model.model.model.layers.0.self_attn.{module}.lora_B.weight"]
        written = tensors[f"blk.0.attn_{module[0]}.weight.lora_b"].astype(np.float32)
        np.testing.assert_allclose(written, b * factor, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize(("value", "kind"), [(7e4, "F32"), (1e-7, "F32"), (1e-3, "F16"), (0.0, "F16")])
def test_numbers_that_16_bits_do_not_hold_are_kept_in_32(value: float, kind: str, bases: Path, tmp_path: Path) -> None:
    base = tiny_architecture("qwen3", bases / "qwen3")
    peft_adapter(base, tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = load_file(path)
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"
    tensors[name] = np.full_like(tensors[name], value)
    save_file(tensors, path)
    reader = gguf.GGUFReader(_write(base, tmp_path / "adapter", tmp_path / "adapter.gguf"))
    written = next(item for item in reader.tensors if item.name == "blk.0.attn_q.weight.lora_b")
    assert written.tensor_type.name == kind
    np.testing.assert_allclose(written.data, value, rtol=1e-3)


@pytest.mark.parametrize(
    ("family", "settings", "named"),
    [
        ("llama3", {"use_dora": True}, "lora_magnitude_vector"),
        ("llama3", {"modules_to_save": ["model.norm"]}, "model.norm.weight"),
        ("llama3", {"modules_to_save": ["lm_head"]}, "lm_head.weight"),
        ("qwen2", {"bias": "all"}, "bias"),
        ("llama3", {"target_modules": ["q_proj", "embed_tokens"]}, "embed_tokens.lora_embedding_A"),
        ("qwen2", {"target_modules": ["q_proj", "lm_head"]}, "lm_head.lora_A"),
    ],
)
def test_what_such_a_file_cannot_hold_is_refused(
    family: str, settings: dict[str, Any], named: str, bases: Path, tmp_path: Path
) -> None:
    base = tiny_architecture(family, bases / family)
    peft_adapter(base, tmp_path / "adapter", **settings)
    with pytest.raises(ExportError, match=named) as caught:
        _write(base, tmp_path / "adapter", tmp_path / "adapter.gguf")
    assert caught.value.code == "export.unfit-adapter"
    assert "--merged" in str(caught.value.hint)
    assert not (tmp_path / "adapter.gguf").exists()


def _renamed(adapter: Path, old: str, new: str) -> None:
    """Change names of tensors, and let the configuration name them."""
    import json

    path = adapter / "adapter_model.safetensors"
    save_file({name.replace(old, new): value for name, value in load_file(path).items()}, path)
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "target_modules": "all-linear"}))


@pytest.mark.parametrize(
    ("new", "code", "named"),
    [
        ("block_sparse_moe.experts.1.w2.lora", "export.unfit-adapter", "experts.1.w2"),
        ("self_attn.sink.lora", "export.other-base", "sink"),
        ("self_attn.v_proj.lora", "export.other-base", "shape"),
    ],
)
def test_experts_and_unknown_layers_are_refused(new: str, code: str, named: str, bases: Path, tmp_path: Path) -> None:
    base = tiny_architecture("mixtral", bases / "mixtral")
    peft_adapter(base, tmp_path / "adapter", target_modules=["q_proj"])
    _renamed(tmp_path / "adapter", "self_attn.q_proj.lora", new)
    with pytest.raises(ExportError, match=named) as caught:
        _write(base, tmp_path / "adapter", tmp_path / "adapter.gguf")
    assert caught.value.code == code


def test_tensors_of_unknown_use_are_refused(bases: Path, tmp_path: Path) -> None:
    base = tiny_architecture("llama3", bases / "llama3")
    peft_adapter(base, tmp_path / "adapter", trainable_token_indices=[1, 2])
    with pytest.raises(ExportError, match="trainable_tokens_delta") as caught:
        AdapterTensors(tmp_path / "adapter", PeftFiles().facts(tmp_path / "adapter"))
    assert caught.value.code == "export.unfit-adapter"


def test_other_kinds_of_adapters_are_refused(tmp_path: Path, bases: Path) -> None:
    import attrs

    base = tiny_architecture("llama3", bases / "llama3")
    peft_adapter(base, tmp_path / "adapter")
    facts = PeftFiles().facts(tmp_path / "adapter")
    for changed, named in (
        (attrs.evolve(facts, kind="IA3", ranks={}), "IA3"),
        (attrs.evolve(facts, peculiar=("use_qalora",)), "use_qalora"),
    ):
        with pytest.raises(ExportError, match=named) as caught:
            AdapterTensors(tmp_path / "adapter", changed)
        assert "hf-adapter" in str(caught.value.hint)


def test_the_same_adapter_gives_the_same_bytes(bases: Path, tmp_path: Path) -> None:
    base = tiny_architecture("llama3", bases / "llama3")
    peft_adapter(base, tmp_path / "adapter")
    first = _write(base, tmp_path / "adapter", tmp_path / "a.gguf").read_bytes()
    assert _write(base, tmp_path / "adapter", tmp_path / "b.gguf").read_bytes() == first
