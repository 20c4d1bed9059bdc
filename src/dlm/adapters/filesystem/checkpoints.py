"""The one resumable checkpoint of a store.

Checkpoints are numbered folders ``c000001``, ``c000002`` …; the highest is the checkpoint. A new one appears by a
single rename, and only then the older one goes, so there is a whole one at every moment.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from dlm.adapters.filesystem.faults import reading, writing
from dlm.adapters.filesystem.folders import make_folders, new_staging_folder, retire, sync_tree
from dlm.adapters.filesystem.writer_lock import HeldLock
from dlm.domain.store_layout import CHECKPOINTS
from dlm.domain.text_files import sync_folder
from dlm.ports.trainer import FillFolder

_NAME = re.compile(r"c(\d{6,})")


def current_checkpoint(root: Path) -> Path | None:
    """Give the folder of the store's checkpoint; None when there is none."""
    with reading(root):
        found = _numbered(root / CHECKPOINTS)
    return found[-1][1] if found else None


class FileCheckpoints:
    """Writes checkpoints of one store whose writer lock is held."""

    def __init__(self, root: Path, held: HeldLock) -> None:
        self._folder = root / CHECKPOINTS
        self._held = held

    def save(self, fill: FillFolder) -> None:
        """Replace the checkpoint by a folder that ``fill`` writes; an error of ``fill`` leaves the old one."""
        with writing(self._folder):
            self._held.check()
            staging = new_staging_folder(self._folder)
            try:
                fill(staging)
                self.adopt(staging)
            finally:
                if staging.exists():
                    shutil.rmtree(staging, ignore_errors=True)  # what stays, the next writer sweeps

    def adopt(self, folder: Path) -> None:
        """Replace the checkpoint by ``folder``, which is moved."""
        with writing(self._folder):
            self._held.check()
            make_folders(self._folder)
            sync_tree(folder)
            older = _numbered(self._folder)
            number = older[-1][0] + 1 if older else 1
            folder.rename(self._folder / f"c{number:06d}")
            sync_folder(self._folder)
            self._clear(older)

    def drop(self) -> None:
        """Remove the checkpoint, if there is one."""
        with writing(self._folder):
            self._held.check()
            self._clear(_numbered(self._folder))

    def _clear(self, folders: list[tuple[int, Path]]) -> None:
        # Oldest first: a crash in between must not bring an older one back.
        for _, folder in folders:
            retire(folder)


def _numbered(folder: Path) -> list[tuple[int, Path]]:
    if not folder.is_dir():
        return []
    matches = ((_NAME.fullmatch(entry.name), entry) for entry in folder.iterdir() if entry.is_dir())
    return sorted((int(match[1]), entry) for match, entry in matches if match)
