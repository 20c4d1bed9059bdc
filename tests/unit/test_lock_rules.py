"""dlm.lock: its bytes, what a change means, and what each flag does with it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.domain.errors import StoreError
from dlm.domain.license import LicenseAcceptance
from dlm.domain.lock import Lock, LockMode, Unreadable, compare_locks, lock_decision, lock_from_json, lock_to_json

MOMENT = datetime(2026, 4, 23, 18, 42, 11, 120, tzinfo=UTC)
ACCEPTANCE = LicenseAcceptance(accepted_at=MOMENT, license_url="https://l", license_spdx="Other", via="cli_flag")
LOCK = Lock(
    created_at=MOMENT,
    dlm_id="01KPXZ0000000000000000000A",
    dlm_sha256="a" * 64,
    base_model_revision="b" * 40,
    base_model_sha256="c" * 64,
    pinned_versions={"torch": "2.6.0", "peft": "0.18.0", "bitsandbytes": None},
    hardware_tier="cuda-sm80+",
    seed=42,
    determinism_flags={"deterministic_algorithms": True, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"},
    determinism_class="strong",
    last_run_id=3,
)


def versions(**changes: str | None) -> Lock:
    return attrs.evolve(LOCK, pinned_versions={**LOCK.pinned_versions, **changes})


def severities(old: Lock, new: Lock) -> dict[str, str]:
    return {drift.field: drift.severity for drift in compare_locks(old, new)}


def test_the_same_circumstances_do_not_drift() -> None:
    later = attrs.evolve(LOCK, created_at=datetime(2027, 1, 1, tzinfo=UTC), last_run_id=9)
    assert compare_locks(LOCK, later) == ()


@pytest.mark.parametrize(
    ("field", "value", "severity"),
    [
        ("dlm_id", "01KPXZ0000000000000000000B", "error"),
        ("dlm_sha256", "d" * 64, "allow"),
        ("base_model_revision", "e" * 40, "error"),
        ("base_model_revision", None, "error"),
        ("base_model_sha256", "f" * 64, "error"),
        ("hardware_tier", "cpu", "warn"),
        ("determinism_class", "advisory", "warn"),
        ("determinism_flags", {}, "warn"),
        ("seed", 43, "warn"),
        ("cuda_version", "12.4", "warn"),
        ("rocm_version", "6.2", "warn"),
        ("world_size", 2, "warn"),
        ("license_acceptance", ACCEPTANCE, "warn"),
    ],
)
def test_each_field_has_its_severity(field: str, value: Any, severity: str) -> None:
    other = attrs.evolve(LOCK, **{field: value})
    assert severities(LOCK, other) == {field: severity}
    assert severities(other, LOCK) == {field: severity}


def test_a_base_digest_on_one_side_only_is_silent() -> None:
    without = attrs.evolve(LOCK, base_model_sha256=None)
    assert compare_locks(LOCK, without) == compare_locks(without, LOCK) == ()


@pytest.mark.parametrize(
    ("old", "new", "severity"),
    [
        ("2.6.0", "3.0.0", "error"),
        ("2.6.0", "10.0.0", "error"),
        ("2.6.0", "2.7.0", "warn"),
        ("2.6.0", "2.6.1", "warn"),
        ("2.6.0+cpu", "2.6.0+cu124", "warn"),
        ("2.6.0", "nightly", "warn"),
        ("2.6.0", "3rc1", "warn"),
        ("2.6.0", None, "warn"),
        (None, "2.6.0", "warn"),
    ],
)
def test_torch_is_judged_by_its_major_version(old: str | None, new: str | None, severity: str) -> None:
    assert severities(versions(torch=old), versions(torch=new)) == {"torch": severity}


@pytest.mark.parametrize("name", ["transformers", "peft", "trl", "accelerate", "bitsandbytes", "llama_cpp"])
@pytest.mark.parametrize(("old", "new"), [("1.0", "2.0"), (None, "1.0"), ("1.0", None)])
def test_other_libraries_warn(name: str, old: str | None, new: str | None) -> None:
    assert severities(versions(**{name: old}), versions(**{name: new})) == {name: "warn"}


def test_libraries_nobody_watches_are_silent() -> None:
    assert compare_locks(LOCK, versions(sway="1", tokenizers="9")) == ()


def test_a_licence_counts_by_its_terms() -> None:
    accepted = attrs.evolve(LOCK, license_acceptance=ACCEPTANCE)
    again = attrs.evolve(ACCEPTANCE, accepted_at=datetime(2027, 1, 1, tzinfo=UTC), via="interactive")
    assert compare_locks(accepted, attrs.evolve(LOCK, license_acceptance=again)) == ()
    for change in ({"license_url": "https://m"}, {"license_spdx": "MIT"}):
        other = attrs.evolve(LOCK, license_acceptance=attrs.evolve(ACCEPTANCE, **change))
        assert severities(accepted, other) == {"license_acceptance": "warn"}


def test_errors_come_first() -> None:
    other = attrs.evolve(versions(torch="3.0.0"), seed=1, dlm_sha256="d" * 64)
    assert [drift.severity for drift in compare_locks(LOCK, other)] == ["error", "warn", "allow"]
    assert str(compare_locks(LOCK, other)[0]) == "torch changed: 2.6.0 → 3.0.0"


WARNING = attrs.evolve(LOCK, seed=1)
ERROR = attrs.evolve(LOCK, base_model_revision="e" * 40, seed=1)
ALLOWED = attrs.evolve(LOCK, dlm_sha256="d" * 64)
UNREADABLE = Unreadable(reason="$: expected an object")


@pytest.mark.parametrize(
    ("mode", "old", "proceed", "write", "warnings", "errors"),
    [
        ("default", None, True, True, 0, 0),
        ("default", LOCK, True, True, 0, 0),
        ("default", ALLOWED, True, True, 0, 0),
        ("default", WARNING, True, True, 1, 0),
        ("default", ERROR, False, False, 1, 1),
        ("default", UNREADABLE, False, False, 0, 1),
        ("strict", None, True, True, 0, 0),
        ("strict", LOCK, True, True, 0, 0),
        ("strict", ALLOWED, True, True, 0, 0),
        ("strict", WARNING, False, False, 0, 1),
        ("strict", ERROR, False, False, 0, 2),
        ("strict", UNREADABLE, False, False, 0, 1),
        *[("update", old, True, True, 0, 0) for old in (None, LOCK, WARNING, ERROR, UNREADABLE)],
        *[("ignore", old, True, False, 0, 0) for old in (None, LOCK, WARNING, ERROR, UNREADABLE)],
    ],
)
def test_each_flag_decides(
    mode: LockMode, old: Lock | Unreadable | None, proceed: bool, write: bool, warnings: int, errors: int
) -> None:
    decision = lock_decision(old, LOCK, mode)
    assert (decision.proceed, decision.write) == (proceed, write)
    assert (len(decision.warnings), len(decision.errors)) == (warnings, errors)


def test_a_refusal_has_one_line_per_reason_and_the_two_ways_out() -> None:
    error = lock_decision(ERROR, LOCK, "strict").refusal()
    assert error.code == "lock.drift"
    assert error.message.splitlines() == [
        f"base_model_revision changed: {'e' * 40} → {'b' * 40}",
        "seed changed: 1 → 42",
    ]
    assert "--update-lock" in (error.hint or "")
    assert "--ignore-lock" in (error.hint or "")


def test_the_file_in_bytes() -> None:
    text = lock_to_json(attrs.evolve(LOCK, license_acceptance=ACCEPTANCE, cuda_version="é"))
    record = json.loads(text)
    assert list(record) == sorted(record)
    assert text.endswith("\n}\n".removeprefix("\n"))
    assert '"cuda_version": "\\u00e9"' in text
    assert record["created_at"] == "2026-04-23T18:42:11.000120Z"
    assert record["pinned_versions"] == {"torch": "2.6.0", "peft": "0.18.0"}
    assert record["license_acceptance"]["accepted_at"] == "2026-04-23T18:42:11"
    assert (record["lock_version"], record["world_size"]) == (1, 1)


@given(
    created_at=st.datetimes(timezones=st.just(UTC), min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29)),  # noqa: DTZ001
    pins=st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), st.text("0123456789.", max_size=6)),
    seed=st.integers(),
    flags=st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), st.booleans() | st.none()),
    acceptance=st.none() | st.just(ACCEPTANCE),
)
def test_what_is_written_is_read(created_at: datetime, pins: Any, seed: int, flags: Any, acceptance: Any) -> None:
    lock = attrs.evolve(
        LOCK,
        created_at=created_at,
        pinned_versions=pins,
        seed=seed,
        determinism_flags=flags,
        license_acceptance=acceptance,
    )
    text = lock_to_json(lock)
    assert text.isascii()
    assert lock_from_json(text, "l") == lock
    assert lock_to_json(lock_from_json(text, "l")) == text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lock_version": 2}, "$.lock_version: this dlm reads 1, found 2"),
        ({"lock_version": True}, "$.lock_version"),
        ({"hardware_tier": "tpu"}, "$.hardware_tier: expected one of"),
        ({"determinism_class": "strict"}, "$.determinism_class: expected one of"),
        ({"dlm_sha256": "A" * 64}, "dlm_sha256 must be 64 lower-case hex digits"),
        ({"base_model_sha256": "x"}, "base_model_sha256 must be 64 lower-case hex digits"),
        ({"last_run_id": 0}, "last_run_id must be 1 or more"),
        ({"world_size": 0}, "world_size must be 1 or more"),
        ({"surprise": 1}, "unknown key 'surprise'"),
        ({"pinned_versions": {"torch": 2}}, "$.pinned_versions.torch: expected text"),
    ],
)
def test_what_is_not_a_lock_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(StoreError) as caught:
        lock_from_json(json.dumps(json.loads(lock_to_json(LOCK)) | changes), "/s/dlm.lock")
    assert caught.value.code == "lock.unreadable"
    assert said in caught.value.message
    assert "--update-lock" in (caught.value.hint or "")
    assert str(caught.value).startswith("/s/dlm.lock")
