"""Whole folders, safely: staged aside, flushed, renamed into place, and cleared away."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from dlm.adapters.filesystem.processes import start_of
from dlm.domain.errors import StoreError
from dlm.domain.text_files import sync_folder

_STAGING = ".staging-"
_DISCARDED = re.compile(r"\.discarded-(\d{1,10})-[0-9a-f]{8}")
_TEMPORARY = re.compile(r".+\.tmp\.(\d{1,10})(\.[0-9a-f]{8})?")
_SWEPT = (".", "adapter", "adapter/*", "adapter/*/versions", "logs")
"""Where the store's own writes put temporary files and staging folders."""


def make_folders(folder: Path, *, private: bool = False) -> None:
    """Create ``folder`` and its missing parents, flushed. ``private``: readable by the owner alone (0700)."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folders(folder.parent)
    folder.mkdir(mode=0o700 if private else 0o777, exist_ok=True)
    sync_folder(folder.parent)


def new_staging_folder(parent: Path) -> Path:
    """Create an empty folder inside ``parent`` that readers ignore and the next writer sweeps."""
    make_folders(parent)
    folder = _staging_name(parent)
    folder.mkdir()
    return folder


def sync_tree(folder: Path) -> None:
    """Flush every file and folder below ``folder``, then itself.

    Raises:
        StoreError: something is neither a file nor a folder. A link would carry its target's fate into the store.
    """
    for entry in sorted(folder.iterdir()):
        if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
            raise StoreError(
                "store.not-a-file",
                f"{entry} is neither a file nor a folder; a store holds nothing else",
                hint="Write the file itself instead of a link to it.",
            )
        if entry.is_dir():
            sync_tree(entry)
        else:
            _sync_file(entry)
    sync_folder(folder)


def retire(folder: Path) -> None:
    """Remove a folder so that no reader ever sees half of it: rename it out of sight, then delete."""
    hidden = _staging_name(folder.parent)
    folder.rename(hidden)
    sync_folder(folder.parent)
    shutil.rmtree(hidden)


def discard_store(root: Path) -> None:
    """Remove a whole store: rename it out of sight, then delete."""
    hidden = root.with_name(f".discarded-{os.getpid()}-{secrets.token_hex(4)}")
    root.rename(hidden)
    sync_folder(root.parent)
    shutil.rmtree(hidden)


def sweep(root: Path) -> None:
    """Clear away what dead writers left; for the holder of the store's writer lock.

    Staging folders belong to whoever holds the lock, so any that is here is left over. Temporary files are also made by
    processes that need no lock: theirs go only when the process in their name is gone.
    """
    for entry in _entries(root):
        if entry.name.startswith(_STAGING) and entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            _remove_if_left(entry)
    for entry in root.parent.iterdir():
        if (match := _DISCARDED.fullmatch(entry.name)) and start_of(int(match[1])) is None:
            shutil.rmtree(entry)


def sweep_temporary(folder: Path) -> None:
    """Remove the temporary files in ``folder`` whose processes are gone."""
    for entry in list(folder.iterdir()):
        _remove_if_left(entry)


def size_bytes(folder: Path) -> int:
    """Give the bytes of all files below ``folder``, links not followed; 0 when it is not there.

    Files that vanish while counting, as a running writer's do, count as 0.
    """
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_size  # noqa: PTH118 - caches hold many files
            except FileNotFoundError:
                continue
    return total


def _remove_if_left(entry: Path) -> None:
    """Remove a temporary file unless the process in its name is still there."""
    match = _TEMPORARY.fullmatch(entry.name)
    if match and entry.is_file() and start_of(int(match[1])) is None:
        entry.unlink(missing_ok=True)


def _staging_name(parent: Path) -> Path:
    return parent / f"{_STAGING}{os.getpid()}-{secrets.token_hex(4)}"


def _entries(root: Path) -> Iterator[Path]:
    for pattern in _SWEPT:
        folders = [root] if pattern == "." else list(root.glob(pattern))
        for folder in folders:
            if folder.is_dir() and not folder.is_symlink():
                yield from list(folder.iterdir())


def _sync_file(path: Path) -> None:
    # Windows flushes only what is open for writing.
    with path.open("r+b" if os.name == "nt" else "rb") as file:
        os.fsync(file.fileno())
