"""Keeping what was trained."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import attrs

from dlm.domain.lock import Lock
from dlm.domain.manifest import Manifest
from dlm.ports.trainer import CheckpointSink


@attrs.frozen(kw_only=True)
class AdapterRef:
    """One committed adapter version on disk.

    Args:
        sha256, config_sha256: of ``adapter_model.safetensors`` and ``adapter_config.json``, in lower-case hex.
            Filled by ``commit`` for the files that are there; None when the version is only looked up.
    """

    version: int
    folder: Path
    sha256: str | None = None
    config_sha256: str | None = None


@attrs.frozen(kw_only=True)
class StoreSize:
    """Bytes on disk of a store."""

    total: int
    replay: int


class StagedVersion(Protocol):
    """A folder that becomes an adapter version, or nothing.

    Exactly one of the three ends it; leaving the ``with`` block without one discards the folder.
    """

    folder: Path

    def commit(self) -> AdapterRef:
        """Flush, rename into place, move the pointer. A crash at any line leaves the old version usable."""
        ...

    def reject(self) -> Path:
        """Keep the folder for inspection as ``vNNNN-rejected``; the pointer stays, the number is spent."""
        ...

    def keep_as_checkpoint(self) -> None:
        """Make the folder the run's resumable checkpoint."""
        ...


class StoreWriter(Protocol):
    """Exclusive access to one document's store, holding its writer lock. All writes are atomic and flushed.

    ``adapter`` names a named adapter; None is the document's only one. ``append_log`` adds a line to
    ``logs/<name>.jsonl``; ``save_summary`` writes ``logs/<name>.summary.json`` and gives its path relative to the
    store.
    """

    def save_manifest(self, manifest: Manifest) -> None: ...

    def save_lock(self, lock: Lock) -> None: ...

    def stage_version(self, adapter: str | None = None) -> AbstractContextManager[StagedVersion]: ...

    def checkpoints(self) -> CheckpointSink: ...

    def drop_checkpoint(self) -> None: ...

    def append_log(self, name: str, record: Mapping[str, Any]) -> None: ...

    def save_summary(self, name: str, summary: Mapping[str, Any]) -> str: ...


class StorePort(Protocol):
    """The home: one store per document id. Reading methods create nothing on disk.

    Raises ``StoreError`` and ``DiskError`` only. ``manifest``, ``lock``, ``current``, ``checkpoint`` and
    ``read_summary`` give None for what is not there and raise for what is there and damaged (an unreadable ``dlm.lock``
    has the code ``lock.unreadable``). ``read_log`` leaves out lines that a crash cut short.
    """

    home: Path

    def location(self, dlm_id: str) -> Path: ...

    def manifest(self, dlm_id: str) -> Manifest | None: ...

    def lock(self, dlm_id: str) -> Lock | None: ...

    def current(self, dlm_id: str, adapter: str | None = None) -> AdapterRef | None: ...

    def trained_with_qlora(self, version: AdapterRef) -> bool:
        """Tell whether a version was trained on a 4-bit base; False when it does not say."""
        ...

    def checkpoint(self, dlm_id: str) -> Path | None: ...

    def read_log(self, dlm_id: str, name: str) -> tuple[Mapping[str, Any], ...]: ...

    def read_summary(self, dlm_id: str, name: str) -> Mapping[str, Any] | None: ...

    def read_provenance(self, dlm_id: str) -> str | None:
        """Give the text of ``provenance.json`` of the pack that the store came in; None when there is none."""
        ...

    def bundled_base(self, dlm_id: str) -> Path | None:
        """Give the folder of a base that came in the document's pack."""
        ...

    def size(self, dlm_id: str) -> StoreSize: ...

    def free_bytes(self) -> int: ...

    def writer(
        self, dlm_id: str, *, wait_s: float = 0.0, break_stale: bool = False
    ) -> AbstractContextManager[StoreWriter]:
        """Take the store's writer lock, waiting up to ``wait_s`` seconds; the store's folders are made if missing.

        Raises ``StoreError``: ``store.locked`` when a live process holds it, ``store.lock-stale`` when a dead one left
        it behind. ``break_stale`` removes a lock whose holder is dead, unreadable, or on another machine, where nobody
        can tell from here; it never takes a lock from a live process of this machine.
        """
        ...

    def discard(self, dlm_id: str) -> None:
        """Remove a store that was just provisioned and holds no adapter version; refuse otherwise."""
        ...
