"""How a manifest changes: runs, versions, exports."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.domain.manifest import ExportRecord, Manifest

ID = "01KPXZ0000000000000000000A"
MOMENT = datetime(2026, 4, 23, 18, 42, 11, tzinfo=UTC)
LATER = MOMENT + timedelta(minutes=3)


@pytest.fixture
def manifest() -> Manifest:
    return Manifest.new(ID, "smollm2-135m", "a" * 40, None, MOMENT)


def test_a_run_is_reserved_before_it_does_anything(manifest: Manifest) -> None:
    reserved, run_id = manifest.reserve_run(started_at=LATER, seed=7, adapter_name="code")
    row = reserved.run(run_id)
    assert row is not None
    assert (row.run_id, row.status, row.started_at, row.ended_at) == (1, "running", LATER, None)
    assert (row.seed, row.adapter_name, row.base_model_revision) == (7, "code", "a" * 40)
    assert reserved.updated_at == LATER
    assert manifest.training_runs == ()


@given(st.lists(st.sampled_from(["completed", "failed", "cancelled", "leave"]), max_size=8))
def test_run_ids_are_never_used_twice(endings: list[str]) -> None:
    manifest, ids = Manifest.new(ID, "b", None, None, MOMENT), []
    for ending in endings:
        manifest, run_id = manifest.reserve_run(started_at=MOMENT, seed=1)
        ids.append(run_id)
        if ending != "leave":
            manifest = manifest.finish_run(run_id, ending, ended_at=LATER)  # type: ignore[arg-type]  # drawn from them
    assert ids == list(range(1, len(endings) + 1))
    assert [run.run_id for run in manifest.training_runs] == ids


def test_a_run_keeps_its_true_times_and_results(manifest: Manifest) -> None:
    manifest, run_id = manifest.reserve_run(started_at=MOMENT, seed=1)
    manifest = manifest.finish_run(run_id, "completed", ended_at=LATER, steps=12, adapter_version=1, exam={"known": 2})
    row = manifest.run(run_id)
    assert row is not None
    assert (row.started_at, row.ended_at, row.steps, row.adapter_version) == (MOMENT, LATER, 12, 1)
    assert row.exam == {"known": 2}
    assert manifest.updated_at == LATER


def test_an_ended_run_is_history(manifest: Manifest) -> None:
    manifest, run_id = manifest.reserve_run(started_at=MOMENT, seed=1)
    manifest = manifest.finish_run(run_id, "failed", ended_at=LATER)
    for number in (run_id, 99):
        with pytest.raises(ValueError, match="is not running"):
            manifest.finish_run(number, "completed", ended_at=LATER)


def test_runs_of_dead_processes_are_closed(manifest: Manifest) -> None:
    manifest, first = manifest.reserve_run(started_at=MOMENT, seed=1)
    manifest = manifest.finish_run(first, "completed", ended_at=MOMENT)
    manifest, second = manifest.reserve_run(started_at=MOMENT, seed=1)
    closed, ids = manifest.close_abandoned(ended_at=LATER)
    assert ids == (second,)
    assert [run.status for run in closed.training_runs] == ["completed", "failed"]
    assert closed.close_abandoned(ended_at=LATER) == (closed, ())


def test_versions_of_the_only_and_of_named_adapters(manifest: Manifest) -> None:
    manifest = manifest.with_adapter(3, adapter_sha256="a", adapter_config_sha256="b")
    manifest = manifest.with_adapter(5, adapter_sha256="c", adapter_config_sha256="d", adapter_name="code")
    assert (manifest.adapter_version, manifest.adapter_sha256, manifest.adapter_config_sha256) == (3, "a", "b")
    assert manifest.adapter_versions == {"code": 5}


def test_exports_are_appended(manifest: Manifest) -> None:
    record = ExportRecord(exported_at=LATER, target="llama-server", quant="Q8_0")
    manifest = manifest.with_export(record).with_export(record)
    assert manifest.exports == (record, record)
    assert manifest.updated_at == LATER
