"""Adapter folders as PEFT itself writes and loads them."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dlm.adapters.peft_files import PeftFiles
from dlm.adapters.peft_files.mixing import cut_to_rank
from dlm.domain.adapter_facts import AdapterFacts
from dlm.ports.adapter_files import MixMethod, MixPart
from peft_made import Q, V, dense, write_adapter
from tiny import tiny_base

pytestmark = pytest.mark.filterwarnings("ignore:::peft", "ignore:.*is_gradient_checkpointing")


@cache
def base_folder() -> Path:
    import tempfile

    return tiny_base(Path(tempfile.mkdtemp()) / "base").folder


def base_model() -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(str(base_folder()), dtype=torch.float32)


def peft_adapter(folder: Path, *, seed: int = 0, **settings: Any) -> Any:
    """Give a PEFT model whose adapter is random, after saving it with the base's tokenizer."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    values = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", **settings}
    model = get_peft_model(base_model(), LoraConfig(**values))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and "magnitude" not in name:
                parameter.normal_(std=0.2)
    model.peft_config["default"].base_model_name_or_path = "example/tiny"
    model.save_pretrained(str(folder))
    for file in base_folder().glob("*token*"):
        shutil.copy(file, folder)
    shutil.copy(base_folder() / "chat_template.jinja", folder)
    return model.eval()


def deltas(model: Any) -> dict[str, torch.Tensor]:
    """Give ΔW of each module as PEFT computes it."""
    from peft.tuners.lora import LoraLayer

    return {
        name.removeprefix("base_model.model."): module.get_delta_weight("default").detach()
        for name, module in model.named_modules()
        if isinstance(module, LoraLayer)
    }


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(torch.arange(3, 23)[None]).logits
    return found


def facts_of(folder: Path, **settings: Any) -> AdapterFacts:
    peft_adapter(folder, **settings)
    return PeftFiles().facts(folder)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_rslora": True},
        {"rank_pattern": {"q_proj": 2, r"layers\.1\.self_attn\.v_proj": 3}},
        {"alpha_pattern": {"layers.0.*": 3, "v_proj": 5, "0.self_attn.q_proj": 100}},
        {
            "rank_pattern": {"(?:model.)?layers.1.*": 8, ".*_proj": 7, "q_proj": 6},
            "alpha_pattern": {".+j": 2},
            "use_rslora": True,
        },
        {"target_modules": r".*layers\.1\..*(q|down)_proj", "rank_pattern": {r"mlp\..*": 2}},
        {"target_modules": "all-linear"},
        {"target_modules": ["model.layers.0.self_attn.q_proj", "mlp.down_proj"]},
    ],
    ids=str,
)
def test_ranks_and_scalings_are_those_of_the_library(tmp_path: Path, settings: dict[str, Any]) -> None:
    """Against the adapter as it is loaded: saving sorts the patterns, so it may not be as it was trained."""
    from peft import PeftModel
    from peft.tuners.lora import LoraLayer

    peft_adapter(tmp_path / "a", **settings)
    model = PeftModel.from_pretrained(base_model(), str(tmp_path / "a"))
    facts = PeftFiles().facts(tmp_path / "a")
    layers = {
        name.removeprefix("base_model.model."): module
        for name, module in model.named_modules()
        if isinstance(module, LoraLayer)
    }
    assert facts.ranks == {name: module.r["default"] for name, module in layers.items()}
    assert {name: facts.scaling(name) for name in layers} == pytest.approx(
        {name: module.scaling["default"] for name, module in layers.items()}
    )
    assert (facts.saved_modules, facts.other_tensors, facts.peculiar) == ((), (), ())
    assert facts.vocabulary_size == 259
    assert facts.has_chat_template


def test_all_that_is_more_than_lora_is_named(tmp_path: Path) -> None:
    assert facts_of(tmp_path / "dora", use_dora=True).use_dora
    saved = facts_of(tmp_path / "saved", modules_to_save=["lm_head", "norm"])
    assert {"lm_head", "model.norm", "model.layers.0.input_layernorm"} <= set(saved.saved_modules)
    assert saved.other_tensors == ()
    tokens = facts_of(tmp_path / "tokens", trainable_token_indices=[3, 5])
    assert tokens.other_tensors == ("base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta",)
    assert facts_of(tmp_path / "bias", bias="all").bias == "all"
    embedding = facts_of(tmp_path / "embedding", target_modules=["q_proj", "embed_tokens"])
    assert embedding.ranks["model.embed_tokens"] == 4
    assert embedding.other_tensors == ("base_model.model.model.embed_tokens.base_layer.weight",)
    assert facts_of(tmp_path / "lora_bias", lora_bias=True, init_lora_weights=False).peculiar == ("lora_bias",)
    assert facts_of(tmp_path / "pissa", init_lora_weights="pissa").peculiar == ("init_lora_weights",)


def test_another_kind_of_adapter_is_named(tmp_path: Path) -> None:
    from peft import IA3Config, get_peft_model

    config = IA3Config(target_modules=["q_proj", "down_proj"], feedforward_modules=["down_proj"], task_type="CAUSAL_LM")
    get_peft_model(base_model(), config).save_pretrained(str(tmp_path))
    assert (PeftFiles().facts(tmp_path).kind, PeftFiles().facts(tmp_path).ranks) == ("IA3", {})


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_none_is_found_in_every_kind(tmp_path: Path, dtype: str, value: float) -> None:
    from safetensors.torch import load_file, save_file

    path = write_adapter(tmp_path / "a") / "adapter_model.safetensors"
    kind = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[dtype]
    tensors = {name: tensor.to(kind) for name, tensor in load_file(path).items()}
    save_file(tensors, path)
    assert PeftFiles().facts(path.parent).nonfinite_tensor is None
    bad = sorted(tensors)[1]
    tensors[bad][1, 2] = value
    save_file(tensors, path)
    assert PeftFiles().facts(path.parent).nonfinite_tensor == bad


