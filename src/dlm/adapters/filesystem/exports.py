"""Exports: staged aside, flushed, and put in place as a whole.

Beside the folder of an export ``Q8_0`` there may be ``.staging-Q8_0``, an export on its way; ``.replaced-Q8_0``, an
older one on its way out; and ``.lock-Q8_0``, whose kernel lock ends with the process that holds it. A process that is
killed between the two renames of an exchange leaves only ``.replaced-Q8_0``: the next one puts it back.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from dlm.adapters.filesystem.faults import writing
from dlm.adapters.filesystem.folders import make_folders, sync_tree
from dlm.domain.errors import ExportError
from dlm.domain.kernel_lock import try_lock
from dlm.domain.store_layout import EXPORTS, checked_export_name
from dlm.domain.text_files import sync_folder

_POLL_S = 0.1


class FileExports:
    """Keeps exports in ``<store>/exports``.

    Args:
        location: gives the store's folder of a document id.
    """

    def __init__(self, location: Callable[[str], Path]) -> None:
        self._location = location

    def location(self, dlm_id: str, name: str) -> Path:
        """Give the folder of an export, whether or not it is there."""
        return self._location(dlm_id) / EXPORTS / checked_export_name(name)

    @contextmanager
    def stage(self, dlm_id: str, name: str, *, wait_s: float = 60.0) -> Iterator[FileStagedExport]:
        """Give an empty folder that becomes the export, or nothing."""
        place = self.location(dlm_id, name)
        with writing(place):
            make_folders(place.parent)
            lock = (place.parent / f".lock-{name}").open("ab")
        with lock:
            _wait(lock, place, wait_s)
            staged = FileStagedExport(place)
            try:
                yield staged
            finally:
                staged.close()


class FileStagedExport:
    """An export on its way. Its lock is held."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._replaced = place.with_name(f".replaced-{place.name}")
        self.folder = place.with_name(f".staging-{place.name}")
        with writing(place):
            self._recover()
            self.folder.mkdir()

    def commit(self) -> Path:
        """Flush the folder and put it in place as a whole."""
        with writing(self._place):
            sync_tree(self.folder)
            if self._place.exists():
                self._place.rename(self._replaced)
            self.folder.rename(self._place)
            sync_folder(self._place.parent)
            _remove(self._replaced)
        return self._place

    def close(self) -> None:
        """Discard what was not committed."""
        with writing(self._place):
            _remove(self.folder)

    def _recover(self) -> None:
        if self._replaced.exists() and not self._place.exists():
            self._replaced.rename(self._place)
        _remove(self._replaced)
        _remove(self.folder)


def _wait(lock: IO[bytes], place: Path, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while not try_lock(lock.fileno()):
        if time.monotonic() >= deadline:
            raise ExportError(
                "export.busy",
                f"another process is writing {place}",
                hint="Wait for it to finish, then export again.",
            )
        time.sleep(_POLL_S)


def _remove(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)
