"""What every source of files does. Subclass it and give the fixtures ``sources`` and ``put``."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from dlm.domain.document import Document
from dlm.domain.errors import SourceError
from dlm.domain.events import Event, Progress
from dlm.domain.sections import Section
from dlm.domain.sources import SourceScan, source_content
from dlm.ports.sources import SourcesPort

ID = "01KPXZ0000000000000000000A"

Put = Callable[[str, Mapping[str, bytes]], Document]
"""``put("notes", {"a.md": b"text"})`` makes the tree exactly so and gives the document that it is meant for."""


def with_sources(document: Document, *directives: Mapping[str, Any], **training: Any) -> Document:
    """Give the document with these entries under ``training.sources``."""
    changes = {f"training.{key}": value for key, value in training.items()}
    return document.edit(set={"training.sources": [dict(entry) for entry in directives], **changes})


def paths(scan: SourceScan) -> list[str]:
    """Give the paths of the files, in order."""
    return [file.path for file in scan.files]


class SourcesContract:
    """The promises of :class:`dlm.ports.sources.SourcesPort`."""

    @pytest.fixture
    def sources(self) -> SourcesPort:
        raise NotImplementedError

    @pytest.fixture
    def put(self) -> Put:
        raise NotImplementedError

    def test_a_document_without_sources_gives_an_empty_scan(self, sources: SourcesPort, put: Put) -> None:
        events: list[Event] = []
        assert sources.scan(put("notes", {"a.md": b"x"}), emit=events.append) == SourceScan()
        assert events == []

    def test_text_files_come_in_order_with_their_facts(self, sources: SourcesPort, put: Put) -> None:
        tree = {"b.md": b"two\n", "a/z.txt": b"one", "a.md": b"three", "B.md": b"four"}
        scan = sources.scan(with_sources(put("notes", tree), {"path": "notes"}))
        assert paths(scan) == ["B.md", "a/z.txt", "a.md", "b.md"]
        first = scan.files[1]
        assert (first.kind, first.size, first.weight, dict(first.tags)) == ("prose", 3, 1.0, {})
        assert first.sha256 == hashlib.sha256(b"one").hexdigest()
        (counts,) = scan.directives
        assert (counts.path, counts.file_count, counts.total_bytes) == ("notes", 4, 16)
        assert scan.weight_distribution is None

    def test_the_id_is_that_of_the_section_it_becomes(self, sources: SourcesPort, put: Put) -> None:
        tree = {"crlf.md": b"\xef\xbb\xbfone\r\ntwo\rthree\n\n", "empty.md": b""}
        scan = sources.scan(with_sources(put("notes", tree), {"path": "notes"}))
        assert scan.files[0].read() == "one\ntwo\nthree\n\n"
        for file in scan.files:
            section = Section(type="prose", content=source_content(file.path, file.read()))
            assert file.section_id == section.section_id

    def test_patterns_choose(self, sources: SourcesPort, put: Put) -> None:
        tree = {
            "a.md": b"1",
            "a.py": b"2",
            "x/b.md": b"3",
            "x/old/c.md": b"4",
            "x/node_modules/d.md": b"5",
            ".env": b"6",
        }
        document = put("notes", tree)
        chosen = with_sources(document, {"path": "notes", "include": ["**/*.md"], "exclude": ["**/old/**"]})
        assert paths(sources.scan(chosen)) == ["a.md", "x/b.md"]
        assert paths(sources.scan(with_sources(document, {"path": "notes", "include": ["*"]}))) == ["a.md", "a.py"]

    def test_what_is_no_text_is_counted(self, sources: SourcesPort, put: Put) -> None:
        tree = {"a.bin": b"x\0y", "b.txt": b"caf\xe9", "c.txt": b"y" * 1024 + b"\0", "d.txt": b"plain"}
        scan = sources.scan(with_sources(put("notes", tree), {"path": "notes"}))
        assert paths(scan) == ["c.txt", "d.txt"]
        (counts,) = scan.directives
        assert (counts.skipped_binary, counts.skipped_encoding) == (1, 1)
        assert len(scan.warnings) == 1
        assert "b.txt" in scan.warnings[0]

    def test_limits_hold_for_each_directive(self, sources: SourcesPort, put: Put) -> None:
        put("notes", {"a.md": b"1", "b.md": b"22", "c.md": b"3"})
        document = put("more", {"d.md": b"4", "e.md": b"5"})
        few = with_sources(document, {"path": "notes", "max_files": 2}, {"path": "more", "max_files": 1})
        assert paths(sources.scan(few)) == ["a.md", "b.md", "d.md"]
        small = sources.scan(with_sources(document, {"path": "notes", "max_bytes_per_file": 1}))
        assert paths(small) == ["a.md", "c.md"]
        assert small.directives[0].skipped_over_size == 1

    def test_what_two_directives_give_comes_once(self, sources: SourcesPort, put: Put) -> None:
        put("notes", {"a.md": b"1", "b.md": b"2"})
        document = put("copy", {"a.md": b"1", "b.md": b"other"})
        scan = sources.scan(with_sources(document, {"path": "notes"}, {"path": "notes"}, {"path": "copy"}))
        assert paths(scan) == ["a.md", "b.md", "b.md"]
        assert [counts.file_count for counts in scan.directives] == [2, 0, 1]

    def test_a_missing_path_is_an_error_with_a_hint(self, sources: SourcesPort, put: Put) -> None:
        with pytest.raises(SourceError) as caught:
            sources.scan(with_sources(put("notes", {"a.md": b"1"}), {"path": "notse"}))
        assert caught.value.code == "sources.missing"
        assert caught.value.hint

    def test_a_file_that_changed_since_is_not_read(self, sources: SourcesPort, put: Put) -> None:
        document = with_sources(put("notes", {"a.md": b"1", "b.md": b"2", "c.md": b"3"}), {"path": "notes"})
        scan = sources.scan(document)
        put("notes", {"a.md": b"1", "b.md": b"X"})
        assert scan.files[0].read() == "1"
        for file in scan.files[1:]:
            with pytest.raises(SourceError) as caught:
                file.read()
            assert caught.value.code == "sources.changed"
        assert paths(sources.scan(document)) == ["a.md", "b.md"]

    def test_a_memory_changes_nothing_but_the_time(self, sources: SourcesPort, put: Put, tmp_path: Path) -> None:
        document = with_sources(put("notes", {"a.md": b"1", "b.bin": b"\0", "c.md": b"\xff"}), {"path": "notes"})
        memory = tmp_path / "cache" / "scan"
        plain = sources.scan(document)
        assert sources.scan(document, memory=memory) == plain
        assert sources.scan(document, memory=memory) == plain
        memory.parent.mkdir(exist_ok=True)
        memory.write_bytes(b"damaged")
        assert sources.scan(document, memory=memory) == plain
        put("notes", {"a.md": b"2"})
        assert sources.scan(document, memory=memory, remember=False).files[0].read() == "2"

    def test_progress_ends_with_the_number_of_files(self, sources: SourcesPort, put: Put) -> None:
        events: list[Event] = []
        sources.scan(with_sources(put("notes", {"a.md": b"1", "b.md": b"2"}), {"path": "notes"}), emit=events.append)
        assert events[-1] == Progress(stage="scan", done=2, total=2, unit="files")
