"""Key files: small, private, never overwritten by accident."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from pathlib import Path

from dlm.domain.errors import SignatureError
from dlm.domain.text_files import disk_error, sync_folder, write_atomic

# A public key with the longest comment, and a secret key, are far smaller.
MAX_KEY_BYTES = 4096
PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def read_key_file(path: Path) -> bytes | None:
    """Give the bytes of a key file; None when there is none. Raises ``ValueError`` for what cannot be one, and
    ``OSError``."""
    try:
        # A pipe in the place of a key must not make us wait for its other end.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is not a regular file")
        data = file.read(MAX_KEY_BYTES + 1)
    if len(data) > MAX_KEY_BYTES:
        raise ValueError(f"it is larger than {MAX_KEY_BYTES} bytes")
    return data


def make_private_folder(folder: Path) -> None:
    """Create a folder that only its owner may enter. Raises ``DiskError`` or ``StoreError``."""
    try:
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
            sync_folder(folder.parent)
    except OSError as exc:
        raise disk_error(exc, folder) from exc


def write_new(path: Path, data: bytes) -> bool:
    """Write a private file, atomically, unless there is something at ``path``: then nothing happens and it gives False.

    Raises ``DiskError`` or ``StoreError``.
    """
    temporary = path.with_name(f"{path.name}.tmp.{os.getpid()}.{secrets.token_hex(4)}")
    write_atomic(temporary, data, mode=PRIVATE_FILE)
    try:
        _name(temporary, path)
        sync_folder(path.parent)
    except FileExistsError:
        return False
    except OSError as exc:
        raise disk_error(exc, path) from exc
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _name(temporary: Path, path: Path) -> None:
    """Give the file its final name. Raises ``FileExistsError``."""
    if os.name == "nt":
        temporary.rename(path)
        return
    try:
        path.hardlink_to(temporary)
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        # Sticks and some network disks know no hard links. There two processes at the same moment could collide.
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from exc
        temporary.rename(path)


def unreadable(path: Path, why: Exception, *, subject: str) -> SignatureError:
    """Give the error for a file that cannot be read."""
    reason = why.strerror if isinstance(why, OSError) and why.strerror else str(why)
    return SignatureError(
        "sign.unreadable",
        f"{path} cannot be read: {reason}",
        subject=subject,
        hint="Check that it is there and that you may read it.",
    )


def loose_mode(path: Path, forbidden: int) -> int | None:
    """Give the permission bits of ``path`` if they hold any of ``forbidden``; None if not, or if they say nothing."""
    if os.name == "nt":
        return None
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None  # what cannot be looked at is told by whoever reads it
    return mode if mode & forbidden else None
