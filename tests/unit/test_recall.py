"""What of removed sections is read again: all that the document does not say otherwise now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.domain.document import Document
from dlm.domain.lessons import is_read, turns_in_pass
from dlm.domain.recall import recalled_rows
from dlm.domain.recipe import FEWEST_READINGS, replay_every
from dlm.domain.replay import Snapshot
from dlm.domain.rows import Row, Turn

SEEN = datetime(2026, 4, 23, 18, 42, 11, tzinfo=UTC)
HEAD = "---\ndlm_id: 01KPXZ0000000000000000000A\ndlm_version: 15\nbase_model: tiny\n---\n"


def rows_of(body: str) -> tuple[Row, ...]:
    return Document.parse(HEAD + body).rows()


def remembered(body: str) -> list[Snapshot]:
    """Give the sections of a body as the corpus keeps them."""
    return [
        Snapshot(
            section_id=section.section_id,
            type=section.type,
            content=section.content.rstrip("\n"),
            first_seen_at=SEEN,
            last_seen_at=SEEN,
        )
        for section in Document.parse(HEAD + body).sections
    ]


PAIRS = """::instruction::
### Q
Who keeps the harbour?

### A
Ada Quint.

### Q
When does it close?

### A
At 6:40.
"""
PROSE = "The ferry to Nessa is dark green. The bell of Orla rings every hour at night.\n"


def test_a_removed_section_comes_back_as_it_was() -> None:
    (section,) = remembered(PAIRS)
    rows = recalled_rows([section], rows_of("Something else entirely.\n"))
    assert [(row.question, row.answer, row.sub) for row in rows] == [
        ("Who keeps the harbour?", "Ada Quint.", 0),
        ("When does it close?", "At 6:40.", 1),
    ]
    assert {row.section_id for row in rows} == {f"replay:{section.section_id}:2026-04-23T18:42:11Z"}
    assert all(row.is_replay for row in rows)


def test_a_corrected_answer_is_not_undone() -> None:
    now = rows_of(PAIRS.replace("Ada Quint.", "Ben Tarr."))
    rows = recalled_rows(remembered(PAIRS), now)
    assert rows == ()
    one_left = rows_of("::instruction::\n### Q\nwho keeps the harbour\n\n### A\nBen Tarr.\n")
    assert [row.question for row in recalled_rows(remembered(PAIRS), one_left)] == ["When does it close?"]


def test_removed_prose_comes_back_with_its_sentences() -> None:
    rows = recalled_rows(remembered(PROSE), rows_of("Nothing of the kind stands here now.\n"))
    assert [row.kind for row in rows] == ["prose", "instruction", "instruction"]
    assert rows[1].answer == "The ferry to Nessa is dark green."


def test_an_edited_sentence_is_not_undone() -> None:
    now = rows_of(PROSE.replace("dark green", "bright red"))
    rows = recalled_rows(remembered(PROSE), now)
    assert rows == (), "the old text says what the document now says otherwise"
    cut = rows_of("The ferry to Nessa is bright red.\n")
    assert [row.answer for row in recalled_rows(remembered(PROSE), cut)] == [
        "The bell of Orla rings every hour at night."
    ]


def test_the_old_state_of_a_file_that_is_still_there_is_left() -> None:
    old = Snapshot(
        section_id="0" * 16,
        type="prose",
        content="# source: notes/a.md\n\nThe ferry to Nessa is dark green.",
        first_seen_at=SEEN,
        last_seen_at=SEEN,
    )
    here = Row(kind="prose", section_id="1" * 16, source="notes/a.md", read=lambda: "Quite another text now.")
    assert recalled_rows([old], [here]) == ()
    assert recalled_rows([old], rows_of("Prose of the document.\n"))[0].source == "notes/a.md"


@pytest.mark.parametrize(
    "content", ["### Q\nno answer", "text before\n### Q\nq\n### A\na", "### Q\nq\n### A\na\n::prose::\nx"]
)
def test_what_no_longer_reads_as_a_section_is_left(content: str) -> None:
    broken = Snapshot(section_id="0" * 16, type="instruction", content=content, first_seen_at=SEEN, last_seen_at=SEEN)
    assert recalled_rows([broken], ()) == ()


def test_preferences_are_not_rows_of_this_phase() -> None:
    body = "::preference::\n### Prompt\np\n### Chosen\nc\n### Rejected\nr\n"
    assert recalled_rows(remembered(body), ()) == ()


@given(st.integers(0, 400), st.integers(0, 60), st.integers(1, 40))
def test_recalled_rows_stay_behind_the_document_and_come_often_enough(n: int, current: int, passes: int) -> None:
    every = replay_every(n, current, passes).value
    assert every >= 1
    rows = [
        Row(kind="instruction", section_id=f"replay:{i:016x}:x", turns=(Turn("user", "q"), Turn("assistant", "a")))
        for i in range(min(n, 40))
    ]
    for row in rows:
        read = sum(is_read(row, number, prose_every=6, replay_every=every) for number in range(passes))
        assert read >= min(FEWEST_READINGS, passes) - 1
    if every < max(1, passes // FEWEST_READINGS):
        assert n / every <= 0.5 * max(1, current)


def test_when_a_section_was_last_seen_does_not_change_what_is_read_when() -> None:
    (section,) = remembered(PAIRS)
    later = attrs.evolve(section, last_seen_at=SEEN + timedelta(days=400), runs_seen=(9,))
    first, second = (recalled_rows([said], ()) for said in (section, later))
    assert [row.origin for row in first] == [row.origin for row in second] == [section.section_id] * 2
    for number in range(12):
        for one, other in zip(first, second, strict=True):
            assert is_read(one, number, prose_every=6, replay_every=3) == is_read(
                other, number, prose_every=6, replay_every=3
            )
            turns = [turns_in_pass(row, number, rewording=0.75, seed=1) for row in (one, other)]
            assert turns[0] == turns[1]
