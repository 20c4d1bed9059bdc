"""Which removed sections are read again, kept back and let go."""

from __future__ import annotations

import hashlib
import math
import random
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.domain.replay import (
    Remembered,
    Snapshot,
    age_days,
    draw,
    evicted,
    replay_count,
    retention_count,
    retention_key,
    retention_slice,
    snapshots,
)
from dlm.domain.sections import Section
from dlm.testing.clocks import A_MOMENT

section_ids = st.integers(0, 2**64 - 1).map(lambda number: f"{number:016x}")
ages = st.integers(-5, 3000).map(lambda days: A_MOMENT - timedelta(days=days))
remembered = st.builds(Remembered, section_ids, ages, st.floats(0, 10), st.integers(0, 1000))
corpora = st.lists(remembered, unique_by=lambda item: item.section_id, max_size=40)
counts = st.integers(0, 50)
seeds = st.integers(-(2**40), 2**40)


def test_a_run_reads_twice_as_many_again_as_are_new() -> None:
    assert [replay_count(new) for new in (0, 1, 16, 17, 500)] == [32, 32, 32, 34, 1000]


def test_age_counts_in_days_and_never_below_zero() -> None:
    assert age_days(A_MOMENT, A_MOMENT + timedelta(hours=36)) == 1.5
    assert age_days(A_MOMENT, A_MOMENT - timedelta(days=3)) == 0


@given(corpora, counts, seeds, st.randoms())
def test_a_draw_follows_from_what_is_remembered_and_the_seed(
    corpus: list[Remembered], count: int, seed: int, order: random.Random
) -> None:
    drawn = draw(corpus, count=count, seed=seed, now=A_MOMENT)
    assert len(drawn) == min(count, len(corpus))
    assert list(drawn) == sorted(set(drawn))
    assert set(drawn) <= {item.section_id for item in corpus}
    order.shuffle(corpus)
    assert draw(corpus, count=count, seed=seed, now=A_MOMENT) == drawn


@given(corpora, counts, seeds)
def test_a_smaller_draw_is_part_of_a_larger_one(corpus: list[Remembered], count: int, seed: int) -> None:
    fewer = draw(corpus, count=count, seed=seed, now=A_MOMENT)
    assert set(fewer) <= set(draw(corpus, count=count + 1, seed=seed, now=A_MOMENT))


def test_a_draw_is_the_one_of_the_format() -> None:
    corpus = [Remembered(f"{n:016x}", A_MOMENT - timedelta(days=30 * n)) for n in range(20)]
    source, keys = random.Random(45), {}
    for item in corpus:
        days = (A_MOMENT - item.last_seen_at).days
        keys[item.section_id] = math.log(source.random()) / max(1.0 / (1 + days), 0.01)
    best = sorted(keys, key=lambda section_id: keys[section_id])[-6:]
    assert draw(corpus, count=6, seed=45, now=A_MOMENT) == tuple(sorted(best))


def test_the_retention_slice_is_a_twentieth_rounded_up() -> None:
    assert [retention_count(n) for n in (0, 1, 20, 21, 40, 41, 1000, 10**6)] == [0, 1, 1, 2, 2, 3, 50, 256]


def test_the_retention_slice_is_in_the_order_of_hashes() -> None:
    ids = [f"{n:016x}" for n in range(100)]
    hashed = sorted(ids, key=lambda section_id: hashlib.sha256(b"42\0" + section_id.encode()).hexdigest())
    assert retention_slice(ids, seed=42) == tuple(hashed[:5])


@given(st.sets(section_ids, max_size=60), st.sets(section_ids, max_size=60), seeds)
def test_new_sections_do_not_shuffle_the_slice(old: set[str], new: set[str], seed: int) -> None:
    before, after = retention_slice(old, seed=seed), retention_slice(old | new, seed=seed)
    kept = [section_id for section_id in after if section_id in old]
    assert kept == sorted(old, key=lambda section_id: retention_key(section_id, seed))[: len(kept)]
    assert set(after) <= set(before) | new | set(kept)
    assert retention_slice(old, seed=seed) == before


@given(corpora, st.sets(section_ids), st.integers(0, 50), st.integers(0, 20_000), st.data())
def test_eviction_lets_the_oldest_go_and_no_more_than_it_must(
    corpus: list[Remembered], others: set[str], max_sections: int, max_bytes: int, data: st.DataObject
) -> None:
    own = [item.section_id for item in corpus]
    current = others | set(data.draw(st.lists(st.sampled_from(own)))) if own else others
    gone = evicted(corpus, current=current, max_sections=max_sections, max_bytes=max_bytes)
    assert not set(gone) & current
    by_age = [i.section_id for i in sorted(corpus, key=lambda i: (i.last_seen_at, i.section_id))]
    assert list(gone) == [section_id for section_id in by_age if section_id not in current][: len(gone)]

    def holds(out: set[str]) -> bool:
        left = [item for item in corpus if item.section_id not in out]
        return len(left) <= max_sections and sum(item.size_bytes for item in left) <= max_bytes

    assert holds(set(gone)) or set(gone) == set(own) - current
    assert not gone or not holds(set(gone[:-1]))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("section_id", "0123"),
        ("section_id", "0123456789ABCDEF"),
        ("section_id", "０123456789abcdef"),
        ("type", "image"),
        ("last_seen_at", datetime(2026, 4, 23)),  # noqa: DTZ001  # that is the fault
    ],
)
def test_a_snapshot_that_cannot_be_written_down_is_refused(field: str, value: object) -> None:
    fields = {"section_id": "0" * 16, "type": "prose", "first_seen_at": A_MOMENT, "last_seen_at": A_MOMENT}
    with pytest.raises(ValueError, match=r"hex digits|remembered|time zone"):
        Snapshot(content="x", **{**fields, field: value})  # type: ignore[arg-type]


def test_snapshots_of_sections_leave_media_out() -> None:
    sections = [Section(type="prose", content="Hello\n"), Section(type="image", media_path="a.png")]
    (made,) = snapshots(sections, run_id=7, now=A_MOMENT)
    assert (made.section_id, made.content, made.runs_seen) == (sections[0].section_id, "Hello", (7,))
    again = made.seen_again(run_id=3, now=A_MOMENT + timedelta(seconds=5.5))
    assert (again.runs_seen, again.last_seen_at) == ((3, 7), A_MOMENT + timedelta(seconds=5))
    assert again.seen_again(run_id=3, now=A_MOMENT) == again
