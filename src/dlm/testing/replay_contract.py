"""What every memory of removed sections promises, as tests. Needs pytest.

class TestMyReplay(ReplayContract):
    @pytest.fixture
    def replay(self, tmp_path):
        return MyReplay(tmp_path / "home")
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta

import attrs
import pytest

from dlm.domain.replay import DEFAULT_MAX_BYTES, SNAPSHOT_TYPES, Snapshot, snapshots
from dlm.domain.sections import Section
from dlm.ports.replay import ReplayPort
from dlm.testing.clocks import A_MOMENT

ID = "01KPXZ0000000000000000000A"
OTHER_ID = "01KPXZ0000000000000000000B"


def a_snapshot(number: int, text: str = "") -> Snapshot:
    """Give a snapshot whose id follows from a number, as it is before any run recorded it."""
    return Snapshot(
        section_id=f"{number * 0x9E3779B97F4A7C15 % (1 << 64):016x}",
        type=SNAPSHOT_TYPES[number % 3],  # type: ignore[arg-type]  # one of the three names
        content=text or f"Section {number}.\nIt has two lines – and a dash.",
        first_seen_at=A_MOMENT,
        last_seen_at=A_MOMENT,
        auto_mined=number % 5 == 0,
    )


def some(numbers: Iterable[int]) -> list[Snapshot]:
    """Give several snapshots."""
    return [a_snapshot(number) for number in numbers]


def ids(items: Iterable[Snapshot]) -> list[str]:
    """Give the ids of snapshots."""
    return [item.section_id for item in items]


class ReplayContract:
    """Subclass it and give a ``replay`` fixture: a fresh, empty one per test."""

    @pytest.fixture
    def replay(self) -> ReplayPort:
        """Give the replay under test."""
        raise NotImplementedError("override the replay fixture")

    def everything(self, replay: ReplayPort, dlm_id: str = ID) -> dict[str, Snapshot]:
        """Give all that is remembered."""
        found = replay.sample(dlm_id, current=(), count=1_000_000, seed=0, now=A_MOMENT)
        return {item.section_id: item for item in found}

    def test_an_unknown_document_remembers_nothing(self, replay: ReplayPort) -> None:
        size = replay.size(ID, current=["0" * 16])
        assert (size.sections, size.removed, size.bytes_on_disk, size.dead_bytes) == (0, 0, 0, 0)
        assert self.everything(replay) == {}
        assert replay.slice(ID, current=(), seed=1) == ()
        assert replay.evict(ID, current=(), max_sections=0, max_bytes=0) == 0
        assert replay.forget(ID, keep=()) == 0
        assert replay.problems(ID) == ()

    def test_what_is_recorded_comes_back(self, replay: ReplayPort) -> None:
        replay.record(ID, iter(some(range(10))), run_id=3, now=A_MOMENT)
        found = self.everything(replay)
        assert found == {item.section_id: attrs.evolve(item, runs_seen=(3,)) for item in some(range(10))}
        assert list(found) == sorted(found)
        assert self.everything(replay, OTHER_ID) == {}

    def test_recording_nothing_is_fine(self, replay: ReplayPort) -> None:
        replay.record(ID, (), run_id=1, now=A_MOMENT)
        assert self.everything(replay) == {}

    def test_texts_of_every_kind_survive(self, replay: ReplayPort) -> None:
        texts = ["\n", "\r\n\ttab", "é 漢字 🜁 \u2028", "\0", "::prose::", "x" * 300_000, '{"a": 1}']
        items = [a_snapshot(number, text) for number, text in enumerate(texts)]
        replay.record(ID, items, run_id=1, now=A_MOMENT)
        found = self.everything(replay)
        assert [found[item.section_id].content for item in items] == texts

    def test_sections_of_a_document_are_taken_over_and_media_left_out(self, replay: ReplayPort) -> None:
        sections = [
            Section(type="prose", content="Hello\n\n"),
            Section(type="image", media_path="a.png", content="caption"),
            Section(type="audio", media_path="a.wav"),
            Section(type="preference", content="### Prompt\na", auto_mined=True),
        ]
        replay.record(ID, snapshots(sections, run_id=1, now=A_MOMENT), run_id=1, now=A_MOMENT)
        found = self.everything(replay)
        assert set(found) == {sections[0].section_id, sections[3].section_id}
        assert found[sections[0].section_id].content == "Hello"
        assert found[sections[3].section_id].auto_mined

    def test_seeing_again_moves_the_last_sight_only(self, replay: ReplayPort) -> None:
        later = A_MOMENT + timedelta(days=2, microseconds=5)
        replay.record(ID, some([1, 2]), run_id=1, now=A_MOMENT)
        replay.record(ID, [a_snapshot(1, "other text"), a_snapshot(3)], run_id=2, now=later)
        found = self.everything(replay)
        again, new = found[a_snapshot(1).section_id], found[a_snapshot(3).section_id]
        assert (again.content, again.runs_seen) == (a_snapshot(1).content, (1, 2))
        assert (again.first_seen_at, again.last_seen_at) == (A_MOMENT, A_MOMENT + timedelta(days=2))
        assert (new.first_seen_at, new.runs_seen) == (A_MOMENT + timedelta(days=2), (2,))
        assert found[a_snapshot(2).section_id].runs_seen == (1,)

    def test_a_clock_that_goes_backwards_makes_nothing_older(self, replay: ReplayPort) -> None:
        replay.record(ID, some([1]), run_id=1, now=A_MOMENT)
        replay.record(ID, some([1]), run_id=2, now=A_MOMENT - timedelta(days=9))
        (found,) = self.everything(replay).values()
        assert (found.last_seen_at, found.runs_seen) == (A_MOMENT, (1, 2))
        assert len(replay.sample(ID, current=(), count=1, seed=1, now=A_MOMENT - timedelta(days=99))) == 1

    def test_an_id_that_comes_twice_counts_once(self, replay: ReplayPort) -> None:
        replay.record(ID, some([1, 1, 2, 1]), run_id=1, now=A_MOMENT)
        assert [item.runs_seen for item in self.everything(replay).values()] == [(1,), (1,)]

    def test_a_source_that_fails_records_nothing(self, replay: ReplayPort) -> None:
        def failing() -> Iterator[Snapshot]:
            yield a_snapshot(2)
            raise KeyError("the document went away")

        replay.record(ID, some([1]), run_id=1, now=A_MOMENT)
        with pytest.raises(KeyError):
            replay.record(ID, failing(), run_id=2, now=A_MOMENT)
        assert list(self.everything(replay)) == ids(some([1]))
        assert replay.size(ID, current=()).dead_bytes == 0

    def test_a_sample_leaves_out_what_is_current_or_held(self, replay: ReplayPort) -> None:
        replay.record(ID, some(range(50)), run_id=1, now=A_MOMENT)
        current, held = ids(some(range(20))), ids(some(range(20, 30)))
        for count in (0, 1, 7, 20, 21, 1000):
            drawn = replay.sample(ID, current=current, held=held, count=count, seed=5, now=A_MOMENT)
            assert len(drawn) == min(count, 20)
            assert ids(drawn) == sorted(set(ids(drawn)))
            assert not {*current, *held} & set(ids(drawn))

    def test_a_sample_follows_its_seed(self, replay: ReplayPort) -> None:
        replay.record(ID, some(range(200)), run_id=1, now=A_MOMENT)
        draws = [ids(replay.sample(ID, current=(), count=20, seed=seed, now=A_MOMENT)) for seed in (1, 1, 2)]
        assert draws[0] == draws[1] != draws[2]

    def test_recent_sections_are_drawn_more_often(self, replay: ReplayPort) -> None:
        replay.record(ID, some(range(100)), run_id=1, now=A_MOMENT)
        now = A_MOMENT + timedelta(days=365)
        replay.record(ID, some(range(100, 200)), run_id=2, now=now)
        recent = set(ids(some(range(100, 200))))
        drawn = [key for seed in range(20) for key in ids(replay.sample(ID, current=(), count=20, seed=seed, now=now))]
        assert 0.9 < sum(key in recent for key in drawn) / len(drawn) < 1.0

    def test_the_slice_is_a_twentieth_and_the_same_again(self, replay: ReplayPort) -> None:
        replay.record(ID, some(range(101)), run_id=1, now=A_MOMENT)
        first = replay.slice(ID, current=ids(some([0])), seed=4)
        assert len(first) == 5
        assert first == replay.slice(ID, current=ids(some([0])), seed=4)
        assert first != replay.slice(ID, current=ids(some([0])), seed=5)
        assert not set(ids(first)) & set(
            ids(replay.sample(ID, current=(), held=ids(first), count=200, seed=1, now=A_MOMENT))
        )
        replay.forget(ID, keep=ids(some([7])))
        assert ids(replay.slice(ID, current=(), seed=4)) == ids(some([7]))

    def test_the_oldest_go_first_and_current_ones_never(self, replay: ReplayPort) -> None:
        for day in range(10):
            replay.record(ID, some([day]), run_id=day + 1, now=A_MOMENT + timedelta(days=day))
        assert replay.evict(ID, current=(), max_sections=10, max_bytes=DEFAULT_MAX_BYTES) == 0
        assert replay.evict(ID, current=ids(some([0, 2])), max_sections=6, max_bytes=DEFAULT_MAX_BYTES) == 4
        assert set(self.everything(replay)) == set(ids(some([0, 2, 6, 7, 8, 9])))
        assert replay.evict(ID, current=ids(some([0, 2])), max_sections=0, max_bytes=DEFAULT_MAX_BYTES) == 4
        assert set(self.everything(replay)) == set(ids(some([0, 2])))

    def test_a_limit_of_bytes_holds_as_far_as_it_can(self, replay: ReplayPort) -> None:
        replay.record(ID, some(range(20)), run_id=1, now=A_MOMENT)
        assert replay.evict(ID, current=ids(some([3])), max_sections=100, max_bytes=0) == 19
        assert list(self.everything(replay)) == ids(some([3]))

    def test_single_sections_are_read_and_dropped(self, replay: ReplayPort) -> None:
        assert replay.read(ID, ids(some([1]))) == ()
        assert replay.drop(ID, ids(some([1]))) == 0
        replay.record(ID, some(range(10)), run_id=1, now=A_MOMENT)
        found = replay.read(ID, [*ids(some([8, 2])), "f" * 16])
        assert [item.content for item in found] == [
            item.content for item in sorted(some([2, 8]), key=lambda item: item.section_id)
        ]
        assert replay.drop(ID, [*ids(some([8, 2])), "f" * 16]) == 2
        assert replay.drop(ID, ids(some([8, 2]))) == 0
        assert set(self.everything(replay)) == set(ids(some([0, 1, 3, 4, 5, 6, 7, 9])))

    def test_what_is_forgotten_is_gone(self, replay: ReplayPort) -> None:
        replay.record(ID, some(range(20)), run_id=1, now=A_MOMENT)
        assert replay.forget(ID, keep=[*ids(some([3, 4])), "f" * 16]) == 18
        assert set(self.everything(replay)) == set(ids(some([3, 4])))
        assert replay.forget(ID, keep=ids(some([3, 4]))) == 0
        size = replay.size(ID, current=ids(some([3])))
        assert (size.sections, size.removed, size.dead_bytes) == (2, 1, 0)
        replay.record(ID, some([5]), run_id=2, now=A_MOMENT)
        assert self.everything(replay)[a_snapshot(5).section_id].runs_seen == (2,)

    def test_an_enormous_section_is_left_out_and_told_of(self, replay: ReplayPort) -> None:
        replay.record(ID, [a_snapshot(1, "x" * ((64 << 20) + 1)), a_snapshot(2)], run_id=1, now=A_MOMENT)
        assert list(self.everything(replay)) == ids(some([2]))
        assert [problem.code for problem in replay.problems(ID)] == ["replay.too-large"]
        assert replay.problems(ID) == ()
