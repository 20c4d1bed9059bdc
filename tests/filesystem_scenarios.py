"""What a writer does, as scenarios to be killed or failed in the middle. Run as a script it kills a child at each step.

usage: python filesystem_scenarios.py <scenario> <folder>

For n = 1, 2, … a child works on its own copy of a prepared home in ``<folder>/<n>`` and kills itself before its n-th
change of the file system, until one comes through. Prints the number of kills.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from dlm.adapters.filesystem import FileStore
from dlm.domain.manifest import Manifest
from dlm.ports.store import StoreWriter
from dlm.testing.clocks import A_MOMENT, FixedClock
from dlm.testing.store_contract import ID, a_lock, a_manifest, commit, fill_version
from filesystem_steps import survives_kill_before


def old_manifest() -> Manifest:
    return a_manifest().reserve_run(started_at=A_MOMENT, seed=1)[0]


def new_manifest() -> Manifest:
    return old_manifest().reserve_run(started_at=A_MOMENT, seed=2)[0]


def prepare(home: Path) -> FileStore:
    """Give a home whose store has version 1, a checkpoint and a manifest, all saying "old"."""
    store = FileStore(home, FixedClock())
    with store.writer(ID) as writer:
        writer.save_manifest(old_manifest())
        commit(writer, "old")
        writer.checkpoints().save(lambda folder: fill_version(folder, "old"))
        writer.append_log("train", {"line": 1})
    return store


def train(writer: StoreWriter) -> None:
    """Everything a successful run writes, in its order."""
    writer.append_log("train", {"line": 2})
    writer.checkpoints().save(lambda folder: fill_version(folder, "new"))
    commit(writer, "new")
    writer.save_summary("train", {"steps": 1})
    writer.save_manifest(new_manifest())
    writer.save_lock(a_lock())
    writer.drop_checkpoint()


def reject(writer: StoreWriter) -> None:
    with writer.stage_version() as staged:
        fill_version(staged.folder, "nan")
        staged.reject()


def interrupt(writer: StoreWriter) -> None:
    with writer.stage_version() as staged:
        fill_version(staged.folder, "new")
        staged.keep_as_checkpoint()


SCENARIOS: Mapping[str, Callable[[StoreWriter], None]] = {"train": train, "reject": reject, "interrupt": interrupt}


def play(name: str, home: Path) -> None:
    with FileStore(home, FixedClock()).writer(ID) as writer:
        SCENARIOS[name](writer)


def main(name: str, folder: Path) -> None:
    seed = prepare(folder / "seed").home
    step = 0
    while True:
        step += 1
        home = folder / f"{step:03d}"
        shutil.copytree(seed, home)
        if survives_kill_before(step, partial(play, name, home)):
            print(step - 1)
            return


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
