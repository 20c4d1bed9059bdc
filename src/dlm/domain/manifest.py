"""The store's memory of a document: its base, its runs, its adapter versions, its exports."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

import attrs

from dlm.domain.errors import Place, StoreError
from dlm.domain.json_record import RecordError, dump_object, in_seconds, parse_object, plain_time, structure
from dlm.domain.license import LicenseAcceptance

SCHEMA_VERSION = 1
DLM_ID = re.compile(r"[0-9A-HJ-KM-NP-TV-Z]{26}")
ADAPTER_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
RESERVED_ADAPTER_NAMES = frozenset({"versions", "default"})
"""``versions`` is a folder of the store, ``default`` the implied name of a document's only adapter."""

ADDITIONS: Mapping[str, str] = MappingProxyType(
    {
        "installed_from": "digest of the pack that the store came in, so that a stranger's document is treated as one",
        "trusts_sources": "somebody here allowed a document from a pack to read files outside its folder",
        "skip_export_probes": "the answer given at init, so that later commands do not probe an hf: base again",
        "training_runs[].learned_sha256": "digest of all that decided the run, so that an unchanged document is not "
        "trained again",
        "exports[].folder": "where the export lies, as one level can have several",
        "exports[].parity": "how far the exported model is from the trained one, so that show can tell",
        "training_runs[].exam": "what the run's exam found, so that show can tell which answers are known",
    }
)
"""Keys beyond the common manifest format, with the reason for each. Written only when they say something."""

RunStatus = Literal["running", "completed", "failed", "cancelled"]
EndStatus = Literal["completed", "failed", "cancelled"]

_REPAIR_HINT = (
    "The file was damaged or edited by hand. Put back a backup of it, or move it aside and train again: "
    "the adapter versions beside it stay as they are."
)


def _optional_seconds(moment: datetime | None) -> datetime | None:
    return None if moment is None else in_seconds(moment)


def _at_least(lowest: int) -> Any:
    def check(_: object, attribute: attrs.Attribute[int], value: int) -> None:
        if value < lowest:
            raise ValueError(f"{attribute.name} must be {lowest} or more, found {value}")

    return check


def _is_dlm_id(_: object, __: attrs.Attribute[str], value: str) -> None:
    if not DLM_ID.fullmatch(value):
        raise ValueError(f"dlm_id must be 26 characters of upper-case Crockford base32, found {value!r}")


@attrs.frozen(kw_only=True)
class TrainingRun:
    """One training run, from the moment its id was reserved.

    Args:
        adapter_version: the version it committed; 0 while running and when nothing was committed.
        steps: optimiser steps done.
        final_train_loss, final_val_loss: nats per supervised token; None when unknown.
        summary_path: run summary, relative to the store.
        adapter_name: None for a document's only adapter.
        exam: the exam's result as a JSON object; None when there was none, or when a later run has one.
        learned_sha256: of everything that decides what the run gives; None for runs that committed nothing.
    """

    run_id: int = attrs.field(validator=_at_least(1))
    started_at: datetime = attrs.field(converter=in_seconds)
    ended_at: datetime | None = attrs.field(default=None, converter=_optional_seconds)
    adapter_version: int = attrs.field(default=0, validator=_at_least(0))
    base_model_revision: str | None = None
    seed: int | None = None
    steps: int = attrs.field(default=0, validator=_at_least(0))
    final_train_loss: float | None = None
    final_val_loss: float | None = None
    status: RunStatus = "running"
    pinned_versions: Mapping[str, str | None] = attrs.field(factory=dict)
    summary_path: str | None = None
    adapter_name: str | None = None
    weight_distribution: Mapping[str, Any] | None = None
    exam: Mapping[str, Any] | None = None
    learned_sha256: str | None = None


@attrs.frozen(kw_only=True)
class ExportRecord:
    """One artefact that was exported. Digests are lower-case hex sha256.

    Args:
        folder: below the store's ``exports``.
        parity: how far it is from the trained model; None when that was not measured.
    """

    exported_at: datetime = attrs.field(converter=in_seconds)
    target: str
    quant: str
    merged: bool = False
    ollama_name: str | None = None
    ollama_version: str | None = None
    llama_cpp_tag: str | None = None
    base_gguf_sha256: str | None = None
    adapter_gguf_sha256: str | None = None
    smoke_output_first_line: str | None = None
    adapter_name: str | None = None
    adapter_mix: tuple[tuple[str, float], ...] | None = None
    folder: str | None = None
    parity: Mapping[str, Any] | None = None


