"""The importance matrix of a document, on fakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from dlm.app.importance import MAX_RECALLED, importance_of
from dlm.domain.base_models import ResolvedBase
from dlm.domain.document import Document
from dlm.domain.errors import ExportError, ReplayError, SourceError
from dlm.domain.events import Event, Note, Progress
from dlm.domain.replay import Snapshot
from dlm.domain.sections import section_id
from dlm.ports.importance_cache import KeptImportance
from dlm.testing.clocks import A_MOMENT
from dlm.testing.imatrices import FlatImatrix
from dlm.testing.importance_caches import MemoryImportanceCache
from dlm.testing.registries import tiny_base
from dlm.testing.replays import MemoryReplay
from dlm.testing.sources import MemorySources
from dlm.testing.stores import MemoryStore
from run_cases import BODY, ID, a_document

LONG = "The tide comes in twice a day. " * 60
"""Some 1,900 characters; a character is a token of the fake."""


@attrs.define
class Desk:
    """An export's surroundings; ``base`` has a digest."""

    folder: Path
    imatrix: FlatImatrix = attrs.field(factory=FlatImatrix)
    cache: MemoryImportanceCache = attrs.field(factory=MemoryImportanceCache)
    replay: MemoryReplay = attrs.field(factory=MemoryReplay)
    sources: MemorySources = attrs.field(factory=MemorySources)
    store: MemoryStore = attrs.field(factory=MemoryStore)
    events: list[Event] = attrs.field(factory=list)

    def base(self, sha256: str | None = "a" * 64) -> ResolvedBase:
        config = {"num_hidden_layers": 2, "hidden_size": 32}
        return ResolvedBase(spec=tiny_base(), folder=self.folder, origin="folder", config=config, sha256=sha256)

    def ask(self, document: Document, **changes: Any) -> KeptImportance | None:
        parts = {name: getattr(self, name) for name in ("imatrix", "cache", "replay", "sources", "store")}
        base = changes.pop("base", self.base())
        return importance_of(document, base, emit=self.events.append, **{**parts, **changes})

    @property
    def notes(self) -> list[Note]:
        return [event for event in self.events if isinstance(event, Note)]

    def remember(self, *contents: str) -> None:
        sections = [
            Snapshot(
                section_id=section_id("prose", content),
                type="prose",
                content=content,
                first_seen_at=A_MOMENT,
                last_seen_at=A_MOMENT,
            )
            for content in contents
        ]
        self.replay.record(ID, sections, run_id=1, now=A_MOMENT)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


class TestText:
    def test_what_the_document_says_now_then_what_it_once_said(self, desk: Desk) -> None:
        desk.remember("Old one.", "Old two.")
        assert desk.ask(a_document(f"{BODY}\n{LONG}")) is not None
        (text,) = desk.imatrix.texts
        assert text.startswith("# The harbour\n\nThe harbour master")
        assert "### Q\nWho is the harbour master of Velm?" in text
        old = sorted(["Old one.", "Old two."], key=lambda content: section_id("prose", content))
        assert text.endswith("\n\n".join(["", *old]))

    def test_a_section_that_is_still_there_is_read_once(self, desk: Desk) -> None:
        document = a_document(LONG)
        desk.remember(document.sections[0].content.rstrip("\n"))
        desk.ask(document)
        assert desk.imatrix.texts == (LONG.strip(),)

    def test_files_are_read_with_their_names(self, desk: Desk) -> None:
        desk.sources.trees["notes"] = {"b.txt": LONG.encode(), "a.txt": b"First.\n"}
        desk.ask(a_document("Own.\n", training="sources:\n  - path: notes"))
        (text,) = desk.imatrix.texts
        assert text == f"Own.\n\n# source: a.txt\n\nFirst.\n\n# source: b.txt\n\n{LONG.strip()}"

    def test_a_file_that_changed_meanwhile_is_left_out_and_told(self, desk: Desk) -> None:
        class Changing(MemorySources):
            def scan(self, document: Document, **options: Any) -> Any:
                found = super().scan(document, **options)
                self.trees["notes"]["a.txt"] = b"changed"
                return found

        desk.sources = Changing({"notes": {"a.txt": b"as it was"}})
        assert desk.ask(a_document(LONG, training="sources:\n  - path: notes")) is not None
        assert desk.imatrix.texts == (LONG.strip(),)
        assert [(note.subject, note.severity) for note in desk.notes] == [("importance", "warning")]
        assert "a.txt is left out" in desk.notes[0].message

    def test_a_missing_source_ends_it(self, desk: Desk) -> None:
        with pytest.raises(SourceError):
            desk.ask(a_document(LONG, training="sources:\n  - path: nowhere"))

    def test_a_full_text_reads_nothing_of_the_past(self, desk: Desk) -> None:
        class Untouched(MemoryReplay):
            def sample(self, *_: Any, **__: Any) -> Any:
                raise AssertionError("read")

        desk.replay = Untouched()
        assert desk.ask(a_document("word " * 120_000)) is not None
        assert len(desk.imatrix.texts[0]) == 524_288

    def test_no_more_of_the_past_is_read_than_fills_the_text(self, desk: Desk) -> None:
        desk.remember(*(f"section {number}" for number in range(MAX_RECALLED + 9)))
        desk.ask(a_document("Own.\n"))
        assert desk.imatrix.texts[0].count("section") == MAX_RECALLED

    def test_damage_of_the_past_is_told(self, desk: Desk) -> None:
        class Damaged(MemoryReplay):
            def problems(self, dlm_id: str) -> tuple[ReplayError, ...]:
                return (ReplayError("replay.damaged", f"{dlm_id} lost a section", hint="None."),)

        desk.replay = Damaged()
        desk.ask(a_document(LONG))
        assert [(note.subject, note.severity) for note in desk.notes] == [("replay", "warning")]


