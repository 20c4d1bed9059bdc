"""The kernel's lock on an open file: it ends with the file or the process, whatever happens to either.

Here, beside :mod:`dlm.domain.text_files`, because several adapters keep their files apart with it.
"""

from __future__ import annotations

import sys


def try_lock(descriptor: int) -> bool:
    """Take the exclusive lock, unless somebody else has it.

    Raises:
        OSError: the file system knows no locks.
    """
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
