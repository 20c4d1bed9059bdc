"""Bases in folders: what is checked before a folder counts as a base."""

from __future__ import annotations

from pathlib import Path

import pytest

from base_made import (
    CONFIG,
    PARAMS,
    as_json,
    config,
    llama_shapes,
    model_files,
    safetensors_bytes,
    tokenizer,
    write_model,
)
from dlm.adapters.folder_base import FolderBaseSource
from dlm.adapters.hub import HubCacheSource, HubModelLookup
from dlm.adapters.registry import ChainRegistry
from dlm.adapters.registry.digests import DigestCache, folder_digest
from dlm.domain.base_files import folder_sha256
from dlm.domain.errors import BaseModelError
from dlm.domain.events import Event, Note
from dlm.testing.registries import tiny_base

OFFLINE = {"HF_HUB_OFFLINE": "1"}


@pytest.fixture
def registry(home: Path) -> ChainRegistry:
    return ChainRegistry(sources=(FolderBaseSource(),), hub=HubModelLookup(home, OFFLINE), home=home)


def test_a_folder_is_described_and_served_where_it_lies(registry: ChainRegistry, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "my model")
    before = sorted(tmp_path.rglob("*"))
    spec = registry.describe(f"path:{folder}")
    base = registry.fetch(spec)
    assert (base.folder, base.origin, base.config) == (folder, "folder", CONFIG)
    assert (spec.hf_id, spec.revision, spec.params) == ("my model", None, PARAMS)
    assert (spec.template, spec.gguf_arch, spec.tokenizer_pre) == ("chatml", "llama", "smollm")
    assert (spec.license_spdx, spec.redistributable, spec.export_refusal) == ("Unknown", False, None)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_relative_folder_and_the_home_folder_are_understood(
    registry: ChainRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_model(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    assert registry.fetch(registry.describe("path:model")).folder == folder
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert registry.fetch(registry.describe("path:~/model")).folder == folder


def test_links_in_a_folder_of_ones_own_are_fine(registry: ChainRegistry, tmp_path: Path) -> None:
    real = write_model(tmp_path / "real")
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in real.iterdir():
        (linked / path.name).symlink_to(path)
    assert registry.fetch(registry.describe(f"path:{linked}")).config == CONFIG


NO_TEMPLATE = as_json({"eos_token": "<|im_end|>"})


@pytest.mark.parametrize(
    ("files", "code", "word"),
    [
        ({**model_files(model_safetensors=None), "pytorch_model.bin": b""}, "base.unsafe-weights", "pytorch_model.bin"),
        ({**model_files(model_safetensors=None), "weights.pt": b""}, "base.unsafe-weights", "weights.pt"),
        ({**model_files(model_safetensors=None), "m.gguf": b""}, "base.no-weights", "m.gguf"),
        (model_files(model_safetensors=None), "base.no-weights", "model.safetensors"),
        ({"adapter_config.json": b"{}", "adapter_model.safetensors": b""}, "base.is-adapter", "adapter"),
        ({**model_files(model_safetensors=None), "adapter_config.json": b"{}"}, "base.is-adapter", "adapter"),
        (model_files(config_json=None), "base.not-a-model", "config.json"),
        (model_files(config_json=b"{"), "base.bad-file", "config.json"),
        (model_files(config_json=b"[]"), "base.bad-file", "config.json"),
        (model_files(config_json=config(auto_map={"AutoModel": "m.M"})), "base.remote-code", "auto_map"),
        (model_files(tokenizer_config_json=as_json({"auto_map": {}})), "base.remote-code", "tokenizer_config"),
        (model_files(config_json=config(architectures=None)), "base.architecture", "architectures"),
        (model_files(config_json=config(architectures=["BertForMaskedLM"])), "base.architecture", "BertForMaskedLM"),
        (model_files(config_json=config(vision_config={})), "base.media", "pictures"),
        (model_files(config_json=config(quantization_config={"quant_method": "awq"})), "base.quantised", "awq"),
        (model_files(tokenizer_json=None), "base.no-tokenizer", "tokenizer.json"),
        (model_files(tokenizer_config_json=NO_TEMPLATE), "base.no-chat-template", "chat template"),
    ],
)
def test_a_folder_that_is_no_usable_base_is_refused_with_the_reason(
    registry: ChainRegistry, tmp_path: Path, files: dict[str, bytes], code: str, word: str
) -> None:
    folder = write_model(tmp_path / "model", files)
    with pytest.raises(BaseModelError) as caught:
        registry.describe(f"path:{folder}")
    assert (caught.value.code, bool(caught.value.hint)) == (code, True)
    assert word in caught.value.message


def test_a_missing_folder_is_told_with_its_path(registry: ChainRegistry, tmp_path: Path) -> None:
    for use in (registry.describe, lambda selector: registry.fetch(tiny_base(key=selector, revision=None))):
        with pytest.raises(BaseModelError) as caught:
            use(f"path:{tmp_path}/none")
        assert caught.value.code == "base.folder-missing"
        assert f"{tmp_path}/none" in caught.value.message


def test_a_folder_that_changed_after_it_was_described_is_checked_again(registry: ChainRegistry, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    spec = registry.describe(f"path:{folder}")
    (folder / "config.json").write_bytes(config(auto_map={"AutoModel": "m.M"}))
    with pytest.raises(BaseModelError, match="auto_map"):
        registry.fetch(spec)
    (folder / "config.json").write_bytes(config(architectures=["Qwen2ForCausalLM"]))
    with pytest.raises(BaseModelError, match="Qwen2ForCausalLM"):
        registry.fetch(spec)


def test_weights_in_several_files_are_all_needed(registry: ChainRegistry, tmp_path: Path) -> None:
    shapes = list(llama_shapes().items())
    parts = {"a.safetensors": dict(shapes[:5]), "b.safetensors": dict(shapes[5:])}
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    shards = {file: safetensors_bytes(part) for file, part in parts.items()}
    files = {**model_files(model_safetensors=None), **shards, "model.safetensors.index.json": as_json(index)}
    folder = write_model(tmp_path / "model", files)
    assert registry.describe(f"path:{folder}").params == PARAMS
    (folder / "b.safetensors").unlink()
    with pytest.raises(BaseModelError) as caught:
        registry.describe(f"path:{folder}")
    assert caught.value.code == "base.incomplete"
    assert "b.safetensors" in caught.value.message


def test_a_separate_chat_template_file_counts(registry: ChainRegistry, tmp_path: Path) -> None:
    files = {**model_files(tokenizer_config_json=NO_TEMPLATE), "chat_template.jinja": b"<start_of_turn>"}
    assert registry.describe(f"path:{write_model(tmp_path / 'm', files)}").template == "gemma2"


def test_a_named_chat_template_list_gives_its_default(registry: ChainRegistry, tmp_path: Path) -> None:
    templates = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "[INST]"}]
    files = model_files(tokenizer_config_json=as_json({"chat_template": templates}))
    assert registry.describe(f"path:{write_model(tmp_path / 'm', files)}").template == "mistral"


def test_export_checks_close_export_and_nothing_else(registry: ChainRegistry, tmp_path: Path) -> None:
    files = model_files(config_json=config(architectures=["CohereForCausalLM"]))
    selector = f"path:{write_model(tmp_path / 'm', files)}"
    spec = registry.describe(selector)
    assert "CohereForCausalLM" in str(spec.export_refusal)
    assert registry.fetch(spec).spec == spec
    assert registry.describe(selector, skip_export_probes=True).export_refusal is None


def test_an_unknown_cutting_rule_is_a_note(registry: ChainRegistry, tmp_path: Path) -> None:
    files = model_files(tokenizer_json=as_json({**tokenizer(), "pre_tokenizer": {"type": "Whitespace"}}))
    spec = registry.describe(f"path:{write_model(tmp_path / 'm', files)}")
    assert (spec.tokenizer_pre, len(spec.notes)) == ("default", 1)


def test_a_broken_copy_in_the_cache_is_a_miss_that_is_told(home: Path, tmp_path: Path) -> None:
    environ = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    spec = tiny_base()
    snapshot = tmp_path / "hub" / "models--example--tiny" / "snapshots" / str(spec.revision)
    write_model(snapshot, model_files(model_safetensors=None))
    registry = ChainRegistry(sources=(HubCacheSource(environ),), hub=HubModelLookup(home, environ), home=home)
    with pytest.raises(BaseModelError) as caught:
        registry.fetch(spec)
    assert caught.value.code == "base.offline"
    assert "model.safetensors" in caught.value.message
    (snapshot / "model.safetensors").write_bytes(model_files()["model.safetensors"])
    assert registry.fetch(spec).origin == "hub-cache"


def test_the_digest_covers_what_is_loaded_and_nothing_else(tmp_path: Path) -> None:
    import hashlib

    folder = write_model(tmp_path / "m")
    expected = {name: hashlib.sha256(data).hexdigest() for name, data in model_files().items()}
    assert folder_digest(folder) == folder_sha256(expected)
    (folder / "README.md").write_text("x")
    (folder / "optimizer.pt").write_text("x")
    (folder / "onnx").mkdir()
    assert folder_digest(folder) == folder_sha256(expected)


def test_the_digest_is_read_once_and_again_after_a_change(
    registry: ChainRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_model(tmp_path / "m")
    spec = registry.describe(f"path:{folder}")
    digest = registry.fetch(spec).sha256
    assert digest == folder_digest(folder)
    with monkeypatch.context() as patch:
        patch.setattr("dlm.adapters.registry.digests.folder_digest", lambda *_, **__: pytest.fail("read again"))
        assert registry.fetch(spec).sha256 == digest
    (folder / "generation_config.json").write_bytes(as_json({"eos_token_id": 0}))
    assert registry.fetch(spec).sha256 == folder_digest(folder) != digest


def test_a_home_that_cannot_be_written_is_told_and_stops_nothing(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    (tmp_path / "home").write_text("a file where the folder should be")
    events: list[Event] = []
    assert DigestCache(tmp_path / "home" / "notes").digest(folder, emit=events.append) == folder_digest(folder)
    assert isinstance(events[-1], Note)
    assert "could not be noted" in events[-1].message


def test_a_damaged_note_of_a_digest_is_made_again(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    cache = DigestCache(tmp_path / "notes")
    digest = cache.digest(folder)
    (note,) = (tmp_path / "notes").iterdir()
    for damage in (b"", b"[]", b'{"files": 1}', b"\xff"):
        note.write_bytes(damage)
        assert cache.known(folder) is None
        assert cache.digest(folder) == digest


def test_the_made_model_loads_for_real(registry: ChainRegistry, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = write_model(tmp_path / "model")
    assert sum(p.numel() for p in AutoModelForCausalLM.from_pretrained(folder).parameters()) == PARAMS
    tok = AutoTokenizer.from_pretrained(folder)
    assert tok.decode(tok.encode("abc 12")) == "abc 12"
