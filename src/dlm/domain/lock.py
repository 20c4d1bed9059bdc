"""``dlm.lock``: the circumstances of the last successful run, and what a change of each of them means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import attrs

from dlm.domain.errors import LockDriftError, Place, StoreError
from dlm.domain.hardware import DeterminismClass
from dlm.domain.json_record import RecordError, dump_object, in_utc, parse_object, structure
from dlm.domain.license import LicenseAcceptance

LOCK_VERSION = 1
HardwareTier = Literal["cuda-sm80+", "cuda-sm<80", "mps", "cpu", "rocm"]
LockMode = Literal["default", "strict", "update", "ignore"]
DriftSeverity = Literal["allow", "warn", "error"]

_HINT = "Delete the file to start afresh, or train with --update-lock to write a new one."


def _positive(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if value < 1:
        raise ValueError(f"{attribute.name} must be 1 or more, found {value}")


def _is_sha256(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and not re.fullmatch(r"[0-9a-f]{64}", value):
        raise ValueError(f"{attribute.name} must be 64 lower-case hex digits, found {value!r}")


def _present(versions: Mapping[str, str | None]) -> dict[str, str]:
    return {name: version for name, version in versions.items() if version is not None}


@attrs.frozen(kw_only=True)
class Lock:
    """The circumstances of one successful run.

    Args:
        created_at: UTC with microseconds.
        dlm_sha256: of the document's raw bytes.
        base_model_sha256: of the base's files; None when it was not computed.
        pinned_versions: library → version; absent libraries (None) are left out.
        seed: the one the run really used.
        determinism_flags: switch → setting.
        world_size: training processes.
    """

    lock_version: int = LOCK_VERSION
    created_at: datetime = attrs.field(converter=in_utc)
    dlm_id: str
    dlm_sha256: str = attrs.field(validator=_is_sha256)
    base_model_revision: str | None
    base_model_sha256: str | None = attrs.field(default=None, validator=_is_sha256)
    pinned_versions: Mapping[str, str | None] = attrs.field(factory=dict, converter=_present)
    cuda_version: str | None = None
    rocm_version: str | None = None
    hardware_tier: HardwareTier
    seed: int
    determinism_flags: Mapping[str, Any] = attrs.field(factory=dict)
    determinism_class: DeterminismClass
    license_acceptance: LicenseAcceptance | None = None
    last_run_id: int = attrs.field(validator=_positive)
    world_size: int = attrs.field(default=1, validator=_positive)


@attrs.frozen(kw_only=True)
class Drift:
    """One circumstance that changed. ``old`` or ``new`` is None when it was gained or lost."""

    field: str
    old: Any
    new: Any
    severity: DriftSeverity

    def __str__(self) -> str:
        return f"{self.field} changed: {_shown(self.old)} → {_shown(self.new)}"


@attrs.frozen(kw_only=True)
class Unreadable:
    """A ``dlm.lock`` that is there and cannot be read; ``reason`` is the error's message."""

    reason: str


@attrs.frozen(kw_only=True)
class LockDecision:
    """Whether the run may go on and whether it writes a new lock after success; one line per warning and error."""

    proceed: bool
    write: bool
    warnings: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()

    def refusal(self) -> LockDriftError:
        """Give the error to raise when ``proceed`` is False."""
        return LockDriftError(
            "lock.drift",
            "\n".join(self.errors),
            hint="If the change is meant, train with --update-lock (records it) or --ignore-lock (this run only).",
            details={"errors": list(self.errors), "warnings": list(self.warnings)},
        )


def lock_to_json(lock: Lock) -> str:
    """Give the text of ``dlm.lock``: sorted keys, two-space indent, final LF, non-ASCII characters escaped."""
    record = attrs.asdict(lock, recurse=False)
    record["created_at"] = lock.created_at.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    record["license_acceptance"] = lock.license_acceptance and lock.license_acceptance.to_record()
    return dump_object(record, ascii_only=True)


def lock_from_json(text: str, path: str) -> Lock:
    """Read ``dlm.lock``.

    Raises:
        StoreError: not a lock, with its path and the JSON position; or one written by a newer dlm.
    """
    try:
        record = parse_object(text)
        version = record.get("lock_version", LOCK_VERSION)
        if version is True or version != LOCK_VERSION:
            raise RecordError(f"$.lock_version: this dlm reads {LOCK_VERSION}, found {version!r}")
        return structure(Lock, record)
    except RecordError as exc:
        raise StoreError("lock.unreadable", exc.message, hint=_HINT, place=Place(path, exc.line, exc.col)) from exc


