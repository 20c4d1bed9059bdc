"""The folder a package is unpacked into: made whole or not at all, and recognised when it was damaged later."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from dlm.domain.text_files import disk_error, sync_folder

_ABANDONED_S = 3600.0
"""Seconds without a change after which nobody is unpacking there any more; unpacking takes seconds."""

MARKER = ".dlm-unpacked"
"""Lists each file with size, time and sha256. Written last, so a folder without it is not whole."""


def is_whole(folder: Path) -> bool:
    """Whether the folder holds every file as it was unpacked.

    A file whose size and time are as noted is taken as good; one whose time differs is read and compared.
    """
    try:
        files = json.loads((folder / MARKER).read_bytes())["files"]
        return bool(files) and all(_is_same(folder / name, *noted) for name, noted in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False  # no marker or a damaged one: the folder is made again, which is always right


def make_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder beside ``folder`` and put it in place in one step.

    Two processes may do this at once: the first to finish wins, the other discards its copy.

    Raises:
        StoreError: the disk failed; ``DiskError`` when it is full or may not be written.
    """
    _sweep(folder)
    staging = folder.with_name(f".{folder.name}.tmp.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        # ``<home>/bases/<key>``: the home is private, whoever makes it first.
        folder.parents[1].mkdir(mode=0o700, parents=True, exist_ok=True)
        staging.mkdir(parents=True)
        fill(staging)
        _seal(staging)
        _put_in_place(staging, folder)
    except OSError as exc:
        raise disk_error(exc, folder) from exc
    finally:
        shutil.rmtree(staging, ignore_errors=True)  # gone already when it was put in place


def _sweep(folder: Path) -> None:
    """Remove what a killed process left half unpacked."""
    for leftover in folder.parent.glob(f".{folder.name}.tmp.*"):
        if time.time() - leftover.stat().st_mtime > _ABANDONED_S:
            shutil.rmtree(leftover, ignore_errors=True)  # only costs room; another process may be sweeping too


def _put_in_place(staging: Path, folder: Path) -> None:
    try:
        staging.rename(folder)
    except OSError:
        if is_whole(folder):
            return  # another process was faster
        broken = staging.with_name(f"{staging.name}.broken")
        folder.rename(broken)
        staging.rename(folder)
        shutil.rmtree(broken, ignore_errors=True)  # a leftover only costs room
    sync_folder(folder.parent)


def _seal(folder: Path) -> None:
    """Flush every file to disk, then write the marker."""
    files = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        status = path.stat()
        files[path.name] = (status.st_size, status.st_mtime_ns, _sha256(path))
    with (folder / MARKER).open("w", encoding="utf-8") as file:
        json.dump({"format": 1, "files": files}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(folder)


def _is_same(path: Path, size: int, mtime_ns: int, sha256: str) -> bool:
    status = path.stat()
    return status.st_size == size and (status.st_mtime_ns == mtime_ns or _sha256(path) == sha256)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
