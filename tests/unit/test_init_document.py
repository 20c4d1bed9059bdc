"""Making a document: order of checks, licences, what is written, and that a failure leaves nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from dlm.app.init import InitResult, init
from dlm.domain.base_models import BaseSpec, ResolvedBase
from dlm.domain.base_rows import BASES, find_base
from dlm.domain.document import Document
from dlm.domain.errors import (
    BaseModelError,
    DiskError,
    InitError,
    LicenseError,
    StoreError,
    TemplateError,
    UsageError,
)
from dlm.domain.events import Emit, Event, Note, ignore
from dlm.testing.clocks import A_MOMENT, FixedClock
from dlm.testing.galleries import MemoryGallery, a_template
from dlm.testing.stores import MemoryStore

GATED = "llama-3.2-1b"


class Registry:
    """The table of bases, and a record of what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bool]] = []

    def describe(
        self, selector: str, *, pinned_revision: str | None = None, skip_export_probes: bool = False
    ) -> BaseSpec:
        self.asked.append((selector, skip_export_probes))
        return find_base(selector)

    def fetch(self, spec: BaseSpec, *, bundled: Path | None = None, emit: Emit = ignore) -> ResolvedBase:
        raise AssertionError("init downloads nothing")

    def digest(self, base: ResolvedBase) -> str:
        raise AssertionError("init reads no weights")


@attrs.define
class World:
    """Everything ``init`` talks to."""

    store: MemoryStore = attrs.field(factory=MemoryStore)
    registry: Registry = attrs.field(factory=Registry)
    gallery: MemoryGallery = attrs.field(
        factory=lambda: MemoryGallery([a_template("recipes"), a_template("gated", base=GATED)])
    )
    clock: FixedClock = attrs.field(factory=FixedClock)
    events: list[Event] = attrs.field(factory=list)

    def init(self, path: Path, **options: Any) -> InitResult:
        return init(
            path,
            **options,
            store=self.store,
            registry=self.registry,
            gallery=self.gallery,
            clock=self.clock,
            emit=self.events.append,
        )

    def next_id(self) -> str:
        """Give the id that the next document gets; nothing uses it up."""
        twin = FixedClock(self.clock.moment)
        twin._ids = self.clock._ids
        return twin.ulid()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.dlm"


def test_a_document_and_its_store_are_made(world: World, path: Path) -> None:
    result = world.init(path)
    document = Document.load(path)
    manifest = world.store.manifest(result.dlm_id)
    assert (document.dlm_id, document.base_model) == (result.dlm_id, "qwen2.5-1.5b")
    assert manifest is not None
    assert (manifest.base_model, manifest.base_model_revision) == ("qwen2.5-1.5b", BASES["qwen2.5-1.5b"].revision)
    assert manifest.source_path == str(path)
    assert manifest.license_acceptance is None
    assert manifest.skip_export_probes is False
    assert result == InitResult(
        path=path, dlm_id=document.dlm_id, base="qwen2.5-1.5b", template=None, replaced_id=None, notes=()
    )
    assert json.loads(json.dumps(result.to_json()))["path"] == str(path)


def test_missing_folders_are_made_for_both_routes(world: World, tmp_path: Path) -> None:
    assert world.init(tmp_path / "a" / "b" / "one.dlm").path.is_file()
    assert world.init(tmp_path / "c" / "d" / "two.dlm", template="recipes").path.is_file()


