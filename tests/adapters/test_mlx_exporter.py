"""Adapters rewritten for mlx-lm give the logits that PEFT gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from base_made import resolved_base, write_model
from dlm.adapters.mlx_files import MlxExporter
from dlm.adapters.peft_files import PeftFiles
from dlm.domain.errors import ExportError
from dlm.domain.events import ignore
from dlm.ports.exporter import WeightsJob
from peft_made import PREFIX, SIDES, Q, V, write_adapter

pytestmark = pytest.mark.filterwarnings("ignore:::peft", "ignore:.*is_gradient_checkpointing")

IDS = list(range(3, 23))
BOUND = 1e-3
EVERY_LAYER = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PLAIN_ROPE = {"rope_type": "default", "rope_theta": 500.0}
FUSED = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]


def trained(
    folder: Path, family: str, config: dict[str, Any], settings: dict[str, Any]
) -> tuple[WeightsJob, np.ndarray[Any, Any]]:
    """Give a job for a random adapter on a tiny base of the family, and the logits it should have."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from tiny_architectures import tiny_architecture

    base = tiny_architecture(family, folder / "base", **config)
    torch.manual_seed(5)
    values = {"r": 4, "lora_alpha": 8, "target_modules": EVERY_LAYER, "task_type": "CAUSAL_LM", **settings}
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(str(base.folder), dtype=torch.float32), LoraConfig(**values)
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "magnitude" in name:
                parameter *= 1 + 0.3 * torch.randn_like(parameter)
            elif parameter.requires_grad:
                parameter.normal_(std=0.2)
        logits = model.eval()(torch.tensor([IDS])).logits[0].numpy()
    model.save_pretrained(str(folder / "adapter"))
    as_published(base.folder)
    facts = PeftFiles().facts(folder / "adapter")
    return WeightsJob(base=base, adapter=folder / "adapter", facts=facts), logits


def as_published(folder: Path) -> None:
    """Write rotary settings as most models on the Hub have them; mlx-lm reads the newer form for few families."""
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    if rope["rope_type"] != "default":
        config["rope_scaling"] = rope
    path.write_text(json.dumps(config), encoding="utf-8")


def exported(job: WeightsJob, folder: Path) -> Path:
    folder.mkdir()
    MlxExporter().write(job, folder, emit=ignore)
    return folder / job.module


def mlx_logits(base: Path, adapter: Path | None) -> tuple[np.ndarray[Any, Any], Any]:
    """Give what mlx-lm computes, and the model."""
    mx = pytest.importorskip("mlx.core")
    utils = pytest.importorskip("mlx_lm.utils")
    with mx.stream(mx.cpu):
        model, _ = utils.load_model(base)
        if adapter is not None:
            from mlx_lm.tuner.utils import load_adapters

            model = load_adapters(model, str(adapter))
            model.eval()
        return np.array(model(mx.array([IDS])).astype(mx.float32))[0], model


@pytest.mark.parametrize(
    ("family", "config", "settings"),
    [
        ("smollm2", {}, {}),
        ("smollm2", {}, {"use_rslora": True, "target_modules": ["q_proj", "up_proj"], "layers_to_transform": [1]}),
        ("qwen2", {}, {"rank_pattern": {"q_proj": 2, r"layers\.1\.mlp\.up_proj": 7}, "alpha_pattern": {"v_proj": 3}}),
        ("qwen2", {}, {"use_dora": True, "rank_pattern": {"o_proj": 3}}),
        ("qwen3", {}, {}),
        ("llama3", {}, {}),
        ("mistral", {}, {}),
        ("gemma2", {"sliding_window": 512}, {}),  # mlx-lm knows no window for it
        ("smollm3", {}, {}),
        ("olmo2", {}, {}),
        ("phi3", {"rope_parameters": PLAIN_ROPE}, {"target_modules": FUSED}),
        ("mixtral", {}, {"target_modules": EVERY_LAYER[:4]}),
    ],
    ids=str,
)
def test_logits_are_those_of_the_library(
    tmp_path: Path, family: str, config: dict[str, Any], settings: dict[str, Any]
) -> None:
    job, expected = trained(tmp_path, family, config, settings)
    adapter = exported(job, tmp_path / "out")
    found, model = mlx_logits(job.base.folder, adapter)
    plain, _ = mlx_logits(job.base.folder, None)
    assert np.abs(found - expected).max() < BOUND
    assert np.abs(plain - expected).max() > 10 * BOUND
    from mlx.utils import tree_flatten

    attached = {name for name, _ in tree_flatten(model.parameters()) if name.endswith(".lora_a")}
    assert {f"{module}.lora_a" for module in job.facts.ranks} <= attached