def compare_locks(old: Lock, new: Lock) -> tuple[Drift, ...]:
    """Give every circumstance that differs, worst first, then in a fixed order.

    ``last_run_id`` and ``created_at`` differ by nature and are not compared; nor are libraries outside
    ``_WATCHED_LIBRARIES``.
    """
    drifts = [
        Drift(field=field, old=getattr(old, field), new=getattr(new, field), severity=severity)
        for field, severity in _SEVERITIES.items()
        if getattr(old, field) != getattr(new, field)
    ]
    drifts += _base_digest_drift(old, new) + _library_drifts(old, new) + _license_drift(old, new)
    return tuple(sorted(drifts, key=lambda drift: _RANK[drift.severity]))


def lock_decision(old: Lock | Unreadable | None, new: Lock, mode: LockMode) -> LockDecision:
    """Decide about a run from the stored lock, this run's lock and the user's flag.

    ``update`` and ``ignore`` look at nothing, so an unreadable old lock does not stop them; ``ignore`` writes nothing.
    ``strict`` turns warnings into errors. A refused run writes nothing.
    """
    if mode == "update":
        return LockDecision(proceed=True, write=True)
    if mode == "ignore":
        return LockDecision(proceed=True, write=False)
    if old is None:
        return LockDecision(proceed=True, write=True)
    if isinstance(old, Unreadable):
        return LockDecision(proceed=False, write=False, errors=(f"dlm.lock cannot be read: {old.reason}",))
    drifts = compare_locks(old, new)
    refused = ("error", "warn") if mode == "strict" else ("error",)
    errors = tuple(str(drift) for drift in drifts if drift.severity in refused)
    warnings = tuple(str(drift) for drift in drifts if drift.severity == "warn" and mode == "default")
    return LockDecision(proceed=not errors, write=not errors, warnings=warnings, errors=errors)


_RANK: Mapping[DriftSeverity, int] = {"error": 0, "warn": 1, "allow": 2}

# Another document or another base makes the old adapter meaningless; another machine or seed changes only the digits.
# The document itself is meant to change between runs.
_SEVERITIES: Mapping[str, DriftSeverity] = {
    "dlm_id": "error",
    "base_model_revision": "error",
    "hardware_tier": "warn",
    "determinism_class": "warn",
    "determinism_flags": "warn",
    "seed": "warn",
    "cuda_version": "warn",
    "rocm_version": "warn",
    "world_size": "warn",
    "dlm_sha256": "allow",
}

_WATCHED_LIBRARIES = ("torch", "transformers", "peft", "trl", "accelerate", "bitsandbytes", "llama_cpp")


def _base_digest_drift(old: Lock, new: Lock) -> list[Drift]:
    before, after = old.base_model_sha256, new.base_model_sha256
    if before is None or after is None or before == after:
        return []
    return [Drift(field="base_model_sha256", old=before, new=after, severity="error")]


def _library_drifts(old: Lock, new: Lock) -> list[Drift]:
    pairs = [(name, old.pinned_versions.get(name), new.pinned_versions.get(name)) for name in _WATCHED_LIBRARIES]
    return [
        Drift(field=name, old=before, new=after, severity=_library_severity(name, before, after))
        for name, before, after in pairs
        if before != after
    ]


def _library_severity(name: str, before: str | None, after: str | None) -> DriftSeverity:
    # Only torch's major version changes numbers enough to refuse; a version we cannot read is worth a warning.
    majors = [re.match(r"\d+(?=\.|$)", version) for version in (before, after) if version is not None]
    if name != "torch" or len(majors) < 2 or None in majors:
        return "warn"
    first, second = (int(match[0]) for match in majors if match is not None)
    return "error" if first != second else "warn"


def _license_drift(old: Lock, new: Lock) -> list[Drift]:
    # When and how the person said yes does not matter here, only to what.
    before, after = (_terms(lock.license_acceptance) for lock in (old, new))
    if before == after:
        return []
    return [Drift(field="license_acceptance", old=before, new=after, severity="warn")]


def _terms(acceptance: LicenseAcceptance | None) -> str | None:
    return None if acceptance is None else f"{acceptance.license_spdx} {acceptance.license_url}"


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)