def test_a_relative_path_is_kept_as_an_absolute_one(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = world.init(Path("notes.dlm"))
    manifest = world.store.manifest(result.dlm_id)
    assert manifest is not None
    assert manifest.source_path == str(tmp_path / "notes.dlm")


def test_skipping_export_probes_is_passed_on_and_remembered(world: World, path: Path) -> None:
    result = world.init(path, skip_export_probes=True)
    manifest = world.store.manifest(result.dlm_id)
    assert world.registry.asked == [("qwen2.5-1.5b", True)]
    assert manifest is not None
    assert manifest.skip_export_probes is True


# Existing files.


def test_an_existing_file_is_refused_first_of_all(world: World, path: Path) -> None:
    path.write_text("mine")
    with pytest.raises(InitError) as caught:
        world.init(path, template="no-such", kind="audio", base="no-such")
    assert (caught.value.code, caught.value.subject, caught.value.exit_code) == ("init.exists", "init", 1)
    assert path.read_text() == "mine"
    assert world.registry.asked == []


def test_force_gives_a_new_id_and_tells_the_old_one(world: World, path: Path) -> None:
    first = world.init(path)
    second = world.init(path, force=True)
    assert second.replaced_id == first.dlm_id != second.dlm_id
    assert Document.load(path).dlm_id == second.dlm_id
    assert world.store.manifest(first.dlm_id) is not None


def test_force_over_something_else_says_so(world: World, path: Path) -> None:
    path.write_bytes(b"\xff\xfe not a document")
    result = world.init(path, force=True)
    assert result.replaced_id is None
    assert any("not a readable document" in note for note in result.notes)


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_is_never_replaced(world: World, tmp_path: Path, force: bool) -> None:
    with pytest.raises(InitError) as caught:
        world.init(tmp_path, force=force)
    assert caught.value.code == "init.not-a-file"


def test_a_dangling_link_counts_as_existing(world: World, tmp_path: Path, path: Path) -> None:
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(InitError):
        world.init(path)


# Bases and kinds.


def test_an_unknown_base_ends_it_with_nothing_made(world: World, path: Path) -> None:
    with pytest.raises(BaseModelError):
        world.init(path, base="gpt-9")
    assert not path.exists()
    assert world.store.manifest(FixedClock().ulid()) is None


def test_a_base_that_is_listed_but_refused_is_refused(world: World, path: Path) -> None:
    refused = next(row for row in BASES.values() if row.refusal)
    with pytest.raises(BaseModelError) as caught:
        world.init(path, base=refused.key, kind="multimodal")
    assert caught.value.code == "base.refused"


@pytest.mark.parametrize(
    ("kind", "base"), [("multimodal", "paligemma-3b-mix-224"), ("audio", "qwen2-audio-7b-instruct")]
)
def test_media_documents_get_a_base_that_fits_and_skip_export_probes(
    world: World, path: Path, kind: str, base: str
) -> None:
    result = world.init(path, kind=kind, accept_license=True)
    manifest = world.store.manifest(result.dlm_id)
    assert result.base == base
    assert world.registry.asked == [(base, True)]
    assert manifest is not None
    assert manifest.skip_export_probes is True


@pytest.mark.parametrize(
    ("kind", "base"),
    [("multimodal", "qwen2.5-1.5b"), ("audio", "qwen2.5-1.5b"), ("audio", "qwen2-vl-2b-instruct"),
     ("multimodal", "qwen2-audio-7b-instruct")],
)  # fmt: skip
def test_an_explicit_base_of_another_modality_is_misuse(world: World, path: Path, kind: str, base: str) -> None:
    with pytest.raises(UsageError) as caught:
        world.init(path, kind=kind, base=base)
    assert (caught.value.code, caught.value.subject, caught.value.exit_code) == ("init.wrong-modality", "init", 2)
    assert BASES[base].modality in caught.value.message
    assert not path.exists()


def test_a_text_document_on_a_picture_base_is_made_with_a_note(world: World, path: Path) -> None:
    result = world.init(path, base="qwen2-vl-2b-instruct")
    assert any("--multimodal" in note for note in result.notes)


# Templates.


def test_a_template_brings_its_base_and_gets_a_fresh_id(world: World, path: Path) -> None:
    result = world.init(path, template="recipes")
    document = Document.load(path)
    assert (result.template, result.base, document.base_model) == ("recipes", "smollm2-135m", "smollm2-135m")
    assert document.dlm_id == result.dlm_id != Document.parse(a_template().document_text).dlm_id
    assert result.notes == ()


def test_the_recommended_base_wins_over_the_one_in_the_text(world: World, path: Path) -> None:
    template = a_template("odd")
    other = attrs.evolve(template, document_text=template.document_text.replace("smollm2-135m", "qwen3-8b"))
    world.gallery = MemoryGallery([other])
    result = world.init(path, template="odd")
    manifest = world.store.manifest(result.dlm_id)
    assert manifest is not None
    assert Document.load(path).base_model == manifest.base_model == "smollm2-135m"


def test_another_base_beside_a_template_is_ignored_with_a_note(world: World, path: Path) -> None:
    result = world.init(path, template="recipes", base="qwen3-8b")
    assert result.base == "smollm2-135m"
    assert [note for note in result.notes if "qwen3-8b is ignored" in note]
    assert [event.message for event in world.events if isinstance(event, Note)] == list(result.notes)
    same = world.init(path.with_name("same.dlm"), template="recipes", base="smollm2-135m")
    assert same.notes == ()


def test_an_unknown_template_ends_it(world: World, path: Path) -> None:
    with pytest.raises(TemplateError) as caught:
        world.init(path, template="no-such")
    assert caught.value.exit_code == 1
    assert not path.exists()


@pytest.mark.parametrize("kind", ["multimodal", "audio"])
def test_a_template_together_with_media_is_misuse(world: World, path: Path, kind: str) -> None:
    with pytest.raises(UsageError) as caught:
        world.init(path, template="recipes", kind=kind)
    assert (caught.value.subject, caught.value.exit_code) == ("init", 2)


# Licences.


def test_a_gated_base_without_anybody_to_ask_is_refused(world: World, path: Path) -> None:
    with pytest.raises(LicenseError) as caught:
        world.init(path, base=GATED)
    assert caught.value.exit_code == 1
    assert "--i-accept-license" in str(caught.value.hint)
    assert not path.exists()


@pytest.mark.parametrize(
    ("options", "via"), [({"accept_license": True}, "cli_flag"), ({"ask": lambda _: True}, "interactive")]
)
@pytest.mark.parametrize("choice", [{"base": GATED}, {"template": "gated"}])
def test_saying_yes_is_recorded(
    world: World, path: Path, options: dict[str, Any], via: str, choice: dict[str, str]
) -> None:
    result = world.init(path, **choice, **options)
    manifest = world.store.manifest(result.dlm_id)
    assert manifest is not None
    record = manifest.license_acceptance
    assert record is not None
    assert (record.via, record.license_url, record.accepted_at) == (via, BASES[GATED].license_url, A_MOMENT)


def test_the_question_shows_the_terms_and_no_means_no(world: World, path: Path) -> None:
    questions: list[str] = []

    def ask(question: str) -> bool:
        questions.append(question)
        return False

    with pytest.raises(LicenseError):
        world.init(path, base=GATED, ask=ask)
    assert len(questions) == 1
    assert str(BASES[GATED].license_url) in questions[0]
    assert not path.exists()


def test_nobody_is_asked_for_a_free_base(world: World, path: Path) -> None:
    def ask(question: str) -> bool:
        raise AssertionError(question)

    result = world.init(path, ask=ask, accept_license=True)
    manifest = world.store.manifest(result.dlm_id)
    assert manifest is not None
    assert manifest.license_acceptance is None


# All or nothing.


def fail_with(error: BaseException) -> Callable[..., Any]:
    def failing(*_: Any, **__: Any) -> Any:
        raise error

    return failing


@pytest.mark.parametrize("error", [DiskError("disk.full", "no room left"), KeyboardInterrupt()])
def test_when_the_document_cannot_be_written_the_store_is_removed(
    world: World, path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    expected = world.next_id()
    monkeypatch.setattr(Document, "save", fail_with(error))
    with pytest.raises(type(error)):
        world.init(path)
    assert world.store.manifest(expected) is None
    assert not path.exists()


def test_when_the_store_cannot_be_made_the_former_document_stays(
    world: World, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.init(path)
    monkeypatch.setattr(MemoryStore, "writer", fail_with(StoreError("store.io", "broken")))
    with pytest.raises(StoreError):
        world.init(path, force=True)
    assert Document.load(path).dlm_id == first.dlm_id


def test_a_folder_that_cannot_be_made_is_our_error(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    expected = world.next_id()
    with pytest.raises(StoreError):
        world.init(tmp_path / "file" / "notes.dlm")
    assert world.store.manifest(expected) is None


def test_a_template_that_is_no_document_makes_nothing(world: World, path: Path) -> None:
    broken = attrs.evolve(a_template("broken"), document_text="no document")
    world.gallery = MemoryGallery([broken])
    expected = world.next_id()
    with pytest.raises(TemplateError):
        world.init(path, template="broken")
    assert not path.exists()
    assert world.store.manifest(expected) is None
