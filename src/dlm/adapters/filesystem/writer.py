"""Changing one store, with its writer lock held."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dlm.adapters.filesystem.checkpoints import FileCheckpoints
from dlm.adapters.filesystem.faults import writing
from dlm.adapters.filesystem.folders import make_folders
from dlm.adapters.filesystem.versions import FileStagedVersion
from dlm.adapters.filesystem.writer_lock import HeldLock
from dlm.domain.errors import StoreError
from dlm.domain.json_record import dump_object, finite
from dlm.domain.lock import Lock, lock_to_json
from dlm.domain.manifest import Manifest, manifest_to_json
from dlm.domain.store_layout import LOCK, MANIFEST, checked_log_name
from dlm.domain.text_files import write_atomic


class FileWriter:
    """Exclusive access to the store at ``root``."""

    def __init__(self, root: Path, held: HeldLock) -> None:
        self._root = root
        self._held = held
        self._checkpoints = FileCheckpoints(root, held)

    def save_manifest(self, manifest: Manifest) -> None:
        """Replace ``manifest.json``."""
        self._replace(MANIFEST, manifest_to_json(manifest), manifest.dlm_id)

    def save_lock(self, lock: Lock) -> None:
        """Replace ``dlm.lock``."""
        self._replace(LOCK, lock_to_json(lock), lock.dlm_id)

    @contextmanager
    def stage_version(self, adapter: str | None = None) -> Iterator[FileStagedVersion]:
        """Give an empty folder that becomes an adapter version, or nothing."""
        self._held.check()
        staged = FileStagedVersion(self._root, adapter, self._held, self._checkpoints)
        try:
            yield staged
        finally:
            staged.close()

    def checkpoints(self) -> FileCheckpoints:
        """Give the sink for resumable checkpoints."""
        return self._checkpoints

    def drop_checkpoint(self) -> None:
        """Remove the checkpoint, if there is one."""
        self._checkpoints.drop()

    def append_log(self, name: str, record: Mapping[str, Any]) -> None:
        """Add one line to ``logs/<name>.jsonl``, handed to the system in one piece."""
        path = self._logs() / f"{checked_log_name(name)}.jsonl"
        line = json.dumps(finite(record), sort_keys=True, allow_nan=False).encode() + b"\n"
        with writing(path), path.open("a+b", buffering=0) as file:
            file.write(line if _ends_with_newline(file) else b"\n" + line)

    def save_summary(self, name: str, summary: Mapping[str, Any]) -> str:
        """Replace ``logs/<name>.summary.json``; gives that path, relative to the store."""
        path = self._logs() / f"{checked_log_name(name)}.summary.json"
        with writing(path):
            write_atomic(path, dump_object(summary, ascii_only=True).encode())
        return path.relative_to(self._root).as_posix()

    def _replace(self, name: str, text: str, dlm_id: str) -> None:
        if dlm_id != self._root.name:
            raise StoreError(
                "store.wrong-document",
                f"the store of {self._root.name} cannot keep the {name} of {dlm_id}",
                hint="This is a fault of the caller: open the writer with the document's own id.",
            )
        self._held.check()
        with writing(self._root / name):
            write_atomic(self._root / name, text.encode())

    def _logs(self) -> Path:
        folder = self._root / "logs"
        with writing(folder):
            make_folders(folder)
        return folder


def _ends_with_newline(file: Any) -> bool:
    # A line that a crash cut short must not swallow the next one.
    if file.seek(0, 2) == 0:
        return True
    file.seek(-1, 2)
    return bool(file.read(1) == b"\n")
