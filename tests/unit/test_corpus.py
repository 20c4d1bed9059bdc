"""A document with the files it names: ids, rows, what changed, and what decides a training."""

from __future__ import annotations

from pathlib import Path

import attrs
from hypothesis import given
from hypothesis import strategies as st

from dlm.domain.corpus import Corpus
from dlm.domain.document import Document
from dlm.domain.lessons import MAX_ASKED_FILES, prose_to_ask, statement_rows
from dlm.domain.rows import Row, longest_row, weighted
from dlm.domain.sections import section_id
from dlm.domain.sources import SourceFile, SourceScan, source_content
from run_cases import a_document


def a_file(path: str = "notes/a.md", text: str = "The ferry to Nessa is dark green.\n", **parts: object) -> SourceFile:
    return SourceFile(
        kind="prose",
        path=path,
        location=Path("/nowhere") / path,
        size=len(text),
        section_id=section_id("prose", source_content(path, text)),
        sha256="0" * 64,
        read=lambda: text,
        **parts,
    )


def a_corpus(*files: SourceFile, document: Document | None = None) -> Corpus:
    return Corpus(document=document or a_document(), scan=SourceScan(files=files))


def test_rows_of_files_read_their_text_when_it_is_needed() -> None:
    *own, row = a_corpus(a_file()).rows
    assert tuple(own) == a_document().rows()
    assert (row.text, row.source) == ("", "notes/a.md")
    assert row.content == "# source: notes/a.md\n\nThe ferry to Nessa is dark green.\n"
    assert section_id("prose", row.content) == row.section_id
    assert longest_row([row], None) >= len(row.content) - len("# source: notes/a.md\n\n")


def test_the_delta_covers_files() -> None:
    before = a_corpus(a_file(), a_file("b.py", "x = 1\n"))
    after = a_corpus(a_file(text="The ferry is red now.\n"), a_file("b.py", "x = 1\n"))
    delta = after.delta(before.section_ids)
    assert delta.new == (a_file(text="The ferry is red now.\n").section_id,)
    assert delta.removed == (a_file().section_id,)
    assert set(delta.unchanged) == set(after.section_ids) - set(delta.new)


def test_sections_that_older_stores_know_by_another_id_are_unchanged() -> None:
    document = a_document("Prose with blank lines at its end.\n\n\n::instruction::\n### Q\nq\n### A\na\n")
    old = [section.legacy_id for section in document.sections]
    assert old[0] != document.sections[0].section_id
    delta = Corpus(document=document).delta(old)
    assert (delta.new, delta.removed) == ((), ())


@given(st.sets(st.sampled_from("abcdefgh")), st.sets(st.sampled_from("abcdefgh")))
def test_every_section_is_new_or_unchanged_and_every_lost_one_removed(before: set[str], after: set[str]) -> None:
    old, new = (a_corpus(*(a_file(f"{name}.md") for name in sorted(names))) for names in (before, after))
    delta = new.delta(old.section_ids)
    assert sorted((*delta.new, *delta.unchanged)) == sorted(new.section_ids)
    assert set(delta.removed) == set(old.section_ids) - set(new.section_ids)
    assert len(delta.new) == len(after - before)


class TestDigest:
    def test_it_stays_for_what_changes_nothing(self) -> None:
        first = a_corpus(a_file()).digest(seed=1)
        assert a_corpus(a_file()).digest(seed=1) == first
        moved = attrs.evolve(a_file(), location=Path("/elsewhere"))
        assert a_corpus(moved).digest(seed=1) == first
        uncached = a_document(training="cache:\n  enabled: false\nsources_policy: strict")
        assert Corpus(document=uncached).digest() == Corpus(document=a_document()).digest()

    def test_it_changes_with_everything_that_decides_a_training(self) -> None:
        corpora = [
            a_corpus(),
            a_corpus(a_file()),
            a_corpus(a_file(weight=2.0)),
            a_corpus(a_file(text="Other text.\n")),
            Corpus(document=a_document("Other prose.\n")),
            Corpus(document=a_document(base="other")),
            Corpus(document=a_document(training="learning_rate: 0.0002")),
            Corpus(document=a_document(training="lora_r: 8")),
            Corpus(document=a_document(training="retention: 3")),
        ]
        digests = [corpus.digest(seed=1, max_steps=None) for corpus in corpora]
        digests += [corpora[0].digest(seed=2, max_steps=None), corpora[0].digest(seed=1, max_steps=5)]
        assert len(set(digests)) == len(digests)


class TestWhatIsAskedFor:
    def test_notes_are_and_code_is_not(self) -> None:
        rows = a_corpus(a_file(), a_file("b.py", "The comment of a program is no statement.\n"), document=None).rows
        asked = {row.source for row in statement_rows(rows)}
        assert asked == {None, "notes/a.md"}

    def test_only_so_many_files_and_no_giants(self) -> None:
        files = [a_file(f"n/{index:04}.txt") for index in range(3 * MAX_ASKED_FILES)]
        giant = attrs.evolve(a_file("giant.md"), size=10**9)
        chosen = [row for row in prose_to_ask(a_corpus(giant, *files).rows) if row.source]
        assert len(chosen) == MAX_ASKED_FILES
        assert chosen[0].source == "n/0000.txt"
        assert chosen[-1].source > "n/0700.txt"


class TestWeights:
    def rows(self, weight: float) -> list[Row]:
        return [Row(kind="prose", section_id=f"{index:016x}", text="t", weight=weight) for index in range(200)]

    def test_whole_weights_are_copies(self) -> None:
        rows = self.rows(3.0)
        assert list(weighted(rows, 1)) == [row for row in rows for _ in range(3)]
        assert list(weighted(self.rows(1.0), 1)) == self.rows(1.0)

    def test_fractions_are_drawn_by_section_and_seed(self) -> None:
        rows = self.rows(0.5)
        first = list(weighted(rows, 1))
        assert first == list(weighted(rows, 1))
        assert first != list(weighted(rows, 2))
        assert 70 < len(first) < 130

    def test_the_draw_is_the_one_of_the_format(self) -> None:
        # blake2b-8 of "42:d79a25e710fee584" begins 0619dc61…: below 0.0239, above 0.0238.
        row = Row(kind="prose", section_id="d79a25e710fee584", text="t", weight=0.0239)
        assert list(weighted([row], 42)) == [row]
        assert list(weighted([attrs.evolve(row, weight=0.0238)], 42)) == []