def made(folder: Path, **settings: Any) -> WeightsJob:
    adapter = write_adapter(folder / "adapter", **settings)
    base = resolved_base(write_model(folder / "base"))
    return WeightsJob(base=base, adapter=adapter, facts=PeftFiles().facts(adapter))


def test_the_configuration_says_what_every_layer_shares(tmp_path: Path) -> None:
    adapter = exported(made(tmp_path, use_rslora=True), tmp_path / "out")
    assert sorted(path.name for path in adapter.iterdir()) == ["adapter_config.json", "adapters.safetensors"]
    assert json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8")) == {
        "fine_tune_type": "lora",
        "num_layers": 2,
        "lora_parameters": {
            "rank": 4,
            "scale": 8 / 2.0,
            "dropout": 0.0,
            "keys": ["self_attn.q_proj", "self_attn.v_proj"],
        },
    }


def changes(job: WeightsJob) -> dict[str, np.ndarray[Any, Any]]:
    """Give ΔW of each module, by the plain rule."""
    from safetensors.numpy import load_file

    tensors = load_file(job.adapter / "adapter_model.safetensors")
    return {
        module: job.facts.scaling(module)
        * tensors[f"{PREFIX}{module}.lora_B.weight"]
        @ tensors[f"{PREFIX}{module}.lora_A.weight"]
        for module in job.facts.ranks
    }


def test_factors_are_transposed_and_filled_up(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    job = made(tmp_path, ranks={Q: 4, V: 2}, rank_pattern={"v_proj": 2})
    found = load_file(exported(job, tmp_path / "out") / "adapters.safetensors")
    shapes = {name: array.shape for name, array in found.items()}
    inputs, outputs = SIDES[V]
    assert shapes[f"{V}.lora_a"] == (inputs, 4)
    assert shapes[f"{V}.lora_b"] == (4, outputs)
    assert shapes.keys() == {f"{module}.{part}" for module in (Q, V) for part in ("lora_a", "lora_b")}
    for module, change in changes(job).items():
        assert np.allclose((found[f"{module}.lora_a"] @ found[f"{module}.lora_b"]).T, change, atol=1e-5)


@pytest.mark.parametrize("dtype", ["F16", "BF16", "F64"])
def test_every_kind_of_number_is_read(tmp_path: Path, dtype: str) -> None:
    import torch
    from safetensors.numpy import load_file
    from safetensors.torch import load_file as load_torch
    from safetensors.torch import save_file

    job = made(tmp_path)
    path = job.adapter / "adapter_model.safetensors"
    kind = {"F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64}[dtype]
    tensors = {name: tensor.to(kind) for name, tensor in load_torch(path).items()}
    save_file(tensors, path)
    found = load_file(exported(job, tmp_path / "out") / "adapters.safetensors")
    for module in (Q, V):
        expected = tensors[f"{PREFIX}{module}.lora_A.weight"].float().numpy().T
        assert np.array_equal(found[f"{module}.lora_a"], expected)


@pytest.mark.parametrize("damage", ["cut", "grown", "empty", "huge header", "half a pair", "a directory"])
def test_a_damaged_file_is_refused_before_anything_is_written(tmp_path: Path, damage: str) -> None:
    from safetensors.numpy import load_file, save_file

    job = made(tmp_path)
    path = job.adapter / "adapter_model.safetensors"
    data = path.read_bytes()
    if damage == "half a pair":
        tensors = load_file(path)
        del tensors[f"{PREFIX}{Q}.lora_B.weight"]
        save_file(tensors, path)
    elif damage == "a directory":
        path.unlink()
        path.mkdir()
    else:
        bad = {"cut": data[:-1], "grown": data + b"x", "empty": b"", "huge header": b"\xff" * 8 + data[8:]}
        path.write_bytes(bad[damage])
    with pytest.raises(ExportError) as caught:
        exported(job, tmp_path / "out")
    assert caught.value.code == "export.damaged-adapter"
    assert list((tmp_path / "out").iterdir()) == []


def test_what_mlx_does_not_hold_is_refused(tmp_path: Path) -> None:
    job = made(tmp_path)
    no_layers = attrs.evolve(job, base=attrs.evolve(job.base, config={}))
    one_layer = attrs.evolve(job, base=attrs.evolve(job.base, config={"num_hidden_layers": 1}))
    for bad in (
        attrs.evolve(job, merged=True),
        attrs.evolve(job, facts=attrs.evolve(job.facts, kind="IA3")),
        no_layers,
        one_layer,
    ):
        with pytest.raises(ExportError) as caught:
            MlxExporter().check(bad)
        assert caught.value.code == "export.cannot-carry"
    with pytest.raises(ValueError):
        MlxExporter().check(attrs.evolve(job, module="../x"))
