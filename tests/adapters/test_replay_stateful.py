"""Whatever is done to it, in whatever order, the corpus on disk remembers what the one in memory does."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dlm.adapters.replay import FileReplay
from dlm.domain.replay import DEFAULT_MAX_BYTES
from dlm.testing.clocks import A_MOMENT
from dlm.testing.replay_contract import ID, ids, some
from dlm.testing.replays import MemoryReplay

numbers = st.lists(st.integers(0, 14), max_size=10)
days = st.integers(-3, 40)


class Replays(RuleBasedStateMachine):
    """The same steps for both. Files that may be lost at any time are lost at times."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.file = FileReplay(lambda dlm_id: self.home / dlm_id)
        self.model = MemoryReplay()
        self.run_id = 0

    def teardown(self) -> None:
        shutil.rmtree(self.home)

    @rule(which=numbers, day=days)
    def record(self, which: Sequence[int], day: int) -> None:
        self.run_id += 1
        for replay in (self.file, self.model):
            replay.record(ID, some(which), run_id=self.run_id, now=A_MOMENT + timedelta(days=day))

    @rule(which=numbers, max_sections=st.integers(0, 15), max_bytes=st.sampled_from([0, DEFAULT_MAX_BYTES]))
    def evict(self, which: Sequence[int], max_sections: int, max_bytes: int) -> None:
        limits = {"max_sections": max_sections, "max_bytes": max_bytes}
        current = ids(some(which))
        assert self.file.evict(ID, current=current, **limits) == self.model.evict(ID, current=current, **limits)

    @rule(which=numbers)
    def forget(self, which: Sequence[int]) -> None:
        keep = ids(some(which))
        assert self.file.forget(ID, keep=keep) == self.model.forget(ID, keep=keep)
        assert self.file.size(ID, current=()).dead_bytes == 0

    @rule(which=numbers, held=numbers, count=st.integers(0, 20), seed=st.integers(0, 5), day=days, lose=st.booleans())
    def sample(self, which: Sequence[int], held: Sequence[int], count: int, seed: int, day: int, lose: bool) -> None:
        if lose:
            (self.home / ID / "replay" / "index.bin").unlink(missing_ok=True)
        found = [
            replay.sample(
                ID,
                current=ids(some(which)),
                held=ids(some(held)),
                count=count,
                seed=seed,
                now=A_MOMENT + timedelta(days=day),
            )
            for replay in (self.file, self.model)
        ]
        assert found[0] == found[1]

    @rule(which=numbers, seed=st.integers(0, 5))
    def slice(self, which: Sequence[int], seed: int) -> None:
        current = ids(some(which))
        assert self.file.slice(ID, current=current, seed=seed) == self.model.slice(ID, current=current, seed=seed)

    @rule(which=numbers)
    def read_and_drop(self, which: Sequence[int]) -> None:
        wanted = ids(some(which))
        assert self.file.read(ID, wanted) == self.model.read(ID, wanted)
        assert self.file.drop(ID, wanted) == self.model.drop(ID, wanted)

    @rule()
    def damage_the_index(self) -> None:
        path = self.home / ID / "replay" / "index.json"
        size = self.file.size(ID, current=())
        self.file.problems(ID)
        # Sections that went and were not tidied away yet come back when the index is lost: only a clean corpus is fair.
        if path.exists() and size.dead_bytes == 0 and size.sections:
            path.write_bytes(path.read_bytes()[:-9])
            self.file.problems(ID)
            self.file.size(ID, current=())
            assert [problem.code for problem in self.file.problems(ID)] == ["replay.corrupt"]

    @invariant()
    def they_agree(self) -> None:
        sizes = [replay.size(ID, current=ids(some([1, 2]))) for replay in (self.file, self.model)]
        assert (sizes[0].sections, sizes[0].removed) == (sizes[1].sections, sizes[1].removed)
        self.file.problems(ID)


TestReplays = Replays.TestCase
TestReplays.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
