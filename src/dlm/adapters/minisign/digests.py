"""What minisign signs of a file: its BLAKE2b-512."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dlm.adapters.minisign.files import unreadable

_PIECE_BYTES = 1 << 20


@contextmanager
def opened(path: Path, *, subject: str) -> Iterator[BinaryIO]:
    """Open a regular file for reading. Raises ``SignatureError`` (``sign.unreadable``), also for what reading meets."""
    try:
        # Opening a pipe would wait for its other end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise OSError("it is not a regular file")
        with path.open("rb") as file:
            yield file
    except OSError as exc:
        raise unreadable(path, exc, subject=subject) from exc


def file_digest(file: BinaryIO) -> bytes:
    """Give BLAKE2b-512 of a file, read in pieces."""
    digest = hashlib.blake2b()
    piece = bytearray(_PIECE_BYTES)
    view = memoryview(piece)
    while count := file.readinto(piece):  # type: ignore[attr-defined]  # a raw or buffered binary file has it
        digest.update(view[:count])
    return digest.digest()


def bytes_digest(data: bytes) -> bytes:
    """Give BLAKE2b-512 of ``data``."""
    return hashlib.blake2b(data).digest()
