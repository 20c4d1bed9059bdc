"""Keeping what was exported."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class StagedExport(Protocol):
    """A folder that becomes an export, or nothing: leaving the ``with`` block without ``commit`` discards it.

    It lies on the disk of the store, so that large files can be linked into it.
    """

    folder: Path

    def commit(self) -> Path:
        """Flush the folder and put it in the place of the export that was there, as a whole; gives its new path."""
        ...


class ExportsPort(Protocol):
    """The exports of each document's store: one folder each, named by what it is for.

    Raises ``StoreError`` and ``DiskError``, and ``ExportError`` (``export.busy``).
    """

    def location(self, dlm_id: str, name: str) -> Path:
        """Give the folder of an export, whether or not it is there."""
        ...

    def stage(self, dlm_id: str, name: str, *, wait_s: float = 60.0) -> AbstractContextManager[StagedExport]:
        """Give an empty folder for an export, for one process at a time; what dead ones left is cleared away.

        Raises ``ExportError``: another process still works on this export after ``wait_s`` seconds.
        """
        ...