@attrs.frozen(kw_only=True)
class Manifest:
    """What one store holds. Change it with the methods below; each gives a new value.

    Args:
        adapter_version: live version of the only adapter; 0 before the first run.
        adapter_versions: live version by adapter name, in documents with named adapters.
        content_hashes: ids of the sections of the last successful run; each key equals its value.
        source_path: absolute path of the document when it was last trained.
        skip_export_probes: the person chose to skip the export probes of an ``hf:`` base.
        installed_from: digest of the pack that the store came in; None when it was made here.
        trusts_sources: whether a document from a pack may read files outside its own folder.
    """

    dlm_id: str = attrs.field(validator=_is_dlm_id)
    schema_version: int = SCHEMA_VERSION
    created_at: datetime = attrs.field(converter=in_seconds)
    updated_at: datetime = attrs.field(converter=in_seconds)
    base_model: str
    base_model_revision: str | None = None
    base_model_sha256: str | None = None
    adapter_sha256: str | None = None
    adapter_config_sha256: str | None = None
    adapter_version: int = attrs.field(default=0, validator=_at_least(0))
    adapter_versions: Mapping[str, int] = attrs.field(factory=dict)
    training_runs: tuple[TrainingRun, ...] = ()
    exports: tuple[ExportRecord, ...] = ()
    content_hashes: Mapping[str, str] = attrs.field(factory=dict)
    pinned_versions: Mapping[str, str | None] = attrs.field(factory=dict)
    source_path: str | None = None
    license_acceptance: LicenseAcceptance | None = None
    skip_export_probes: bool = False
    installed_from: str | None = None
    trusts_sources: bool = False

    @classmethod
    def new(
        cls,
        dlm_id: str,
        base_model: str,
        base_model_revision: str | None,
        source_path: str | None,
        created_at: datetime,
        license_acceptance: LicenseAcceptance | None = None,
        *,
        skip_export_probes: bool = False,
    ) -> Manifest:
        """Give the manifest of a fresh store."""
        return cls(
            dlm_id=dlm_id,
            created_at=created_at,
            updated_at=created_at,
            base_model=base_model,
            base_model_revision=base_model_revision,
            source_path=source_path,
            license_acceptance=license_acceptance,
            skip_export_probes=skip_export_probes,
        )

    def run(self, run_id: int) -> TrainingRun | None:
        """Give the run with this id."""
        return next((run for run in self.training_runs if run.run_id == run_id), None)

    @property
    def last_committed(self) -> TrainingRun | None:
        """The run that made the live version of the document's only adapter."""
        return next(
            (
                run
                for run in reversed(self.training_runs)
                if run.status == "completed" and run.adapter_version == self.adapter_version > 0
            ),
            None,
        )

    @property
    def last_exam(self) -> Mapping[str, Any] | None:
        """What the latest exam found; None when there was none."""
        return next((run.exam for run in reversed(self.training_runs) if run.exam), None)

    def reserve_run(self, *, started_at: datetime, seed: int, adapter_name: str | None = None) -> tuple[Manifest, int]:
        """Append a ``running`` row and give its id, one above the largest so far: ids are never used twice."""
        run_id = max((run.run_id for run in self.training_runs), default=0) + 1
        row = TrainingRun(
            run_id=run_id,
            started_at=started_at,
            seed=seed,
            adapter_name=adapter_name,
            base_model_revision=self.base_model_revision,
        )
        return attrs.evolve(self, training_runs=(*self.training_runs, row), updated_at=started_at), run_id

    def finish_run(self, run_id: int, status: EndStatus, *, ended_at: datetime, **results: Any) -> Manifest:
        """End a run that is ``running``.

        Args:
            results: further fields of :class:`TrainingRun` (``steps``, ``adapter_version``, losses, ``exam`` …).

        Raises:
            ValueError: no such run, or it has ended before: a finished row is history and stays as it is.
        """
        row = self.run(run_id)
        if row is None or row.status != "running":
            raise ValueError(f"run {run_id} is not running")
        ended = attrs.evolve(row, status=status, ended_at=ended_at, **results)
        # One exam is enough here, and months of them would make every reading slow; each run's summary keeps its own.
        older = [attrs.evolve(run, exam=None) if ended.exam else run for run in self.training_runs]
        runs = tuple(ended if run.run_id == run_id else run for run in older)
        return attrs.evolve(self, training_runs=runs, updated_at=ended_at)

    def close_abandoned(self, *, ended_at: datetime) -> tuple[Manifest, tuple[int, ...]]:
        """Mark every ``running`` row ``failed`` and give their ids.

        For whoever has just taken the store's writer lock: a run still open then belongs to a process that died.
        """
        open_runs = tuple(run.run_id for run in self.training_runs if run.status == "running")
        manifest = self
        for run_id in open_runs:
            manifest = manifest.finish_run(run_id, "failed", ended_at=ended_at)
        return manifest, open_runs

    def with_adapter(
        self,
        version: int,
        *,
        adapter_sha256: str | None,
        adapter_config_sha256: str | None,
        adapter_name: str | None = None,
    ) -> Manifest:
        """Record a committed version. The digests describe the document's only adapter, so named ones leave them."""
        if adapter_name is not None:
            return attrs.evolve(self, adapter_versions={**self.adapter_versions, adapter_name: version})
        return attrs.evolve(
            self,
            adapter_version=version,
            adapter_sha256=adapter_sha256,
            adapter_config_sha256=adapter_config_sha256,
        )

    def with_export(self, record: ExportRecord) -> Manifest:
        """Append an export."""
        return attrs.evolve(self, exports=(*self.exports, record), updated_at=record.exported_at)


