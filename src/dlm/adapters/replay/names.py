"""The files of a replay folder, and errors about them.

corpus.zst           one compressed frame after another, the newest last
index.json           which frames count; one not named in it is dead
index.bin            the same as fixed-width records, for speed; made anew whenever it does not fit
corpus.zst.new       a tidied corpus being written; counts once index.json.new is there
index.json.new       the index of the tidied corpus: from now on the new pair counts
index.json.damaged   an index that could not be read, kept aside
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dlm.domain.errors import ReplayError, StoreError
from dlm.domain.text_files import disk_error, sync_folder

FOLDER = "replay"
CORPUS = "corpus.zst"
INDEX = "index.json"
TABLE = "index.bin"
NEW_CORPUS = "corpus.zst.new"
NEW_INDEX = "index.json.new"
DAMAGED_INDEX = "index.json.damaged"

_TEMPORARY = re.compile(r"index\.(json|bin)\.tmp\.\d{1,10}\.[0-9a-f]{8}")


def temporary(folder: Path, name: str) -> Path:
    """Give a name that readers ignore and the next writer sweeps."""
    return folder / f"{name}.tmp.{os.getpid()}.{secrets.token_hex(4)}"


def sweep(folder: Path) -> None:
    """Clear away what dead writers left. Whoever holds the store's writer lock is the only one who writes here."""
    for entry in list(folder.iterdir()):
        if _TEMPORARY.fullmatch(entry.name):
            entry.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Create ``folder`` and its missing parents, flushed."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def check_folder(folder: Path) -> bool:
    """Tell whether the replay folder is there.

    Raises:
        ReplayError: something else is, such as a link that leads elsewhere.
    """
    try:
        mode = folder.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(mode):
        raise _not_a_file(folder, "a folder")
    return True


def open_regular(path: Path) -> BinaryIO | None:
    """Open a file for reading, links not followed; None when it is not there.

    Raises:
        ReplayError: it is a link, a folder or a device.
    """
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise _not_a_file(path, "an ordinary file")
        return path.open("rb")
    except FileNotFoundError:
        return None


def corrupt(path: Path, reason: str, hint: str) -> ReplayError:
    """Make the error of a damaged file."""
    return ReplayError("replay.corrupt", f"{path}: {reason}", hint=hint, details={"path": str(path)})


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Translate the system's errors of an operation that changes something in ``folder``."""
    try:
        yield
    except OSError as exc:
        raise disk_error(exc, folder) from exc


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Translate the system's errors of an operation that only looks at ``folder``."""
    try:
        yield
    except OSError as exc:
        raise StoreError(
            "store.unreadable",
            f"{folder} cannot be read: {exc.strerror or exc}",
            hint="Check the permissions of the folder and that its disk is present.",
        ) from exc


def _not_a_file(path: Path, wanted: str) -> ReplayError:
    return ReplayError(
        "replay.not-a-file",
        f"{path} is not {wanted}; removed sections are kept in ordinary files only",
        hint="Put the folder itself there instead of a link, or move it aside to start remembering anew.",
    )
