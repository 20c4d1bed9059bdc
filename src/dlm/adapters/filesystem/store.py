"""The home folder as a store."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dlm.adapters.filesystem.checkpoints import current_checkpoint
from dlm.adapters.filesystem.faults import read_text, reading, writing
from dlm.adapters.filesystem.folders import discard_store, make_folders, size_bytes, sweep
from dlm.adapters.filesystem.installer import put_back_replaced
from dlm.adapters.filesystem.versions import current_version, has_versions
from dlm.adapters.filesystem.writer import FileWriter
from dlm.adapters.filesystem.writer_lock import acquire
from dlm.domain.errors import Place, StoreError
from dlm.domain.json_record import RecordError, parse_object
from dlm.domain.lock import Lock, lock_from_json
from dlm.domain.manifest import Manifest, manifest_from_json
from dlm.domain.store_layout import (
    BUNDLED_BASE,
    LOCK,
    MANIFEST,
    PROVENANCE,
    TRAINING_RUN,
    checked_dlm_id,
    checked_log_name,
    qlora_from_json,
)
from dlm.ports.clock import Clock
from dlm.ports.store import AdapterRef, StoreSize


class FileStore:
    """One folder per document under ``<home>/store/``. Reading creates nothing, not even the home.

    A store whose replacement was interrupted where that takes two steps is put back: by ``recover``, once before
    anything is read, and by whoever writes.
    """

    def __init__(self, home: Path, clock: Clock) -> None:
        self.home = home
        self._clock = clock

    def recover(self) -> None:
        """Put back what a killed process left that was replacing a store; nearly always there is nothing to do."""
        put_back_replaced(self.home / "store")

    def location(self, dlm_id: str) -> Path:
        """Give the store's folder, whether or not it exists."""
        return self.home / "store" / checked_dlm_id(dlm_id)

    def manifest(self, dlm_id: str) -> Manifest | None:
        """Give the manifest; None when the document has no store yet."""
        path = self.location(dlm_id) / MANIFEST
        text = read_text(path)
        if text is None:
            return None
        manifest = manifest_from_json(text, str(path))
        if manifest.dlm_id != dlm_id:
            raise StoreError(
                "store.manifest-corrupt",
                f"$.dlm_id: this store belongs to {dlm_id}, the file to {manifest.dlm_id}",
                hint="The folder was copied or renamed. Give it its document's own id as name again.",
                place=Place(str(path)),
            )
        return manifest

    def lock(self, dlm_id: str) -> Lock | None:
        """Give ``dlm.lock``; None before the first successful run."""
        path = self.location(dlm_id) / LOCK
        text = read_text(path)
        return None if text is None else lock_from_json(text, str(path))

    def current(self, dlm_id: str, adapter: str | None = None) -> AdapterRef | None:
        """Give the live adapter version."""
        return current_version(self.location(dlm_id), adapter)

    def trained_with_qlora(self, version: AdapterRef) -> bool:
        """Tell whether a version was trained on a 4-bit base; False when it does not say."""
        path = version.folder / TRAINING_RUN
        text = read_text(path)
        return text is not None and qlora_from_json(text, str(path))

    def checkpoint(self, dlm_id: str) -> Path | None:
        """Give the folder of the resumable checkpoint."""
        return current_checkpoint(self.location(dlm_id))

    def read_log(self, dlm_id: str, name: str) -> tuple[Mapping[str, Any], ...]:
        """Give the records of a log, in order; a line that a crash cut short is left out."""
        path = self.location(dlm_id) / "logs" / f"{checked_log_name(name)}.jsonl"
        with reading(path):
            try:
                lines = path.read_bytes().split(b"\n")
            except FileNotFoundError:
                return ()
        records: list[Mapping[str, Any]] = []
        for line in lines:
            # ValueError covers bad JSON and bad UTF-8: both are what a torn line looks like.
            with suppress(ValueError, RecursionError):
                record = json.loads(line)
                if isinstance(record, dict):
                    records.append(record)
        return tuple(records)

    def read_summary(self, dlm_id: str, name: str) -> Mapping[str, Any] | None:
        """Give a run summary; None when there is none of this name."""
        path = self.location(dlm_id) / "logs" / f"{checked_log_name(name)}.summary.json"
        text = read_text(path)
        if text is None:
            return None
        try:
            return parse_object(text)
        except RecordError as exc:
            raise StoreError(
                "store.summary-corrupt",
                exc.message,
                hint="The file was damaged or edited by hand; the adapter is not affected. Delete it.",
                place=Place(str(path), exc.line, exc.col),
            ) from exc

    def read_provenance(self, dlm_id: str) -> str | None:
        """Give who signed the pack that the store came in."""
        return read_text(self.location(dlm_id) / PROVENANCE)

    def bundled_base(self, dlm_id: str) -> Path | None:
        """Give the folder of a base that came in the document's pack."""
        root = self.location(dlm_id) / BUNDLED_BASE
        with reading(root):
            folders = sorted(path for path in root.glob("*") if path.is_dir() and not path.is_symlink())
        return folders[0] if folders else None

    def size(self, dlm_id: str) -> StoreSize:
        """Give the bytes the store takes."""
        root = self.location(dlm_id)
        with reading(root):
            return StoreSize(total=size_bytes(root), replay=size_bytes(root / "replay"))

    def free_bytes(self) -> int:
        """Give the bytes free on the disk that holds (or would hold) the home."""
        folder = self.home.absolute()
        with reading(folder):
            while not folder.exists():
                folder = folder.parent
            return shutil.disk_usage(folder).free

    @contextmanager
    def writer(self, dlm_id: str, *, wait_s: float = 0.0, break_stale: bool = False) -> Iterator[FileWriter]:
        """Take the store's writer lock, clear away what dead writers left, and give the writer."""
        root = self.location(dlm_id)
        self.recover()
        with writing(root):
            make_folders(self.home, private=True)
            make_folders(root / "adapter" / "versions")
            make_folders(root / "logs")
        held = acquire(root, clock=self._clock, wait_s=wait_s, break_stale=break_stale)
        try:
            with writing(root):
                sweep(root)
            yield FileWriter(root, held)
        except BaseException:
            # The first error is the story; a lock that cannot be removed will be reported by the next writer.
            with suppress(StoreError):
                held.release()
            raise
        held.release()

    def discard(self, dlm_id: str) -> None:
        """Remove a store that was just provisioned and holds no adapter version; refuse otherwise."""
        root = self.location(dlm_id)
        with reading(root):
            if not root.is_dir():
                return
        with self.writer(dlm_id):
            manifest = self.manifest(dlm_id)
            if has_versions(root) or (manifest is not None and manifest.training_runs):
                raise StoreError(
                    "store.not-empty",
                    f"{root} holds training runs or adapter versions and is not removed",
                    hint="If you want it gone, delete the folder yourself.",
                )
            with writing(root):
                discard_store(root)
