"""What changes a replay corpus, as scenarios to be killed or failed in the middle. Run as a script it kills a child at
each step.

usage: python replay_scenarios.py <scenario> <folder>

For n = 1, 2, … a child works on its own copy of a prepared corpus in ``<folder>/<n>`` and kills itself before its n-th
change of the file system, until one comes through. Prints the number of kills.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import attrs

from dlm.adapters.replay import FileReplay
from dlm.adapters.replay.shelf import Shelf
from dlm.domain.replay import DEFAULT_MAX_BYTES, Snapshot
from dlm.testing.clocks import A_MOMENT
from dlm.testing.replay_contract import ID, ids, some
from filesystem_steps import watched_steps

LATER = A_MOMENT + timedelta(days=1)
Memory = dict[str, Snapshot]


def replay_in(home: Path) -> FileReplay:
    return FileReplay(lambda dlm_id: home / dlm_id)


def memory(replay: FileReplay) -> Memory:
    """Give all that is remembered."""
    found = replay.sample(ID, current=(), count=10_000, seed=0, now=LATER)
    return {item.section_id: item for item in found}


def prepare(home: Path) -> None:
    """Give a corpus of twelve sections, nearly half of it dead."""
    replay = replay_in(home)
    replay.record(ID, some(range(12)), run_id=1, now=A_MOMENT)
    replay.record(ID, some(range(10)), run_id=2, now=A_MOMENT)


def prepare_damaged(home: Path) -> None:
    prepare(home)
    (home / ID / "replay" / "index.json").write_text("[{")


def record(replay: FileReplay) -> None:
    replay.record(ID, some([1, 20]), run_id=3, now=LATER)


def record_and_tidy(replay: FileReplay) -> None:
    replay.record(ID, some(range(8)), run_id=3, now=LATER)


def evict(replay: FileReplay) -> None:
    replay.evict(ID, current=(), max_sections=11, max_bytes=DEFAULT_MAX_BYTES)


def evict_and_tidy(replay: FileReplay) -> None:
    replay.evict(ID, current=ids(some([3])), max_sections=4, max_bytes=DEFAULT_MAX_BYTES)


def forget(replay: FileReplay) -> None:
    replay.forget(ID, keep=ids(some([3, 4, 5])))


Scenario = tuple[Callable[[Path], None], Callable[[FileReplay], None]]
SCENARIOS: Mapping[str, Scenario] = {
    "first record": (lambda home: (home / ID).mkdir(parents=True), record),
    "record": (prepare, record),
    "record and tidy": (prepare, record_and_tidy),
    "record on a damaged index": (prepare_damaged, record),
    "evict": (prepare, evict),
    "evict and tidy": (prepare, evict_and_tidy),
    "forget": (prepare, forget),
}


def before_and_after(name: str, folder: Path) -> tuple[Memory, Memory]:
    """Give what is remembered before a scenario and after it."""
    make, play = SCENARIOS[name]
    make(folder)
    replay = replay_in(folder)
    before = memory(replay)
    play(replay)
    return before, memory(replay)


def no_rescue() -> AbstractContextManager[Any]:
    """Forbid the search for frames that are not where the index says: it would hide that the index is another one's."""
    return mock.patch.object(Shelf, "_places", side_effect=AssertionError("the index does not fit the corpus"))


def check_whole(home: Path, before: Memory, after: Memory, told: str) -> None:
    """What was interrupted is as before or as after, for readers and for the next writer, and goes on."""
    with no_rescue():
        found = memory(replay_in(home))
    assert found in (before, after), told
    replay = replay_in(home)
    replay.record(ID, some([50]), run_id=4, now=LATER)
    new = attrs.evolve(some([50])[0], first_seen_at=LATER, last_seen_at=LATER, runs_seen=(4,))
    assert memory(replay) == {**found, new.section_id: new}, told
    names = {path.name for path in (home / ID / "replay").iterdir()} - {"index.json.damaged"}
    assert names == {"corpus.zst", "index.json", "index.bin"}, told
    assert memory(replay_in(home)) == memory(replay), told


def _kill_before(step: int) -> Callable[[int, str, tuple[Any, ...]], None]:
    def before(count: int, _: str, __: tuple[Any, ...]) -> None:
        if count == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return before


def _survives(name: str, home: Path, step: int) -> bool:
    child = os.fork()
    if child == 0:
        with watched_steps(_kill_before(step)):
            SCENARIOS[name][1](replay_in(home))
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status) != 0:
        raise SystemExit(f"the child failed by itself at step {step}")
    return not os.WIFSIGNALED(status)


def main(name: str, folder: Path) -> None:
    SCENARIOS[name][0](folder / "seed")
    step = 0
    while True:
        step += 1
        home = folder / f"{step:03d}"
        shutil.copytree(folder / "seed", home)
        if _survives(name, home, step):
            print(step - 1)
            return


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
