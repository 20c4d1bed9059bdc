"""A million removed sections: sampled in well under a second, in memory that does not grow with them."""

from __future__ import annotations

import time
import tracemalloc
from datetime import timedelta
from pathlib import Path

import pytest

from dlm.adapters.replay import FileReplay
from dlm.domain.replay import Snapshot
from dlm.testing.clocks import A_MOMENT
from dlm.testing.replay_contract import ID, some
from replay_made import STRIDE, make_corpus

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("large")
    make_corpus(home / "tiny" / "replay", 40_000, A_MOMENT)
    make_corpus(home / "small" / "replay", 100_000, A_MOMENT)
    make_corpus(home / ID / "replay", 1_000_000, A_MOMENT)
    return home


def drawn(home: Path, dlm_id: str) -> tuple[Snapshot, ...]:
    current = [f"{number * STRIDE:016x}" for number in range(0, 20_000, 7)]
    replay = FileReplay(lambda name: home / name)
    found = replay.sample(dlm_id, current=current, count=100, seed=1, now=A_MOMENT)
    assert len(found) == 100
    assert not {item.section_id for item in found} & set(current)
    assert replay.problems(dlm_id) == ()
    return found


def peak(home: Path, dlm_id: str) -> int:
    """Give the most memory that a sample takes, numpy's included."""
    tracemalloc.start()
    try:
        drawn(home, dlm_id)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_sampling_a_million_takes_less_than_a_second(home: Path) -> None:
    drawn(home, ID)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        drawn(home, ID)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1.0


def test_memory_does_not_grow_with_the_corpus(home: Path) -> None:
    small, large = peak(home, "small"), peak(home, ID)
    assert large < 16 * MEGABYTE
    assert large < 1.2 * small


def test_recording_a_few_into_many_takes_the_memory_of_a_few(home: Path) -> None:
    """Followed at a tenth of the size: following each allocation takes ten times as long as the work."""
    replay = FileReplay(lambda name: home / name)
    used = {}
    for name in ("tiny", "small"):
        tracemalloc.start()
        replay.record(name, some(range(5)), run_id=9, now=A_MOMENT + timedelta(days=1))
        used[name] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert used["small"] < 1.2 * used["tiny"] < 48 * MEGABYTE
    # Section 0 of both is the same one, so that four came and one was seen again.
    size = replay.size("small", current=())
    assert size.sections == 100_004
    assert 100 < size.dead_bytes < 500


def test_recording_a_few_into_a_million_takes_seconds(home: Path) -> None:
    start = time.perf_counter()
    FileReplay(lambda name: home / name).record(ID, some(range(5)), run_id=9, now=A_MOMENT + timedelta(days=1))
    assert time.perf_counter() - start < 20
