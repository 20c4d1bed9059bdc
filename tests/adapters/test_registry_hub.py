"""The Hub adapters against a small Hub on this machine, spoken to by the Hub's own client library."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from base_hub_server import COMMIT, HubModel, LocalHub, local_hub
from base_made import PARAMS, as_json, config, model_files
from dlm.adapters.hub import HubCacheSource, HubDownloadSource, HubModelLookup
from dlm.adapters.registry import ChainRegistry
from dlm.domain.errors import BaseModelError, DlmError, LicenseError
from dlm.domain.events import Event, Note, Progress
from dlm.testing.registries import tiny_base

SPEC = tiny_base(key="hf:example/tiny", revision=COMMIT)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with local_hub() as served:
        yield served


@pytest.fixture
def environ(hub: LocalHub, tmp_path: Path) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": "hf_test"}


@pytest.fixture
def registry(environ: dict[str, str], home: Path) -> ChainRegistry:
    return made(environ, home)


def made(environ: dict[str, str], home: Path) -> ChainRegistry:
    sources = (HubCacheSource(environ), HubDownloadSource(environ))
    return ChainRegistry(sources=sources, hub=HubModelLookup(home, environ), home=home)


def test_a_base_is_downloaded_at_its_pinned_commit_and_then_found_in_the_cache(
    hub: LocalHub, registry: ChainRegistry, environ: dict[str, str], home: Path
) -> None:
    hub.models["example/tiny"] = HubModel(files=model_files())
    events: list[Event] = []
    base = registry.fetch(SPEC, emit=events.append)
    assert (base.origin, base.folder.name) == ("hub", COMMIT)
    assert {path.name for path in base.folder.iterdir()} == set(model_files())
    assert isinstance(events[0], Note)
    assert hub.url in events[0].message
    size = sum(map(len, model_files().values()))
    assert Progress(stage="download", done=size, total=size, unit="B") in events
    hub.requests.clear()
    again = made({**environ, "HF_HUB_OFFLINE": "1"}, home).fetch(SPEC, emit=events.append)
    assert (again.origin, again.folder, hub.requests) == ("hub-cache", base.folder, [])


def test_the_token_is_sent(hub: LocalHub, registry: ChainRegistry) -> None:
    hub.models["example/tiny"] = HubModel(files=model_files())
    registry.fetch(SPEC)
    assert hub.tokens == {"Bearer hf_test"}


def test_program_code_and_pickles_are_never_fetched(hub: LocalHub, registry: ChainRegistry) -> None:
    unwanted = {"pytorch_model.bin": b"x", "modeling.py": b"x", "onnx/model.safetensors": b"x", "a.pkl": b"x"}
    hub.models["example/tiny"] = HubModel(files={**model_files(), **unwanted, "consolidated.safetensors": b"x"})
    base = registry.fetch(SPEC)
    assert {path.name for path in base.folder.iterdir()} == set(model_files())


def test_a_transfer_shows_no_bar_on_the_terminal(
    hub: LocalHub, registry: ChainRegistry, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.models["example/tiny"] = HubModel(files=model_files())
    registry.fetch(SPEC)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("status", [401, 403])
def test_a_gate_tells_to_accept_on_the_hub_and_log_in(hub: LocalHub, registry: ChainRegistry, status: int) -> None:
    hub.models["example/tiny"] = HubModel(files=model_files(), gate=(status, "GatedRepo"))
    for use in (lambda: registry.fetch(SPEC), lambda: registry.describe("hf:example/tiny")):
        with pytest.raises(LicenseError) as caught:
            use()
        assert caught.value.code == "base.gated-on-hub"
        assert "accept the terms" in str(caught.value.hint)
        assert "hf auth login" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("model", "code"),
    [
        (None, "base.not-found"),
        (HubModel(files=model_files(), api_status=401, api_error="RepoNotFound"), "base.not-found"),
        (HubModel(files=model_files(), api_status=401), "base.not-allowed"),
        (HubModel(files=model_files(), api_status=403), "base.not-allowed"),
        (HubModel(files=model_files(), api_status=500), "base.hub-failed"),
        (HubModel(files=model_files(), sha="b" * 40), "base.commit-mismatch"),
        (HubModel(files=model_files(), sha="main"), "base.commit-mismatch"),
        (HubModel(files=model_files(model_safetensors=None)), "base.no-weights"),
        (HubModel(files={**model_files(model_safetensors=None), "pytorch_model.bin": b""}), "base.unsafe-weights"),
        (HubModel(files=model_files(config_json=None)), "base.not-a-model"),
    ],
)
def test_what_cannot_be_served_is_told(
    hub: LocalHub, registry: ChainRegistry, model: HubModel | None, code: str
) -> None:
    if model is not None:
        hub.models["example/tiny"] = model
    with pytest.raises(BaseModelError) as caught:
        registry.fetch(SPEC)
    assert (caught.value.code, bool(caught.value.hint)) == (code, True)
    assert "example/tiny" in caught.value.message or "no config.json" in caught.value.message


def test_a_commit_that_is_gone_is_told(hub: LocalHub, registry: ChainRegistry) -> None:
    hub.models["example/tiny"] = HubModel(files=model_files())
    with pytest.raises(BaseModelError) as caught:
        registry.fetch(attrs.evolve(SPEC, revision="c" * 40))
    assert caught.value.code == "base.revision-missing"


def test_a_transfer_that_breaks_off_leaves_nothing_that_looks_whole(
    hub: LocalHub, registry: ChainRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    hub.models["example/tiny"] = HubModel(files=model_files(), sent_bytes=100)
    with pytest.raises(DlmError):
        registry.fetch(SPEC)
    hub.models["example/tiny"] = HubModel(files=model_files())
    assert registry.fetch(SPEC).origin == "hub"


def test_a_server_that_serves_a_cut_off_file_is_found_out(hub: LocalHub, registry: ChainRegistry) -> None:
    cut = model_files()["model.safetensors"][:-10]
    hub.models["example/tiny"] = HubModel(files=model_files(model_safetensors=cut))
    with pytest.raises(BaseModelError) as caught:
        registry.fetch(SPEC)
    assert caught.value.code == "base.damaged"


def test_a_cut_off_file_in_the_cache_is_fetched_anew(hub: LocalHub, registry: ChainRegistry) -> None:
    hub.models["example/tiny"] = HubModel(files=model_files())
    stored = registry.fetch(SPEC).folder / "model.safetensors"
    stored.resolve().write_bytes(stored.read_bytes()[:100])
    again = registry.fetch(SPEC)
    assert (again.origin, stored.read_bytes()) == ("hub", model_files()["model.safetensors"])


def test_without_an_answer_every_place_is_listed(registry: ChainRegistry, environ: dict[str, str], home: Path) -> None:
    dead = {**environ, "HF_ENDPOINT": "http://127.0.0.1:9"}
    with pytest.raises(BaseModelError) as caught:
        made(dead, home).fetch(SPEC)
    assert caught.value.code == "base.offline"
    assert "local Hub cache" in caught.value.message
    assert "http://127.0.0.1:9: it could not be reached" in caught.value.message
    with pytest.raises(BaseModelError) as caught:
        made(dead, home).describe("hf:example/tiny")
    assert caught.value.code == "base.offline"
    assert "http://127.0.0.1:9" in caught.value.message


def test_a_switched_off_network_is_named_as_the_reason(environ: dict[str, str], home: Path, hub: LocalHub) -> None:
    offline = made({**environ, "HF_HUB_OFFLINE": "1"}, home)
    for use in (lambda: offline.fetch(SPEC), lambda: offline.describe("hf:example/tiny")):
        with pytest.raises(BaseModelError) as caught:
            use()
        assert caught.value.code == "base.offline"
        assert "unset HF_HUB_OFFLINE" in str(caught.value.hint)
    assert hub.requests == []


def test_a_hub_id_is_described_and_then_known_without_the_network(
    hub: LocalHub, registry: ChainRegistry, environ: dict[str, str], home: Path
) -> None:
    hub.models["example/tiny"] = HubModel(files=model_files(), params=12_345)
    spec = registry.describe("hf:example/tiny")
    assert (spec.revision, spec.params, spec.tokenizer_pre) == (COMMIT, 12_345, "smollm")
    assert not any("safetensors" in path for _, path in hub.requests)
    hub.requests.clear()
    offline = made({**environ, "HF_HUB_OFFLINE": "1"}, home)
    assert offline.describe("hf:example/tiny", pinned_revision=COMMIT) == spec
    assert hub.requests == []


def test_a_copy_fetched_by_another_program_is_described_without_the_network(
    hub: LocalHub, environ: dict[str, str], tmp_path: Path
) -> None:
    hub.models["example/tiny"] = HubModel(files=model_files())
    made(environ, tmp_path / "one").fetch(SPEC)
    offline = made({**environ, "HF_HUB_OFFLINE": "1"}, tmp_path / "two")
    assert offline.describe("hf:example/tiny", pinned_revision=COMMIT).params == PARAMS


def test_all_that_is_wrong_with_a_model_is_told_at_once(hub: LocalHub, registry: ChainRegistry) -> None:
    files = model_files(
        config_json=config(auto_map={"AutoConfig": "x.Y"}),
        tokenizer_config_json=as_json({}),
        model_safetensors=None,
    )
    hub.models["example/tiny"] = HubModel(files={**files, "pytorch_model.bin": b""})
    with pytest.raises(BaseModelError) as caught:
        registry.describe("hf:example/tiny")
    assert "3 of 9 checks failed" in caught.value.message
    assert set(caught.value.details["probes"]) == {"weights", "remote_code", "chat_template"}


def test_a_listed_repository_needs_no_network_and_keeps_its_licence(registry: ChainRegistry, hub: LocalHub) -> None:
    spec = registry.describe("hf:meta-llama/Llama-3.2-1B-Instruct")
    assert (spec.key, spec.requires_acceptance) == ("hf:meta-llama/Llama-3.2-1B-Instruct", True)
    assert registry.describe(spec.key, pinned_revision="d" * 40).revision == "d" * 40
    assert hub.requests == []


def test_a_damaged_note_makes_the_hub_be_asked_again(hub: LocalHub, registry: ChainRegistry, home: Path) -> None:
    hub.models["example/tiny"] = HubModel(files=model_files())
    spec = registry.describe("hf:example/tiny")
    (note,) = (home / "bases" / "hub").iterdir()
    assert json.loads(note.read_bytes())["files"]
    note.write_bytes(b"{")
    hub.requests.clear()
    assert registry.describe("hf:example/tiny", pinned_revision=COMMIT) == spec
    assert hub.requests
