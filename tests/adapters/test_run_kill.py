"""Killed before any change of the disk, a run loses neither a version nor a memory, and the next one completes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlm.domain.metrics import RunFilter
from dlm.domain.sources import source_section_id
from run_cases import ID
from run_scenarios import TOWER, document_in, edit_and_train, workspace_in

TESTS = Path(__file__).parents[1]
FERRY = source_section_id("ferry.md", "The ferry to Nessa is dark green.\n")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the kill harness forks; what it kills is the same on Windows")
def test_a_kill_at_any_step_of_a_run_loses_nothing(tmp_path: Path) -> None:
    command = [sys.executable, str(TESTS / "run_scenarios.py"), str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    kills = int(done.stdout)
    assert kills >= 60  # manifest, metrics, tokens, version, replay, summary, lock: fewer would mean not watched
    for step in range(1, kills + 1):
        _check(tmp_path / f"{step:03d}", f"killed before step {step}")


def _check(folder: Path, told: str) -> None:
    workspace = workspace_in(folder)
    manifest, current = workspace.store.manifest(ID), workspace.store.current(ID)
    assert manifest is not None, told
    assert current is not None, told
    assert current.version in (1, 2), told
    assert manifest.adapter_version <= current.version, f"{told}: the manifest is ahead of the adapter"
    assert (current.folder / "adapter_model.safetensors").is_file(), told
    _check_memory(folder, told)
    report = edit_and_train(folder, mode="fresh", break_lock=True)
    assert report.status == "completed", told
    runs = workspace.store.manifest(ID)
    assert runs is not None
    assert [run.status for run in runs.training_runs][-1] == "completed", told
    assert all(run.status != "running" for run in runs.training_runs), told
    ids = [run.run_id for run in runs.training_runs]
    assert ids == sorted(set(ids)), told
    statuses = {run.run_id: run.status for run in workspace.run_metrics.runs(ID, RunFilter(limit=None))}
    assert statuses[ids[-1]] == "ok", told
    assert "running" not in statuses.values(), told
    _check_memory(folder, told)


def _check_memory(folder: Path, told: str) -> None:
    """What left the document in this edit is still remembered: a pair, and a file."""
    tower = document_in(folder, TOWER).sections[-1].section_id
    workspace = workspace_in(folder)
    found = {said.section_id for said in workspace.replay.read(ID, [tower, FERRY])}
    assert found == {tower, FERRY}, told
    assert workspace.replay.problems(ID) == (), told
