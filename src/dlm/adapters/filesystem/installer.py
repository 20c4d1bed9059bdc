"""Whole stores put in place, in one step that a kill cannot split.

Beside the stores there may be ``.incoming-<pid>-<hex>``, a store on its way in (or, once it changed places, the one it
replaced, on its way out), and ``.installing.lock``, whose kernel lock ends with the process that holds it. Where two
folders cannot change places in one step, the old store is ``.replaced-<id>`` for a moment; a process that is killed in
it leaves that folder only, and the next one puts it back.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from dlm.adapters.filesystem.exchanging import exchange
from dlm.adapters.filesystem.faults import writing
from dlm.adapters.filesystem.folders import discard_store, make_folders, sync_tree
from dlm.adapters.filesystem.processes import start_of
from dlm.adapters.filesystem.versions import has_versions
from dlm.adapters.filesystem.writer_lock import acquire
from dlm.domain.errors import StoreError
from dlm.domain.kernel_lock import try_lock
from dlm.domain.manifest import DLM_ID
from dlm.domain.store_layout import MANIFEST, WRITER_LOCK, checked_dlm_id
from dlm.domain.text_files import sync_folder
from dlm.ports.clock import Clock

_INCOMING = re.compile(r"\.incoming-(\d{1,10})-[0-9a-f]{8}")
_REPLACED = ".replaced-"
_POLL_S = 0.05


class FileInstaller:
    """Installs stores below ``<home>/store``.

    Args:
        wait_s: how long another installation may take before this one gives up.
    """

    def __init__(self, home: Path, clock: Clock, *, wait_s: float = 60.0) -> None:
        self._home = home
        self._stores = home / "store"
        self._clock = clock
        self._wait_s = wait_s

    def stage(self) -> Path:
        """Give an empty folder on the disk of the stores, and clear away what dead processes left there."""
        with writing(self._stores):
            make_folders(self._home, private=True)
            make_folders(self._stores)
            with self._alone():
                _tidy(self._stores)
            folder = self._stores / f".incoming-{os.getpid()}-{secrets.token_hex(4)}"
            folder.mkdir()
        return folder

    def install(self, dlm_id: str, staged: Path, *, replace: bool, break_stale: bool = False) -> Path:
        """Make ``staged`` the store of a document."""
        root = self._stores / checked_dlm_id(dlm_id)
        _check_staged(staged, root)
        with writing(root):
            sync_tree(staged)
            with self._alone():
                _tidy(self._stores)
                if not os.path.lexists(root):
                    staged.rename(root)
                elif replace or not _is_store(root):
                    self._replace(root, staged, break_stale=break_stale)
                else:
                    raise _exists(root)
                sync_folder(self._stores)
        return root

    def discard(self, staged: Path) -> None:
        """Remove a folder that ``stage`` gave; one that is gone already is fine."""
        _check_staged(staged, self._stores / "any")
        with writing(staged):
            if staged.exists():
                shutil.rmtree(staged)

    def _replace(self, root: Path, staged: Path, *, break_stale: bool) -> None:
        held = acquire(root, clock=self._clock, wait_s=0.0, break_stale=break_stale)
        try:
            old = staged if exchange(staged, root) else _exchange_in_two_steps(root, staged)
        except BaseException:
            with suppress(StoreError):  # the first error is the story
                held.release()
            raise
        # Its lock goes with the old store. What cannot be removed now, the next installation sweeps.
        shutil.rmtree(old, ignore_errors=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the only one who installs into this home."""
        deadline = time.monotonic() + self._wait_s
        with _lock_file(self._stores) as file:
            while not try_lock(file.fileno()):
                if time.monotonic() >= deadline:
                    raise StoreError(
                        "store.locked",
                        f"another process is installing a store in {self._stores}",
                        hint="Wait for it to finish, then run this again.",
                    )
                time.sleep(_POLL_S)
            yield


def put_back_replaced(stores: Path) -> None:
    """Put back the store that a process took away and was killed before it put another in the place.

    That happens only where folders cannot change places in one step; looking is cheap everywhere. Whoever is
    installing just now does it himself.
    """
    with writing(stores):
        if any(stores.glob(f"{_REPLACED}*")):
            with _lock_file(stores) as file:
                if try_lock(file.fileno()):
                    _tidy(stores)


def _lock_file(stores: Path) -> BinaryIO:
    return (stores / ".installing.lock").open("ab")


def _tidy(stores: Path) -> None:
    """Put back or clear away what dead processes left; for whoever is alone."""
    for entry in list(stores.iterdir()):
        match = _INCOMING.fullmatch(entry.name)
        if match and start_of(int(match[1])) is None:
            shutil.rmtree(entry)
        elif entry.name.startswith(_REPLACED) and DLM_ID.fullmatch(entry.name.removeprefix(_REPLACED)):
            _put_back(entry, stores / entry.name.removeprefix(_REPLACED))


def _exchange_in_two_steps(root: Path, staged: Path) -> Path:
    """Give the folder that the old store has now."""
    replaced = root.with_name(f"{_REPLACED}{root.name}")
    root.rename(replaced)
    try:
        _take_place(staged, root)
    except OSError:
        _take_place(replaced, root)
        raise
    return replaced


def _put_back(replaced: Path, root: Path) -> None:
    if _is_store(root):
        shutil.rmtree(replaced)
        return
    # The lock in it is that of the process which was killed: nobody else moves a store there.
    (replaced / WRITER_LOCK).unlink(missing_ok=True)
    _take_place(replaced, root)
    sync_folder(root.parent)


def _take_place(folder: Path, root: Path) -> None:
    try:
        folder.rename(root)
    except OSError:
        # Somebody who came for the store in the moment without one has begun an empty one; their lock goes with it,
        # which stops them before they write.
        if not root.is_dir() or _is_store(root):
            raise
        discard_store(root)
        folder.rename(root)


def _is_store(root: Path) -> bool:
    return os.path.lexists(root / MANIFEST) or has_versions(root)


def _check_staged(staged: Path, root: Path) -> None:
    if staged.parent != root.parent or not _INCOMING.fullmatch(staged.name):
        raise StoreError(
            "store.wrong-document",
            f"{staged} was not staged here",
            hint="This is a fault of the caller: install the folder that stage gave.",
        )


def _exists(root: Path) -> StoreError:
    return StoreError(
        "store.exists",
        f"this document has a store already: {root}",
        hint="Add --force to replace it; what was trained here is lost then.",
    )
