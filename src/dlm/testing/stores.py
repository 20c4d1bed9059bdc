"""A store in memory. Only the folders that trainers fill are on disk, in a temporary home that goes with the store."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dlm.domain.errors import StoreError
from dlm.domain.json_record import finite
from dlm.domain.lock import Lock
from dlm.domain.manifest import Manifest
from dlm.domain.store_layout import (
    BUNDLED_BASE,
    PROVENANCE,
    TRAINING_RUN,
    adapter_folder,
    checked_dlm_id,
    checked_log_name,
    next_version,
    qlora_from_json,
    version_name,
)
from dlm.ports.store import AdapterRef, StoreSize
from dlm.ports.trainer import FillFolder


class MemoryStore:
    """Keeps everything of :class:`StorePort`'s contract for as long as it lives."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="dlm-memory-store-"))
        self._shelves: dict[str, _Shelf] = {}
        weakref.finalize(self, shutil.rmtree, self.home, ignore_errors=True)

    def location(self, dlm_id: str) -> Path:
        return self.home / "store" / checked_dlm_id(dlm_id)

    def manifest(self, dlm_id: str) -> Manifest | None:
        return self._shelf(dlm_id).manifest

    def lock(self, dlm_id: str) -> Lock | None:
        return self._shelf(dlm_id).lock

    def current(self, dlm_id: str, adapter: str | None = None) -> AdapterRef | None:
        ref = self._shelf(dlm_id).current.get(str(adapter_folder(adapter)))
        return ref and AdapterRef(version=ref.version, folder=ref.folder)

    def trained_with_qlora(self, version: AdapterRef) -> bool:
        path = version.folder / TRAINING_RUN
        return path.exists() and qlora_from_json(path.read_text(), str(path))

    def checkpoint(self, dlm_id: str) -> Path | None:
        return self._shelf(dlm_id).checkpoint

    def read_log(self, dlm_id: str, name: str) -> tuple[Mapping[str, Any], ...]:
        return tuple(self._shelf(dlm_id).logs.get(checked_log_name(name), ()))

    def read_summary(self, dlm_id: str, name: str) -> Mapping[str, Any] | None:
        return self._shelf(dlm_id).summaries.get(checked_log_name(name))

    def read_provenance(self, dlm_id: str) -> str | None:
        path = self.location(dlm_id) / PROVENANCE
        return path.read_text(encoding="utf-8") if path.exists() else None

    def bundled_base(self, dlm_id: str) -> Path | None:
        return next(iter(sorted((self.location(dlm_id) / BUNDLED_BASE).glob("*"))), None)

    def size(self, dlm_id: str) -> StoreSize:
        files = (path for path in self.location(dlm_id).rglob("*") if path.is_file())
        return StoreSize(total=sum(path.stat().st_size for path in files), replay=0)

    def free_bytes(self) -> int:
        return shutil.disk_usage(self.home).free

    @contextmanager
    def writer(self, dlm_id: str, *, wait_s: float = 0.0, break_stale: bool = False) -> Iterator[_MemoryWriter]:
        shelf = self._shelves.setdefault(dlm_id, _Shelf(self.location(dlm_id), dlm_id))
        deadline = time.monotonic() + wait_s
        while shelf.is_held:
            if time.monotonic() >= deadline:
                raise StoreError("store.locked", f"the store of {dlm_id} is in use", hint="Wait for it to finish.")
            time.sleep(0.01)
        shelf.is_held = True
        try:
            yield _MemoryWriter(shelf)
        finally:
            shelf.is_held = False

    def discard(self, dlm_id: str) -> None:
        shelf = self._shelf(dlm_id)
        if shelf.is_held:
            raise StoreError("store.locked", f"the store of {dlm_id} is in use", hint="Wait for it to finish.")
        if shelf.spent or (shelf.manifest is not None and shelf.manifest.training_runs):
            raise StoreError("store.not-empty", f"the store of {dlm_id} holds runs or versions", hint="Keep it.")
        self._shelves.pop(dlm_id, None)

    def _shelf(self, dlm_id: str) -> _Shelf:
        return self._shelves.get(dlm_id) or _Shelf(self.location(dlm_id), dlm_id)


