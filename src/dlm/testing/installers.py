"""Stores installed into a folder, by one process."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from dlm.domain.errors import StoreError
from dlm.domain.store_layout import checked_dlm_id


class PlainInstaller:
    """Keeps the promises of :class:`dlm.ports.packs.InstallPort` as long as nothing is killed and nobody else writes.

    ``busy`` holds the ids whose store is said to be in use.
    """

    def __init__(self, home: Path) -> None:
        self._stores = home / "store"
        self.busy: set[str] = set()

    def stage(self) -> Path:
        self._stores.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=".incoming-", dir=self._stores))

    def install(self, dlm_id: str, staged: Path, *, replace: bool, break_stale: bool = False) -> Path:
        root = self._stores / checked_dlm_id(dlm_id)
        if any(path.is_symlink() for path in staged.rglob("*")):
            raise StoreError("store.not-a-file", f"{staged} holds a link")
        if root.exists() and not replace:
            raise StoreError("store.exists", f"this document has a store already: {root}", hint="Add --force.")
        if dlm_id in self.busy:
            raise StoreError("store.locked", f"the store is in use: {root}")
        if root.exists():
            shutil.rmtree(root)
        return staged.rename(root)

    def discard(self, staged: Path) -> None:
        if staged.exists():
            shutil.rmtree(staged)