class TestKeeping:
    def test_the_second_export_measures_nothing(self, desk: Desk) -> None:
        first = desk.ask(a_document(LONG))
        assert any(isinstance(event, Progress) and event.stage == "imatrix" for event in desk.events)
        desk.imatrix.texts = ()
        desk.events.clear()
        assert desk.ask(a_document(LONG)) == first
        assert (desk.imatrix.texts, desk.events) == ((), [])

    @pytest.mark.parametrize("change", ["text", "past", "base"])
    def test_what_is_new_is_measured(self, desk: Desk, change: str) -> None:
        desk.ask(a_document(LONG))
        desk.imatrix.texts = ()
        if change == "past":
            desk.remember("Once said.")
        base = desk.base("b" * 64 if change == "base" else "a" * 64)
        assert desk.ask(a_document(LONG + ("!" if change == "text" else "")), base=base) is not None
        assert len(desk.imatrix.texts) == 1

    def test_a_setting_that_is_not_text_changes_nothing(self, desk: Desk) -> None:
        first = desk.ask(a_document(LONG))
        desk.imatrix.texts = ()
        assert desk.ask(a_document(LONG, training="num_epochs: 2")) == first
        assert desk.imatrix.texts == ()

    def test_a_failure_passes_and_keeps_nothing(self, desk: Desk) -> None:
        class Failing(FlatImatrix):
            def collect(self, *_: Any, **__: Any) -> int:
                raise ExportError("export.imatrix-failed", "no", hint="None.")

        with pytest.raises(ExportError):
            desk.ask(a_document(LONG), imatrix=Failing())
        assert desk.ask(a_document(LONG)) is not None

    def test_a_base_without_a_digest_is_a_mistake_of_the_caller(self, desk: Desk) -> None:
        with pytest.raises(ValueError, match="digest"):
            desk.ask(a_document(LONG), base=desk.base(None))


class TestTooLittle:
    def test_a_short_document_is_never_loaded_for(self, desk: Desk) -> None:
        class Untouched(FlatImatrix):
            def collect(self, *_: Any, **__: Any) -> int:
                raise AssertionError("loaded")

        assert desk.ask(a_document("Short.\n"), imatrix=Untouched(), base=desk.base(None)) is None
        assert [note.severity for note in desk.notes] == ["info"]
        assert "static quantisation" in desk.notes[0].message

    def test_one_piece_is_too_little_and_said(self, desk: Desk) -> None:
        class Coarse(FlatImatrix):
            def collect(self, *_: Any, **__: Any) -> int:
                return 1

        assert desk.ask(a_document(LONG), imatrix=Coarse()) is None
        assert [note.message.count("only one") for note in desk.notes] == [1]
        assert list(desk.cache.folder.iterdir()) == []
