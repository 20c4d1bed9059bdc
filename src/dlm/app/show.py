"""What is known about a document: its store, its runs, its lock. Reads only; creates nothing; never goes online."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from dlm.app.cache_facts import CacheFacts, cache_facts
from dlm.app.source_facts import SourceFacts, source_facts
from dlm.domain.base_rows import BASES
from dlm.domain.document import Document
from dlm.domain.errors import DlmError, DocumentError
from dlm.domain.exam import exam_from_json
from dlm.domain.export_report import parity_line
from dlm.domain.frontmatter import CacheConfig
from dlm.domain.lock import Lock
from dlm.domain.manifest import Manifest, export_record
from dlm.domain.numbers import human_size
from dlm.ports.metrics import MetricsPort
from dlm.ports.replay import ReplayPort, ReplaySize
from dlm.ports.sources import SourcesPort
from dlm.ports.store import AdapterRef, StorePort, StoreSize
from dlm.ports.token_cache import TokenCachePort


@attrs.frozen(kw_only=True)
class ShowReport:
    """Everything ``dlm show`` tells. ``manifest`` is None while the document has no store."""

    document: Document
    path: Path
    location: Path
    manifest: Manifest | None
    lock: Lock | None
    lock_problem: str | None
    current: AdapterRef | None
    adapter_problem: str | None
    size: StoreSize | None
    has_checkpoint: bool
    orphaned: bool
    files: SourceFacts
    memory: ReplaySize | None = None
    cache: CacheFacts | None = None

    def to_json(self) -> dict[str, Any]:
        """Give one object; times are ISO 8601 with ``T``."""
        if self.manifest is None:
            return {
                "dlm_id": self.document.dlm_id,
                "base_model": self.document.base_model,
                "store_initialized": False,
                "source_path": str(self.path.resolve()),
                "training_cache_config": _cache_config(self.document.frontmatter.training.cache),
                **self.files.to_json(),
            }
        return {**_manifest_record(self.manifest), **self._store_record()}

    def _store_record(self) -> dict[str, Any]:
        assert self.size is not None
        return {
            "path": str(self.location),
            "has_adapter_current": self.current is not None,
            "replay_size_bytes": self.size.replay,
            "total_size_bytes": self.size.total,
            "orphaned": self.orphaned,
            "has_checkpoint": self.has_checkpoint,
            "named_adapters": [],
            "training_cache_config": _cache_config(self.document.frontmatter.training.cache),
            **({"training_cache": self.cache.to_json()} if self.cache else {}),
            **({"replay": attrs.asdict(self.memory)} if self.memory else {}),
            **self.files.to_json(),
            "base_security": _base_security(self.document.base_model),
            "lock": _lock_record(self.lock, self.lock_problem, self.location),
        }

    def to_text(self) -> str:
        """Give a few lines for a person."""
        rows = [("document", str(self.path)), ("id", self.document.dlm_id)]
        if self.manifest is None:
            rows += [("base", self.document.base_model), ("store", f"not there yet; run: dlm train {self.path}")]
            return _aligned(rows + self.files.lines())
        revision = f" at {self.manifest.base_model_revision[:7]}" if self.manifest.base_model_revision else ""
        rows += [
            ("base", f"{self.manifest.base_model}{revision}"),
            ("store", f"{self.location} ({human_size(self.size.total if self.size else 0)})"),
            ("adapter", self._adapter_line()),
            ("runs", _runs_line(self.manifest)),
            ("exports", _exports_line(self.manifest)),
        ]
        rows += self.files.lines()
        exam = self.manifest.last_exam
        rows += [("exam", exam_from_json(exam))] if exam else []
        rows += [("checkpoint", f"an interrupted run can go on: dlm train {self.path} --resume")] * self.has_checkpoint
        rows += [("memory", _memory_line(self.memory))] if self.memory and self.memory.sections else []
        rows += [("cache", self._cache_line(self.cache))] if self.cache and self.cache.size.entries else []
        rows += [("lock", self._lock_line())]
        rows += [("orphaned", "the document this store was made from is gone or has another id")] * self.orphaned
        security = _base_security(self.document.base_model)
        rows += [("remote code", "this base runs code from its repository")] * security["trust_remote_code"]
        return _aligned(rows)

    def _adapter_line(self) -> str:
        if self.adapter_problem:
            return self.adapter_problem
        return f"v{self.current.version:04d}" if self.current else "none"

    @staticmethod
    def _cache_line(cache: CacheFacts) -> str:
        size = f"{cache.size.entries:,} rows as tokens ({human_size(cache.size.bytes_on_disk)})"
        return size if cache.hit_rate is None else f"{size}; {cache.last_run_line()}"

    def _lock_line(self) -> str:
        if self.lock_problem:
            return self.lock_problem
        if self.lock is None:
            return "none yet"
        torch = self.lock.pinned_versions.get("torch", "?")
        return f"run {self.lock.last_run_id} on {self.lock.hardware_tier}, torch {torch}, seed {self.lock.seed}"


def show(
    path: Path,
    *,
    store: StorePort,
    sources: SourcesPort,
    replay: Callable[[], ReplayPort],
    token_cache: TokenCachePort,
    metrics: MetricsPort,
) -> ShowReport:
    """Read a document, the files it names, and its store.

    Args:
        replay: gives the port when it is needed: for a document without a store nothing heavy is loaded.

    Raises:
        DocumentError: the document cannot be read.
        StoreError: the manifest is damaged.
    """
    document = Document.load(path)
    dlm_id = document.dlm_id
    manifest = store.manifest(dlm_id)
    lock, lock_problem = _tolerant(lambda: store.lock(dlm_id))
    current, adapter_problem = _tolerant(lambda: store.current(dlm_id))
    files = source_facts(document, manifest, sources, store)
    return ShowReport(
        document=document,
        path=path,
        location=store.location(dlm_id),
        manifest=manifest,
        lock=lock,
        lock_problem=lock_problem,
        current=current,
        adapter_problem=adapter_problem,
        size=store.size(dlm_id) if manifest else None,
        has_checkpoint=store.checkpoint(dlm_id) is not None,
        orphaned=_is_orphaned(manifest),
        files=files,
        memory=replay().size(dlm_id, current=files.known_names) if manifest else None,
        cache=cache_facts(dlm_id, store, token_cache, metrics) if manifest else None,
    )


def _tolerant(read: Any) -> tuple[Any, str | None]:
    """Read one part of the store; what is wrong with it is part of what ``show`` tells."""
    try:
        return read(), None
    except DlmError as exc:
        return None, str(exc)


def _is_orphaned(manifest: Manifest | None) -> bool:
    if manifest is None or manifest.source_path is None:
        return False
    try:
        return Document.load(Path(manifest.source_path)).dlm_id != manifest.dlm_id
    except (DocumentError, DlmError, OSError):
        return True


def _manifest_record(manifest: Manifest) -> dict[str, Any]:
    ended = [run.ended_at for run in manifest.training_runs if run.status == "completed" and run.ended_at]
    return {
        "dlm_id": manifest.dlm_id,
        "base_model": manifest.base_model,
        "base_model_revision": manifest.base_model_revision,
        "adapter_version": manifest.adapter_version,
        "training_runs": len(manifest.training_runs),
        "last_trained_at": f"{max(ended):%Y-%m-%dT%H:%M:%S}" if ended else None,
        "source_path": manifest.source_path,
        "exports": [export_record(export) for export in manifest.exports],
        "content_hashes": dict(manifest.content_hashes),
        "pinned_versions": dict(manifest.pinned_versions),
        "exam": manifest.last_exam,
    }


def _runs_line(manifest: Manifest) -> str:
    if not manifest.training_runs:
        return "none yet"
    last = manifest.training_runs[-1]
    when = last.ended_at or last.started_at
    return f"{len(manifest.training_runs)}, last {last.status} {when:%Y-%m-%d %H:%M} UTC"


def _exports_line(manifest: Manifest) -> str:
    if not manifest.exports:
        return "none"
    last = manifest.exports[-1]
    line = f"{len(manifest.exports)}, last for {last.target} {last.quant} {last.exported_at:%Y-%m-%d %H:%M} UTC"
    return line if last.parity is None else f"{line}; {parity_line(last.parity, None)}"


def _lock_record(lock: Lock | None, problem: str | None, location: Path) -> dict[str, Any] | None:
    if lock is None:
        return {"path": str(location / "dlm.lock"), "problem": problem} if problem else None
    record = attrs.asdict(lock)
    record["created_at"] = f"{lock.created_at:%Y-%m-%dT%H:%M:%S}"
    if lock.license_acceptance is not None:
        record["license_acceptance"] = lock.license_acceptance.to_record()
    return {"path": str(location / "dlm.lock"), **record}


def _cache_config(cache: CacheConfig) -> dict[str, Any]:
    return attrs.asdict(cache)


def _base_security(key: str) -> dict[str, Any]:
    """Describe what is known about a base without asking anybody."""
    spec = BASES.get(key)
    return {
        "base_model": key,
        "architecture": spec.architecture if spec else None,
        "trust_remote_code": bool(spec and spec.trust_remote_code),
    }


def _memory_line(memory: ReplaySize) -> str:
    removed = f", {memory.removed} of them no longer in the document" if memory.removed else ""
    return f"{memory.sections:,} sections{removed} ({human_size(memory.bytes_on_disk)})"


def _aligned(rows: list[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows) + 1
    return "\n".join(f"{name + ':':<{width}} {value}" for name, value in rows)
