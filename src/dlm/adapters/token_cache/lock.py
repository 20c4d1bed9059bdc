"""One writer to a cache: the kernel's lock on a file, which ends with the process whatever happens to it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = ".lock"


@contextmanager
def only_writer(folder: Path) -> Iterator[bool]:
    """Take the lock of a cache folder for the length of a ``with`` block; gives False when somebody else has it.

    Raises:
        OSError: the folder cannot be written, or its file system knows no locks.
    """
    with (folder / NAME).open("ab") as file:
        yield _taken(file.fileno())


def _taken(descriptor: int) -> bool:
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
    else:
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
