"""Killed or failing before any change of the file system, the replay corpus is as before or as after."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dlm.adapters.replay import FileReplay
from dlm.domain.errors import StoreError
from dlm.testing.replay_contract import ID
from filesystem_steps import Before, watched_steps
from replay_scenarios import (
    SCENARIOS,
    before_and_after,
    check_whole,
    memory,
    no_rescue,
    prepare,
    record_and_tidy,
    replay_in,
)

TESTS = Path(__file__).parents[1]
FAULTS = {errno.ENOSPC: "disk.full", errno.EROFS: "disk.read-only"}


@pytest.mark.skipif(
    not hasattr(os, "fork"), reason="the kill harness forks; the protocol itself is the same on Windows"
)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_kill_at_any_step_loses_nothing(scenario: str, tmp_path: Path) -> None:
    before, after = before_and_after(scenario, tmp_path / "model")
    command = [sys.executable, str(TESTS / "replay_scenarios.py"), scenario, str(tmp_path)]
    kills = int(subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout)
    assert kills >= 8  # drafts, flushes, renames: fewer would mean that nothing was watched
    for step in range(1, kills + 1):
        check_whole(tmp_path / f"{step:03d}", before, after, f"killed before step {step}")


@pytest.mark.parametrize("number", FAULTS, ids=lambda number: errno.errorcode[number])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_fault_from_any_step_on_is_named_and_loses_nothing(scenario: str, number: int, tmp_path: Path) -> None:
    before, after = before_and_after(scenario, tmp_path / "model")
    make, play = SCENARIOS[scenario]
    make(tmp_path / "seed")
    failed_at = 0
    for step in range(1, 200):
        home = shutil.copytree(tmp_path / "seed", tmp_path / str(step))

        def fail(count: int, name: str, _: tuple[Any, ...], step: int = step) -> None:
            if count >= step and (number != errno.ENOSPC or name != "unlink"):
                raise OSError(number, os.strerror(number))

        error = _error_of(lambda home=home: play(replay_in(home)), fail)
        if error is None:
            break
        assert error.code == FAULTS[number], f"step {step}: {error}"
        failed_at = step
        check_whole(home, before, after, f"failed from step {step} on")
    assert failed_at >= 8


def _error_of(action: Callable[[], None], before: Before) -> StoreError | None:
    """Give the store's error; any other one fails the test."""
    try:
        with watched_steps(before):
            action()
    except StoreError as exc:
        return exc
    return None


def test_files_are_flushed_before_they_count(tmp_path: Path) -> None:
    """A power cut may lose what was not flushed: every file that is renamed, and the corpus before its index."""
    prepare(tmp_path)
    folder = tmp_path / ID / "replay"
    flushed: set[int] = set()
    renamed = []

    def watch(_: int, name: str, args: tuple[Any, ...]) -> None:
        if name == "fsync":
            flushed.add(os.fstat(args[0]).st_ino)
        elif name == "replace":
            source, target = Path(args[0]), Path(args[1])
            renamed.append(target.name)
            assert source.stat().st_ino in flushed, target.name
            assert folder.stat().st_ino in flushed
            if target.name == "index.json" and "index.json.new" not in renamed:
                assert (folder / "corpus.zst").stat().st_ino in flushed

    with watched_steps(watch):
        record_and_tidy(replay_in(tmp_path))
    assert renamed == ["index.json", "index.bin", "index.json.new", "corpus.zst", "index.json", "index.bin"]


def test_a_reader_keeps_what_it_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that tidies the corpus between the opening of its files does not mix the old with the new."""
    from dlm.adapters.replay import shelf

    prepare(tmp_path)
    before = memory(replay_in(tmp_path))
    real, calls = shelf.open_regular, 0

    def meddling(path: Path) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            monkeypatch.setattr(shelf, "open_regular", real)
            FileReplay(lambda dlm_id: tmp_path / dlm_id).forget(ID, keep=list(before)[:5])
        return real(path)

    monkeypatch.setattr(shelf, "open_regular", meddling)
    replay = replay_in(tmp_path)
    with no_rescue():
        assert list(memory(replay)) == list(before)[:5]
    assert replay.problems(ID) == ()