class _Shelf:
    """One document's things."""

    def __init__(self, folder: Path, dlm_id: str) -> None:
        self.folder = folder
        self.dlm_id = dlm_id
        self.manifest: Manifest | None = None
        self.lock: Lock | None = None
        self.current: dict[str, AdapterRef] = {}
        self.spent: dict[str, list[str]] = {}
        self.checkpoint: Path | None = None
        self.logs: dict[str, list[Mapping[str, Any]]] = {}
        self.summaries: dict[str, Mapping[str, Any]] = {}
        self.is_held = False

    def keep(self, thing: Manifest | Lock) -> None:
        if thing.dlm_id != self.dlm_id:
            raise StoreError("store.wrong-document", f"this is the store of {self.dlm_id}", hint="Use its own id.")

    def new_folder(self, parent: str) -> Path:
        (self.folder / parent).mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=".staging-", dir=self.folder / parent))

    def replace_checkpoint(self, folder: Path | None) -> None:
        if self.checkpoint is not None:
            shutil.rmtree(self.checkpoint)
        self.checkpoint = folder


class _MemoryStaged:
    def __init__(self, shelf: _Shelf, adapter: str | None) -> None:
        self._shelf = shelf
        self._base = str(adapter_folder(adapter))
        self.folder = shelf.new_folder(f"{self._base}/versions")
        self.ended = False

    def commit(self) -> AdapterRef:
        if not any(self.folder.iterdir()):
            raise StoreError("store.version-empty", "nothing was written", hint="Write the adapter's files first.")
        version, folder = self._settle("")
        digests = [_sha256(folder / name) for name in ("adapter_model.safetensors", "adapter_config.json")]
        ref = AdapterRef(version=version, folder=folder, sha256=digests[0], config_sha256=digests[1])
        self._shelf.current[self._base] = ref
        return ref

    def reject(self) -> Path:
        return self._settle("-rejected")[1]

    def keep_as_checkpoint(self) -> None:
        self.ended = True
        self._shelf.replace_checkpoint(self.folder)

    def _settle(self, suffix: str) -> tuple[int, Path]:
        names = self._shelf.spent.setdefault(self._base, [])
        version = next_version(names)
        names.append(version_name(version) + suffix)
        self.folder = self.folder.rename(self.folder.with_name(names[-1]))
        self.ended = True
        return version, self.folder


class _MemoryWriter:
    def __init__(self, shelf: _Shelf) -> None:
        self._shelf = shelf

    def save_manifest(self, manifest: Manifest) -> None:
        self._shelf.keep(manifest)
        self._shelf.manifest = manifest

    def save_lock(self, lock: Lock) -> None:
        self._shelf.keep(lock)
        self._shelf.lock = lock

    @contextmanager
    def stage_version(self, adapter: str | None = None) -> Iterator[_MemoryStaged]:
        staged = _MemoryStaged(self._shelf, adapter)
        try:
            yield staged
        finally:
            if not staged.ended:
                shutil.rmtree(staged.folder)

    def checkpoints(self) -> _MemoryWriter:
        return self

    def save(self, fill: FillFolder) -> None:
        folder = self._shelf.new_folder("adapter/_checkpoint")
        try:
            fill(folder)
        except BaseException:
            shutil.rmtree(folder)
            raise
        self._shelf.replace_checkpoint(folder)

    def drop_checkpoint(self) -> None:
        self._shelf.replace_checkpoint(None)

    def append_log(self, name: str, record: Mapping[str, Any]) -> None:
        self._shelf.logs.setdefault(checked_log_name(name), []).append(finite(record))

    def save_summary(self, name: str, summary: Mapping[str, Any]) -> str:
        self._shelf.summaries[checked_log_name(name)] = finite(summary)
        return f"logs/{name}.summary.json"


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
