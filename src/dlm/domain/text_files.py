"""Reading and replacing one file: the domain's single stated exception to "no I/O".

It exists so that ``Document.load`` / ``.save`` stay one line in a notebook, and so that every atomic write of the
project goes through the same code.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from io import BufferedWriter
from pathlib import Path

from dlm.domain.errors import DiskError, StoreError

_FLUSH_EVERY = 1 << 25
"""Bytes; a small part of what systems let wait in memory."""


def write_atomic(path: Path, data: bytes, *, mode: int | None = None) -> None:
    """Replace ``path`` with ``data``. See :func:`write_chunks_atomic`."""
    write_chunks_atomic(path, (data,), mode=mode)


def write_chunks_atomic(path: Path, chunks: Iterable[bytes | memoryview], *, mode: int | None = None) -> None:
    """Replace ``path`` with the chunks so that a crash at any point leaves the old file or the new one, whole.

    Writes the sibling ``<name>.tmp.<pid>.<8 hex>``, flushes it to disk, renames it over the target, flushes the folder.
    An error of the source of the chunks passes, and the old file stays.

    Args:
        mode: permission bits of the new file; an existing file's bits are kept when None.

    Raises:
        DiskError: no room, read-only, no permission.
    """
    temporary = path.with_name(f"{path.name}.tmp.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        if mode is None and path.exists():
            mode = path.stat().st_mode & 0o777
        with temporary.open("xb") as file:
            if mode is not None:
                temporary.chmod(mode)
            for chunk in _handing_over(file, chunks):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as exc:
        temporary.unlink(missing_ok=True)
        raise disk_error(exc, path) from exc
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_chunks_digested(path: Path, chunks: Iterable[bytes | memoryview]) -> tuple[str, int]:
    """Do what :func:`write_chunks_atomic` does, and give sha256 (hex) and size in bytes of what was written."""
    digest, size = hashlib.sha256(), 0

    def noted() -> Iterator[bytes | memoryview]:
        nonlocal size
        for chunk in chunks:
            digest.update(chunk)
            size += memoryview(chunk).nbytes
            yield chunk

    write_chunks_atomic(path, noted())
    return digest.hexdigest(), size


def _handing_over(file: BufferedWriter, chunks: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """Have the system write large files to the disk while the rest is still being made, instead of all at the end."""
    handed_over, end = 0, 0
    for chunk in chunks:
        yield chunk
        end += len(chunk)
        if end - handed_over > _FLUSH_EVERY and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), handed_over, end - handed_over, os.POSIX_FADV_DONTNEED)
            handed_over = end


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk. Windows cannot open folders; there the rename itself is durable enough."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def disk_error(exc: OSError, path: Path) -> StoreError:
    """Translate an operating-system error about ``path`` into ours."""
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskError("disk.full", f"no room left while writing {path}", hint="Free some space and run it again.")
    if exc.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return DiskError(
            "disk.read-only",
            f"{path} cannot be written: {exc.strerror}",
            hint="Choose a folder you may write to; --home moves the store.",
        )
    return StoreError("store.io", f"{path}: {exc.strerror or exc}", hint="Check that the disk is present and healthy.")