def manifest_to_json(manifest: Manifest) -> str:
    """Give the text of ``manifest.json``: sorted keys, two-space indent, final LF, non-ASCII characters kept."""
    record = attrs.asdict(manifest, recurse=False)
    record |= {
        "created_at": plain_time(manifest.created_at),
        "updated_at": plain_time(manifest.updated_at),
        "training_runs": [_run_record(run) for run in manifest.training_runs],
        "exports": [export_record(export) for export in manifest.exports],
        "license_acceptance": manifest.license_acceptance and manifest.license_acceptance.to_record(),
    }
    for key in ("skip_export_probes", "installed_from", "trusts_sources"):
        if not record[key]:
            del record[key]
    return dump_object(record, ascii_only=False)


def manifest_from_json(text: str, path: str) -> Manifest:
    """Read ``manifest.json``. A file without ``schema_version`` counts as version 1.

    Args:
        path: named in errors.

    Raises:
        StoreError: not a manifest, with its path and the JSON position; or one written by a newer dlm.
    """
    try:
        record = parse_object(text)
        _check_version(record.get("schema_version", SCHEMA_VERSION), path)
        return structure(Manifest, record)
    except RecordError as exc:
        place = Place(path, exc.line, exc.col)
        raise StoreError("store.manifest-corrupt", exc.message, hint=_REPAIR_HINT, place=place) from exc


def _check_version(version: object, path: str) -> None:
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise StoreError(
            "store.manifest-newer",
            f"manifest version {version} is newer than this dlm reads ({SCHEMA_VERSION})",
            hint="Upgrade dlm to the version that wrote it.",
            place=Place(path),
        )
    if version is True or version != SCHEMA_VERSION:
        raise RecordError(f"$.schema_version: expected {SCHEMA_VERSION}, found {version!r}")


def export_record(export: ExportRecord) -> dict[str, Any]:
    """Give an export as a JSON object."""
    record = {**attrs.asdict(export), "exported_at": plain_time(export.exported_at)}
    for key in ("folder", "parity"):
        if record[key] is None:
            del record[key]
    return record


def _run_record(run: TrainingRun) -> dict[str, Any]:
    record = attrs.asdict(run, recurse=False)
    record["started_at"] = plain_time(run.started_at)
    record["ended_at"] = run.ended_at and plain_time(run.ended_at)
    for key in ("exam", "learned_sha256"):
        if record[key] is None:
            del record[key]
    return record
