"""The manifest's file: what goes out comes back, and what is not a manifest is refused with its place."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.domain.errors import StoreError
from dlm.domain.license import LicenseAcceptance
from dlm.domain.manifest import ADDITIONS, ExportRecord, Manifest, TrainingRun, manifest_from_json, manifest_to_json

ID = "01KPXZ0000000000000000000A"
MOMENT = datetime(2026, 4, 23, 18, 42, 11, tzinfo=UTC)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
maybe_text = st.none() | texts
losses = st.none() | st.floats(allow_nan=False, allow_infinity=False)
times = st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29), timezones=st.just(UTC))  # noqa: DTZ001
plain_json = st.dictionaries(texts, st.none() | st.booleans() | st.integers() | texts, max_size=3)

runs = st.builds(
    TrainingRun,
    run_id=st.integers(1, 10**6),
    started_at=times,
    ended_at=st.none() | times,
    adapter_version=st.integers(0, 10**5),
    seed=st.none() | st.integers(),
    steps=st.integers(0, 10**9),
    final_train_loss=losses,
    final_val_loss=losses,
    status=st.sampled_from(["running", "completed", "failed", "cancelled"]),
    pinned_versions=st.dictionaries(texts, maybe_text, max_size=3),
    summary_path=maybe_text,
    adapter_name=maybe_text,
    weight_distribution=st.none() | plain_json,
    exam=st.none() | plain_json,
)
exports = st.builds(
    ExportRecord,
    exported_at=times,
    target=texts,
    quant=texts,
    merged=st.booleans(),
    ollama_name=maybe_text,
    adapter_mix=st.none() | st.lists(st.tuples(texts, st.floats(0, 1)), max_size=2).map(tuple),
)
acceptances = st.builds(
    LicenseAcceptance,
    accepted_at=times,
    license_url=texts,
    license_spdx=texts,
    via=st.sampled_from(["cli_flag", "interactive", "frontmatter"]),
)
manifests = st.builds(
    Manifest,
    dlm_id=st.from_regex(r"[0-9A-HJ-KM-NP-TV-Z]{26}", fullmatch=True),
    created_at=times,
    updated_at=times,
    base_model=texts,
    base_model_revision=maybe_text,
    adapter_sha256=maybe_text,
    adapter_version=st.integers(0, 10**5),
    adapter_versions=st.dictionaries(texts, st.integers(), max_size=3),
    training_runs=st.lists(runs, max_size=3).map(tuple),
    exports=st.lists(exports, max_size=2).map(tuple),
    content_hashes=st.dictionaries(texts, texts, max_size=3),
    pinned_versions=st.dictionaries(texts, maybe_text, max_size=3),
    source_path=maybe_text,
    license_acceptance=st.none() | acceptances,
    skip_export_probes=st.booleans(),
)


def fresh(**changes: Any) -> Manifest:
    return attrs.evolve(Manifest.new(ID, "smollm2-135m", "a" * 40, "/home/ада/notes.dlm", MOMENT), **changes)


def refused(text: str) -> StoreError:
    with pytest.raises(StoreError) as caught:
        manifest_from_json(text, "/home/me/.dlm/manifest.json")
    assert caught.value.place is not None
    assert caught.value.place.path == "/home/me/.dlm/manifest.json"
    assert caught.value.hint
    return caught.value


def changed(**changes: Any) -> str:
    return json.dumps(json.loads(manifest_to_json(fresh())) | changes)


@given(manifests)
def test_what_is_written_is_read(manifest: Manifest) -> None:
    text = manifest_to_json(manifest)
    again = manifest_from_json(text, "m")
    assert again == manifest
    assert manifest_to_json(again) == text


def test_a_fresh_manifest_in_bytes() -> None:
    assert manifest_to_json(fresh()) == (
        "{\n"
        '  "adapter_config_sha256": null,\n'
        '  "adapter_sha256": null,\n'
        '  "adapter_version": 0,\n'
        '  "adapter_versions": {},\n'
        '  "base_model": "smollm2-135m",\n'
        '  "base_model_revision": "' + "a" * 40 + '",\n'
        '  "base_model_sha256": null,\n'
        '  "content_hashes": {},\n'
        '  "created_at": "2026-04-23T18:42:11",\n'
        '  "dlm_id": "01KPXZ0000000000000000000A",\n'
        '  "exports": [],\n'
        '  "license_acceptance": null,\n'
        '  "pinned_versions": {},\n'
        '  "schema_version": 1,\n'
        '  "source_path": "/home/ада/notes.dlm",\n'
        '  "training_runs": [],\n'
        '  "updated_at": "2026-04-23T18:42:11"\n'
        "}\n"
    )


def test_our_own_keys_are_written_only_when_they_say_something() -> None:
    plain, _ = fresh().reserve_run(started_at=MOMENT, seed=1)
    said = attrs.evolve(plain, skip_export_probes=True).finish_run(1, "completed", ended_at=MOMENT, exam={"known": 3})
    said = attrs.evolve(
        said,
        training_runs=(attrs.evolve(said.training_runs[0], learned_sha256="0" * 64),),
        installed_from="1" * 64,
        trusts_sources=True,
    )
    export = ExportRecord(exported_at=MOMENT, target="vllm", quant="hf")
    plain, said = plain.with_export(export), said.with_export(attrs.evolve(export, folder="vllm", parity={"kl": 0.1}))
    for text, expected in ((manifest_to_json(plain), False), (manifest_to_json(said), True)):
        record = json.loads(text)
        assert ({"skip_export_probes", "installed_from", "trusts_sources"} <= set(record)) is expected
        assert ("installed_from" in record) is expected
        assert ({"folder", "parity"} <= set(record["exports"][0])) is expected
        assert ("parity" in record["exports"][0]) is expected
        assert ({"exam", "learned_sha256"} <= set(record["training_runs"][0])) is expected
        assert ("learned_sha256" in record["training_runs"][0]) is expected
    assert set(ADDITIONS) == {
        "skip_export_probes",
        "training_runs[].exam",
        "training_runs[].learned_sha256",
        "exports[].folder",
        "exports[].parity",
        "installed_from",
        "trusts_sources",
    }


def test_a_file_without_a_version_or_optional_keys_is_read() -> None:
    text = json.dumps({
        "dlm_id": ID, "base_model": "b", "created_at": "2026-04-23T18:42:11", "updated_at": "2026-04-23T18:42:11"
    })  # fmt: skip
    assert manifest_from_json(text, "m") == Manifest.new(ID, "b", None, None, MOMENT)


@pytest.mark.parametrize("written", ["2026-04-23T18:42:11Z", "2026-04-23T20:42:11.5+02:00", "2026-04-23T18:42:11"])
def test_times_with_and_without_zone_mean_utc(written: str) -> None:
    assert manifest_from_json(changed(created_at=written), "m").created_at == MOMENT


def test_times_given_in_another_zone_are_kept_in_utc() -> None:
    local = datetime(2026, 4, 23, 20, 42, 11, 999, tzinfo=timezone(timedelta(hours=2)))
    assert Manifest.new(ID, "b", None, None, local).created_at == MOMENT


def test_unknown_losses_become_null() -> None:
    manifest, run = fresh().reserve_run(started_at=MOMENT, seed=1)
    manifest = manifest.finish_run(run, "failed", ended_at=MOMENT, final_train_loss=float("nan"))
    assert json.loads(manifest_to_json(manifest))["training_runs"][0]["final_train_loss"] is None


RUN = {"run_id": 1, "started_at": "2026-04-23T18:42:11"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"extra": 1}, "$: unknown key 'extra'"),
        ({"adapter_version": "3"}, '$.adapter_version: expected a whole number, found "3"'),
        ({"adapter_version": True}, "$.adapter_version: expected a whole number, found true"),
        ({"adapter_version": 1.0}, "$.adapter_version: expected a whole number, found 1.0"),
        ({"adapter_version": -1}, "adapter_version must be 0 or more, found -1"),
        ({"base_model": None}, "$.base_model: expected text, found null"),
        ({"created_at": "yesterday"}, "$.created_at: expected a time"),
        ({"created_at": 1}, "$.created_at: expected a time"),
        ({"created_at": "0001-01-01T00:00:00+23:59"}, "$.created_at: expected a time"),
        ({"dlm_id": "../../etc"}, "dlm_id must be 26 characters"),
        ({"training_runs": {}}, "$.training_runs: expected a list, found an object"),
        ({"training_runs": [RUN, RUN | {"status": "done"}]}, "$.training_runs[1].status: expected one of running"),
        ({"training_runs": [RUN | {"run_id": 0}]}, "$.training_runs[0]: run_id must be 1 or more"),
        ({"training_runs": [{"run_id": 1}]}, "$.training_runs[0]: the key 'started_at' is missing"),
        ({"training_runs": [RUN | {"final_val_loss": "low"}]}, '$.training_runs[0].final_val_loss: expected a number'),
        ({"content_hashes": {"a": 1}}, "$.content_hashes.a: expected text, found 1"),
        ({"content_hashes": []}, "$.content_hashes: expected an object, found a list"),
        ({"license_acceptance": []}, "$.license_acceptance: expected an object, found a list"),
        ({"exports": [{"exported_at": "2026-04-23T18:42:11", "target": "t", "quant": "q", "adapter_mix": [["a"]]}]},
         "$.exports[0].adapter_mix[0]: expected 2 items, found 1"),
        ({"skip_export_probes": 1}, "$.skip_export_probes: expected true or false, found 1"),
        ({"schema_version": 0}, "$.schema_version: expected 1, found 0"),
        ({"schema_version": True}, "$.schema_version: expected 1, found True"),
        ({"schema_version": "1"}, "$.schema_version: expected 1, found '1'"),
        ({"schema_version": None}, "$.schema_version: expected 1, found None"),
        ({"base_model": "\ud800"}, "$.base_model: text with half a character"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_with_its_place(changes: dict[str, Any], said: str) -> None:
    error = refused(changed(**changes))
    assert error.code == "store.manifest-corrupt"
    assert said in error.message


def test_syntax_errors_carry_line_and_column() -> None:
    error = refused('{\n  "dlm_id": ,\n}')
    assert (error.place.line, error.place.col) == (2, 13) if error.place else False
    assert str(error).startswith("/home/me/.dlm/manifest.json:2:13: not valid JSON")


def test_a_newer_manifest_asks_for_an_upgrade() -> None:
    error = refused(changed(schema_version=2))
    assert error.code == "store.manifest-newer"
    assert "Upgrade" in (error.hint or "")
