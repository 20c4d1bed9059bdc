"""Which rows are held out: fixed by seed and section, whatever else is in the document."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import attrs
from hypothesis import assume, given
from hypothesis import strategies as st

from dlm.domain.rows import Row, Turn, longest_row, split_draw, split_rows

SECTION = "d79a25e710fee584"
LIMIT = int(0.1 * 2**64)

ids = st.text("0123456789abcdef", min_size=16, max_size=16)
rows = st.builds(
    lambda name, sub: Row(kind="prose", section_id=name, sub=sub, text="x"), ids, st.integers(min_value=0, max_value=50)
)
row_lists = st.lists(rows, max_size=40, unique_by=lambda row: (row.section_id, row.sub))
seeds = st.integers(min_value=0, max_value=2**32)


def a_row(sub: int) -> Row:
    return Row(kind="instruction", section_id=SECTION, sub=sub)


def test_the_draw_is_the_first_eight_bytes_of_a_digest() -> None:
    assert split_draw(42, a_row(0)) == 0x2E8062C45777CB93
    expected = hashlib.sha256(b"42\x00d79a25e710fee584\x003").digest()[:8]
    assert split_draw(42, a_row(3)).to_bytes(8, "big") == expected


def test_known_rows_fall_where_they_always_fell() -> None:
    split = split_rows([a_row(sub) for sub in range(20)], 42)
    assert [row.sub for row in split.validation] == [7, 11, 12, 18]
    assert [row.sub for row in split.train] == [sub for sub in range(20) if sub not in (7, 11, 12, 18)]


def places(some: Iterable[Row]) -> list[tuple[str, int]]:
    return [(row.section_id, row.sub) for row in some]


@given(row_lists, seeds)
def test_each_row_is_on_exactly_one_side(some: list[Row], seed: int) -> None:
    split = split_rows(some, seed)
    assert sorted(places((*split.train, *split.validation))) == sorted(places(some))


@given(row_lists, seeds)
def test_the_order_of_the_document_stays(some: list[Row], seed: int) -> None:
    split = split_rows(some, seed)
    for side in (split.train, split.validation):
        assert places(side) == [place for place in places(some) if place in places(side)]


@given(row_lists, row_lists, seeds)
def test_adding_rows_never_moves_others(some: list[Row], more: list[Row], seed: int) -> None:
    """A row that keeps away from an empty training side, below, is the one exception."""
    anchor = Row(kind="prose", section_id="f" * 16, text="always trained on")
    assume(split_draw(seed, anchor) >= LIMIT)
    before, after = split_rows([anchor, *some], seed), split_rows([anchor, *more, *some], seed)
    assert set(places(before.train)) <= set(places(after.train))
    assert set(places(before.validation)) <= set(places(after.validation))


@given(row_lists.filter(bool), seeds, st.floats(min_value=0, max_value=1))
def test_there_is_always_something_to_train_on(some: list[Row], seed: int, fraction: float) -> None:
    split = split_rows(some, seed, fraction)
    assert split.train
    if fraction == 0:
        assert not split.validation


@given(row_lists.filter(bool), seeds)
def test_when_all_are_held_the_largest_draw_goes_back(some: list[Row], seed: int) -> None:
    split = split_rows(some, seed, 1.0)
    assert split_draw(seed, split.train[0]) == max(split_draw(seed, row) for row in some)
    assert len(split.validation) == len(some) - 1


@given(rows, seeds)
def test_content_does_not_matter_only_the_place(row: Row, seed: int) -> None:
    other = attrs.evolve(row, text="something else", line=99, weight=3.0)
    assert split_draw(seed, row) == split_draw(seed, other)


def test_no_rows_no_split() -> None:
    assert split_rows([], 42).train == ()


def test_the_longest_row_is_never_underestimated() -> None:
    rows = [
        Row(kind="prose", section_id="a" * 16, text="é" * 10),
        Row(kind="instruction", section_id="b" * 16, turns=(Turn("user", "q" * 5), Turn("assistant", "a" * 30))),
    ]
    assert longest_row(rows, None) - longest_row(rows[:1], None) == 35 - 20
    assert longest_row(rows, "system") == longest_row(rows, None) + 6


def test_text_that_lies_elsewhere_counts_by_the_size_of_its_file() -> None:
    far = Row(kind="prose", section_id=SECTION, read=lambda: "far away", source="far.md", size=10_000)
    assert longest_row([a_row(0)], None) < 10_000 < longest_row([a_row(0), far], None)
    assert far.content == "far away"
    assert far == Row(kind="prose", section_id=SECTION, source="far.md", size=10_000), (
        "how a text is read is no part of what a row is"
    )
    assert Row(kind="prose", section_id=SECTION, text="here").content == "here"