def test_a_record_that_is_missing_is_made_up_from_the_packages(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "a", use_qlora=None)
    assert not PeftFiles().facts(folder).trained_4bit
    for version, expected in (("null", False), ('"0.46"', True)):
        (folder / "pinned_versions.json").write_text(f'{{"bitsandbytes": {version}}}', encoding="utf-8")
        assert PeftFiles().facts(folder).trained_4bit is expected


def mix(parts: list[tuple[Path, float]], method: MixMethod, into: Path) -> Path:
    into.mkdir()
    PeftFiles().mix([MixPart(name=path.name, folder=path, weight=weight) for path, weight in parts], method, into)
    return into


def test_a_mix_loaded_by_the_library_is_the_sum(tmp_path: Path) -> None:
    """Different ranks, scalings and modules; loaded as any adapter; against the dense sum on the base's weights."""
    from peft import PeftModel

    settings: dict[str, dict[str, Any]] = {
        "knowledge": {"use_rslora": True, "target_modules": ["q_proj", "down_proj"]},
        "tone": {"r": 2, "alpha_pattern": {"layers.1.*": 3}, "target_modules": ["q_proj", "v_proj"]},
    }
    weights = {"knowledge": 0.7, "tone": 1.3}
    expected = base_model()
    modules = dict(expected.named_modules())
    for seed, (name, values) in enumerate(settings.items()):
        for module, delta in deltas(peft_adapter(tmp_path / name, seed=seed, **values)).items():
            modules[module].weight.data += weights[name] * delta
    mixed = mix([(tmp_path / name, weight) for name, weight in weights.items()], "linear", tmp_path / "mixed")
    loaded = PeftModel.from_pretrained(base_model(), str(mixed)).eval()
    assert deltas(loaded).keys() == PeftFiles().facts(mixed).ranks.keys()
    assert float((logits(loaded) - logits(expected)).abs().max()) < 1e-4
    assert float((logits(base_model()) - logits(expected)).abs().max()) > 0.1


@pytest.mark.parametrize("method", ["linear", "svd"])
def test_a_mix_is_the_same_each_time_and_has_no_local_names(tmp_path: Path, method: MixMethod) -> None:
    one, two = (write_adapter(tmp_path / name, seed=seed) for seed, name in enumerate(("one", "two")))
    first = mix([(one, 1.0), (two, 0.5)], method, tmp_path / "first")
    second = mix([(one, 1.0), (two, 0.5)], method, tmp_path / "second")
    files = {path.name: path.read_bytes() for path in first.iterdir()}
    assert files == {path.name: path.read_bytes() for path in second.iterdir()}
    assert files.keys() >= {"adapter_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    assert "training_state.safetensors" not in files
    assert str(tmp_path) not in files["adapter_config.json"].decode()


def test_the_cut_mix_is_the_nearest_of_its_rank(tmp_path: Path) -> None:
    one = write_adapter(tmp_path / "one", seed=1)
    two = write_adapter(tmp_path / "two", ranks={Q: 2}, r=2, lora_alpha=3, seed=2)
    total = {module: 1.0 * change for module, change in dense(one).items()}
    total[Q] = total[Q] + 0.5 * dense(two)[Q]
    linear = dense(mix([(one, 1.0), (two, 0.5)], "linear", tmp_path / "linear"))
    cut = dense(mix([(one, 1.0), (two, 0.5)], "svd", tmp_path / "cut"))
    for module in (Q, V):
        u, sizes, v = np.linalg.svd(total[module], full_matrices=False)
        assert np.allclose(linear[module], total[module], atol=1e-4)
        assert np.allclose(cut[module], (u[:, :4] * sizes[:4]) @ v[:4], atol=1e-4)


@pytest.mark.parametrize(("outputs", "rank", "inputs"), [(3, 6, 20), (20, 6, 3), (4, 9, 4), (8, 2, 8), (1, 1, 1)])
def test_cutting_takes_factors_of_every_proportion(outputs: int, rank: int, inputs: int) -> None:
    rng = np.random.default_rng(3)
    a, b = (rng.normal(size=shape).astype(np.float32) for shape in ((rank, inputs), (outputs, rank)))
    small_a, small_b = cut_to_rank(a, b, min(outputs, inputs, rank))
    assert np.allclose(small_b @ small_a, b @ a, atol=1e-4)
    zero_a, zero_b = cut_to_rank(a, 0 * b, 2)
    assert not (zero_b @ zero_a).any()


def test_a_part_of_weight_zero_leaves_no_trace(tmp_path: Path) -> None:
    one, two = write_adapter(tmp_path / "one"), write_adapter(tmp_path / "two", seed=1, use_qlora=True)
    mixed = mix([(one, 1.0), (two, 0.0)], "linear", tmp_path / "mixed")
    facts = PeftFiles().facts(mixed)
    assert (facts.highest_rank, facts.trained_4bit) == (4, False)
    assert json.loads((mixed / "training_run.json").read_text(encoding="utf-8")) == {"use_qlora": False}
