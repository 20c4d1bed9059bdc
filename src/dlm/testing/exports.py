"""Exports in a temporary folder that goes with the object."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dlm.domain.errors import ExportError
from dlm.domain.store_layout import checked_dlm_id, checked_export_name


class MemoryExports:
    """Keeps the promises of :class:`dlm.ports.exports.ExportsPort` within one process; nobody waits for anybody."""

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="dlm-memory-exports-"))
        self._busy: set[Path] = set()
        weakref.finalize(self, shutil.rmtree, self._root, ignore_errors=True)

    def location(self, dlm_id: str, name: str) -> Path:
        return self._root / checked_dlm_id(dlm_id) / checked_export_name(name)

    @contextmanager
    def stage(self, dlm_id: str, name: str, *, wait_s: float = 60.0) -> Iterator[_MemoryStaged]:
        place = self.location(dlm_id, name)
        if place in self._busy:
            raise ExportError("export.busy", f"another export is writing {place}", hint="Wait for it to finish.")
        self._busy.add(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        staged = _MemoryStaged(place)
        try:
            yield staged
        finally:
            self._busy.remove(place)
            shutil.rmtree(staged.folder, ignore_errors=True)  # gone already when it was committed


class _MemoryStaged:
    def __init__(self, place: Path) -> None:
        self._place = place
        self.folder = Path(tempfile.mkdtemp(dir=place.parent))

    def commit(self) -> Path:
        if self._place.exists():
            shutil.rmtree(self._place)
        return self.folder.rename(self._place)
