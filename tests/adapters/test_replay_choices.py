"""The choices made over chunks of the index are those of the domain."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from dlm.adapters.replay import choices, table
from dlm.adapters.replay.index_json import seconds
from dlm.domain import replay as rules
from dlm.domain.replay import Remembered
from dlm.testing.clocks import A_MOMENT


def corpus(seed: int, count: int) -> list[Remembered]:
    source = random.Random(seed)
    numbers = sorted(source.getrandbits(64) for _ in range(count))
    return [
        Remembered(
            f"{number:016x}",
            A_MOMENT - timedelta(days=source.randrange(-9, 900)),
            source.choice([0.0, 0.5, 1.0, 30.0]),
            source.randrange(500),
        )
        for number in numbers
    ]


def as_table(items: list[Remembered]) -> table.ArrayTable:
    rows = [(int(i.section_id, 16), 0, i.size_bytes, seconds(i.last_seen_at), i.weight) for i in items]
    return table.ArrayTable(table.records(rows))


@pytest.fixture(autouse=True, params=[7, 64, table.CHUNK])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small chunks, so that a small corpus has many of them."""
    monkeypatch.setattr(table, "CHUNK", request.param)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [0, 1, 5, 199, 200, 500])
def test_the_draw_is_the_same(seed: int, count: int) -> None:
    items = corpus(seed, 200)
    drawn = choices.draw(as_table(items).chunks(), count=count, seed=seed, now=A_MOMENT)
    expected = rules.draw(items, count=count, seed=seed, now=A_MOMENT)
    assert tuple(map(table.as_text, drawn["id"])) == expected


@pytest.mark.parametrize("seed", [-3, 0, 2**31, 2**70])
def test_the_random_numbers_are_those_of_the_standard_library(seed: int) -> None:
    source = random.Random(seed)
    assert choices._uniform(seed).random_sample(700).tolist() == [source.random() for _ in range(700)]


@pytest.mark.parametrize("seed", range(4))
def test_the_slice_is_the_same(seed: int) -> None:
    items = corpus(seed, 200)
    current = {item.section_id for item in items[::3]}
    expected = rules.retention_slice({item.section_id for item in items} - current, seed=seed)
    found = choices.retained(as_table(items), table.as_ids(current), seed=seed)
    assert tuple(map(table.as_text, found)) == expected


@pytest.mark.parametrize("max_sections", [0, 1, 60, 150, 200])
@pytest.mark.parametrize("max_bytes", [0, 1, 20_000, 40_000, 10**9])
def test_the_same_ones_go(max_sections: int, max_bytes: int) -> None:
    items = corpus(max_sections, 200)
    current = {item.section_id for item in items[::4]} | {"0" * 16}
    expected = rules.evicted(items, current=current, max_sections=max_sections, max_bytes=max_bytes)
    limits = {"max_sections": max_sections, "max_bytes": max_bytes}
    found = choices.evicted(as_table(items), table.as_ids(current), **limits)
    assert list(map(table.as_text, found)) == sorted(expected)


def test_merging_adds_replaces_and_keeps_the_order() -> None:
    items = corpus(1, 100)
    old, new = as_table(items[:80:2]), as_table(items[1::3])
    merged = {int(row["id"]): int(row["length"]) for part in table.merged(old, new.records) for row in part}
    assert list(merged) == sorted({int(i.section_id, 16) for i in [*items[:80:2], *items[1::3]]})
    assert all(merged[int(row["id"])] == int(row["length"]) for row in new.records)
