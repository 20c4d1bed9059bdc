"""Exported adapter folders load in PEFT and change the base as the adapter did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from base_made import resolved_base, write_model
from dlm.adapters.peft_files import PeftExporter, PeftFiles
from dlm.domain.errors import ExportError
from dlm.domain.events import ignore
from dlm.ports.exporter import WeightsJob, WrittenFile
from peft_made import PREFIX, Q, V, dense, lora_tensors, write_adapter

TOKENIZER = {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}


def job(tmp_path: Path, **changes: Any) -> WeightsJob:
    base = resolved_base(write_model(tmp_path / "base"))
    adapter = write_adapter(tmp_path / "adapter", **changes)
    return WeightsJob(base=base, adapter=adapter, facts=PeftFiles().facts(adapter))


def written(work: WeightsJob, exporter: PeftExporter, folder: Path) -> tuple[WrittenFile, ...]:
    folder.mkdir()
    return exporter.write(work, folder, emit=ignore)


def config_of(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    return config


def test_only_what_is_needed_is_copied(tmp_path: Path) -> None:
    work = job(tmp_path)
    for name in ("README.md", "training_state.json", "pinned_versions.json", "optimizer.pt", "adapter_model.bin"):
        (work.adapter / name).write_text("private", encoding="utf-8")
    files = written(work, PeftExporter(), tmp_path / "out")
    assert {file.path for file in files} == {"adapter_model.safetensors", "adapter_config.json", *TOKENIZER}
    assert {file.role for file in files} == {"adapter", "config", "tokenizer"}


def test_servers_find_each_adapter_in_a_folder_of_its_name(tmp_path: Path) -> None:
    exporter = PeftExporter("adapters/{module}", uniform=True)
    work = job(tmp_path)
    files = written(attrs.evolve(work, module="tone"), exporter, tmp_path / "out")
    assert {file.path.rpartition("/")[0] for file in files} == {"adapters/tone"}
    for name in ("", "../x", "a/b", "Tone", "a b"):
        with pytest.raises(ValueError):
            exporter.check(attrs.evolve(work, module=name))


def test_the_configuration_names_the_base_and_no_machine(tmp_path: Path) -> None:
    work = job(
        tmp_path,
        base_model_name_or_path="/home/ann/models/tiny",
        revision="main",
        auto_mapping={"base_model_class": "X", "parent_library": "transformers.models.llama"},
        corda_config={"cache_file": "/home/ann/cache"},
        runtime_config={"ephemeral_gpu_offload": True},
        note="/home/ann/notes",
        inference_mode=False,
        target_modules=r".*\.(q|v)_proj",
        lora_dropout=0.1,
    )
    written(work, PeftExporter(), tmp_path / "out")
    config = config_of(tmp_path / "out")
    assert config["base_model_name_or_path"] == work.base.spec.hf_id
    assert config["revision"] == work.base.spec.revision
    assert config["inference_mode"] is True
    assert (config["target_modules"], config["lora_dropout"], config["r"]) == (r".*\.(q|v)_proj", 0.1, 4)
    assert "ann" not in json.dumps(config)
    assert not config.keys() & {"auto_mapping", "corda_config", "runtime_config", "note"}


def test_another_kind_of_adapter_keeps_its_settings(tmp_path: Path) -> None:
    work = job(tmp_path, peft_type="IA3", feedforward_modules=["down_proj"], cache="C:\\Users\\ann", auto_mapping=None)
    written(work, PeftExporter(), tmp_path / "out")
    config = config_of(tmp_path / "out")
    assert config["feedforward_modules"] == ["down_proj"]
    assert not config.keys() & {"cache", "auto_mapping"}


def test_notes_inside_files_stay_behind(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    work = job(tmp_path)
    save_file(lora_tensors({Q: 4, V: 4}), work.adapter / "adapter_model.safetensors", metadata={"from": "/home/ann"})
    settings = {"tokenizer_class": "X", "name_or_path": "/home/ann/tiny", "auto_map": {"AutoTokenizer": "x.Y"}}
    (work.adapter / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    written(work, PeftExporter(), tmp_path / "out")
    for path in (tmp_path / "out").iterdir():
        assert b"/home/ann" not in path.read_bytes()
    assert json.loads((tmp_path / "out" / "tokenizer_config.json").read_text()) == {"tokenizer_class": "X"}
    before = load_file(work.adapter / "adapter_model.safetensors")
    after = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    "settings",
    [
        {"rank_pattern": {"v_proj": 2}},
        {"alpha_pattern": {"v_proj": 3}, "use_rslora": True},
        {"rank_pattern": {"v_proj": 2}, "alpha_pattern": {"q_proj": 5}},
    ],
)
def test_layers_that_differ_are_brought_to_one_rank_and_scaling(tmp_path: Path, settings: dict[str, Any]) -> None:
    ranks = {Q: 4, V: 2 if "rank_pattern" in settings else 4}
    work = job(tmp_path, ranks=ranks, **settings)
    written(work, PeftExporter(uniform=True), tmp_path / "out")
    facts = PeftFiles().facts(tmp_path / "out")
    assert set(facts.ranks.values()) == {4}
    assert {facts.scaling(module) for module in facts.ranks} == {1.0}
    config = config_of(tmp_path / "out")
    assert (config["rank_pattern"], config["alpha_pattern"], config["use_rslora"]) == ({}, {}, False)
    for module in ranks:
        tensors = _tensors(work.adapter)
        expected = work.facts.scaling(module) * tensors[module][1] @ tensors[module][0]
        assert np.allclose(dense(tmp_path / "out")[module], expected, rtol=1e-5, atol=1e-6)


def test_layers_that_are_alike_stay_as_they_are(tmp_path: Path) -> None:
    work = job(tmp_path, use_rslora=True)
    plain = written(work, PeftExporter(), tmp_path / "plain")
    uniform = written(work, PeftExporter(uniform=True), tmp_path / "uniform")
    assert plain == uniform
    assert config_of(tmp_path / "uniform")["use_rslora"] is True


def test_a_merged_model_is_not_what_this_form_holds(tmp_path: Path) -> None:
    with pytest.raises(ExportError) as caught:
        PeftExporter().check(attrs.evolve(job(tmp_path), merged=True))
    assert caught.value.code == "export.cannot-carry"


def test_a_file_that_is_cut_off_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    work = job(tmp_path)
    path = work.adapter / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ExportError) as caught:
        written(work, PeftExporter(), tmp_path / "out")
    assert caught.value.code == "export.damaged-adapter"
    assert list((tmp_path / "out").iterdir()) == []


def _tensors(folder: Path) -> dict[str, tuple[Any, Any]]:
    from safetensors.numpy import load_file

    tensors = load_file(folder / "adapter_model.safetensors")
    return {
        module: (tensors[f"{PREFIX}{module}.lora_A.weight"], tensors[f"{PREFIX}{module}.lora_B.weight"])
        for module in (Q, V)
    }


@pytest.mark.filterwarnings("ignore:::peft", "ignore:.*is_gradient_checkpointing")
@pytest.mark.parametrize("uniform", [False, True])
def test_the_library_gives_the_same_logits(tmp_path: Path, uniform: bool) -> None:
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM

    from tiny import tiny_base

    base = tiny_base(tmp_path / "base")

    def fresh() -> Any:
        return AutoModelForCausalLM.from_pretrained(str(base.folder), dtype=torch.float32)

    def logits(model: Any) -> Any:
        with torch.no_grad():
            return model.eval()(torch.arange(3, 23)[None]).logits

    settings: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"]}
    trained = get_peft_model(
        fresh(), LoraConfig(task_type="CAUSAL_LM", rank_pattern={"down_proj": 2}, use_rslora=True, **settings)
    )
    with torch.no_grad():
        for name, parameter in trained.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.3)
    trained.save_pretrained(str(tmp_path / "adapter"))
    work = WeightsJob(base=base, adapter=tmp_path / "adapter", facts=PeftFiles().facts(tmp_path / "adapter"))
    written(work, PeftExporter(uniform=uniform), tmp_path / "out")
    loaded = PeftModel.from_pretrained(fresh(), str(tmp_path / "out"))
    assert torch.allclose(logits(loaded), logits(trained), atol=1e-5)
    assert not torch.allclose(logits(loaded), logits(fresh()), atol=1e-2)
    assert len(set(PeftFiles().facts(tmp_path / "out").ranks.values())) == (1 if uniform else 2)
