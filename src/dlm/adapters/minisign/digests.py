"""What minisign signs of a file: its BLAKE2b-512."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from dlm.adapters.minisign.files import unreadable


@contextmanager
def opened(path: Path, *, subject: str) -> Iterator[BufferedReader]:
    """Open a regular file for reading. Raises ``SignatureError`` (``sign.unreadable``), also for what reading meets."""
    try:
        # Opening a pipe would wait for its other end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise OSError("it is not a regular file")
        with path.open("rb") as file:
            yield file
    except OSError as exc:
        raise unreadable(path, exc, subject=subject) from exc


def file_digest(file: BufferedReader) -> bytes:
    """Give BLAKE2b-512 of a file, read in pieces."""
    return hashlib.file_digest(file, "blake2b").digest()


def bytes_digest(data: bytes) -> bytes:
    """Give BLAKE2b-512 of ``data``."""
    return hashlib.blake2b(data).digest()
