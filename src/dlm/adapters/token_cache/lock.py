"""One writer to a cache: the kernel's lock on a file, which ends with the process whatever happens to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dlm.domain.kernel_lock import try_lock

NAME = ".lock"


@contextmanager
def only_writer(folder: Path) -> Iterator[bool]:
    """Take the lock of a cache folder for the length of a ``with`` block; gives False when somebody else has it.

    Raises:
        OSError: the folder cannot be written, or its file system knows no locks.
    """
    with (folder / NAME).open("ab") as file:
        yield try_lock(file.fileno())
