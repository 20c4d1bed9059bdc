"""Killed before any change of the file system, a writer loses nothing that was there, and the next one goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlm.adapters.filesystem import FileStore
from dlm.domain.errors import StoreError
from dlm.testing.clocks import FixedClock
from dlm.testing.store_contract import ID, commit, weights
from filesystem_scenarios import SCENARIOS, new_manifest, old_manifest

TESTS = Path(__file__).parents[1]


@pytest.mark.skipif(
    not hasattr(os, "fork"), reason="the kill harness forks; the protocol itself is the same on Windows"
)
@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_a_kill_at_any_step_loses_nothing(scenario: str, tmp_path: Path) -> None:
    command = [sys.executable, str(TESTS / "filesystem_scenarios.py"), scenario, str(tmp_path)]
    kills = int(subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout)
    assert kills >= 15  # staging, files, flushes, renames, pointer: fewer would mean that nothing was watched
    for step in range(1, kills + 1):
        _check_survivors(FileStore(tmp_path / f"{step:03d}", FixedClock()), scenario, step)


def _check_survivors(store: FileStore, scenario: str, step: int) -> None:
    told = f"killed before step {step}"
    _check_nothing_lost(store, scenario, told)
    if (store.location(ID) / ".lock").exists():
        with pytest.raises(StoreError) as caught, store.writer(ID):
            pass
        assert caught.value.code == "store.lock-stale", told
        assert "--break-lock" in (caught.value.hint or ""), told
    highest = max(int(path.name[1:5]) for path in (store.location(ID) / "adapter" / "versions").glob("v*"))
    with store.writer(ID, break_stale=True) as writer:
        assert commit(writer, "next").version == highest + 1, told
        writer.save_manifest(new_manifest())
        writer.append_log("train", {"line": 3})
    _check_clean(store, told)


def _check_nothing_lost(store: FileStore, scenario: str, told: str) -> None:
    current = store.current(ID)
    assert current is not None, told
    whole = {"old", "new"} if scenario == "train" else {"old"}
    assert weights(current.folder) in whole, told
    assert weights(store.location(ID) / "adapter" / "versions" / "v0001") == "old", told
    manifest = store.manifest(ID)
    assert manifest in ((old_manifest(), new_manifest()) if scenario == "train" else (old_manifest(),)), told
    if manifest == new_manifest():
        assert weights(current.folder) == "new", f"{told}: the manifest is ahead of the adapter"
    checkpoint = store.checkpoint(ID)
    if checkpoint is None:
        assert scenario == "train", told
        assert weights(current.folder) == "new", f"{told}: the checkpoint went before the version came"
    else:
        assert weights(checkpoint) in {"old", "new"}, told
    lines = [line["line"] for line in store.read_log(ID, "train")]
    assert lines in ([1], [1, 2]), told


def _check_clean(store: FileStore, told: str) -> None:
    root = store.location(ID)
    left = [path for path in root.rglob("*") if path.name.startswith(".staging") or ".tmp." in path.name]
    assert left == [], told
    assert not (root / ".lock").exists(), told
    current = store.current(ID)
    assert current is not None, told
    assert weights(current.folder) == "next", told
    assert store.read_log(ID, "train")[-1] == {"line": 3}, told
