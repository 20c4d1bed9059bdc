"""What is served: the pack on disk, which may vanish, and its signature in memory."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncGenerator
from concurrent.futures import Executor
from pathlib import Path
from typing import BinaryIO

import attrs

from dlm.domain.errors import ShareError

CHUNK_BYTES = 1024 * 1024
_MAX_SIGNATURE_BYTES = 8 * 1024


@attrs.frozen
class ServedFile:
    """A file as it was when the server started.

    Args:
        etag: strong: the digest of the content in double quotes.
        content: of a small file; None for one that is read from the disk each time.
    """

    path: Path
    size: int
    etag: str
    identity: tuple[int, int, int] = (0, 0, 0)
    content: bytes | None = attrs.field(default=None, repr=False)

    def is_gone(self) -> bool:
        """Say whether the file was removed, replaced or changed."""
        if self.content is not None:
            return False
        try:
            return _identity(self.path) != self.identity
        except OSError:
            return True

    def open(self) -> BinaryIO:
        """Open the content."""
        return self.path.open("rb", buffering=0) if self.content is None else io.BytesIO(self.content)


def served_pack(path: Path, sha256: str) -> ServedFile:
    """Give the pack to serve. Raises ``ShareError`` ``serve.unreadable``."""
    try:
        with path.open("rb"):
            return ServedFile(path, path.stat().st_size, f'"{sha256}"', _identity(path))
    except OSError as exc:
        raise _unreadable(path, exc) from exc


def served_signature(path: Path) -> ServedFile:
    """Give the signature to serve. Raises ``ShareError`` ``serve.unreadable``."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_SIGNATURE_BYTES + 1)
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    if len(content) > _MAX_SIGNATURE_BYTES:
        raise ShareError("serve.unreadable", f"{path.name} is longer than any signature")
    return ServedFile(path, len(content), f'"{hashlib.sha256(content).hexdigest()}"', content=content)


async def chunks(file: BinaryIO, first: int, length: int, executor: Executor) -> AsyncGenerator[bytes, None]:
    """Give ``length`` bytes from ``first`` on, up to 1 MiB at a time, fewer when the file ends early.

    One chunk is read ahead, in another thread, while the last one is sent.
    """
    loop = asyncio.get_running_loop()

    def read(at: int) -> bytes:
        file.seek(at)
        return file.read(min(CHUNK_BYTES, first + length - at))

    at, end = first, first + length
    ahead = loop.run_in_executor(executor, read, at)
    try:
        while at < end:
            chunk = await ahead
            at += len(chunk)
            if not chunk:
                return
            if at < end:
                ahead = loop.run_in_executor(executor, read, at)
            yield chunk
    finally:
        await asyncio.wait([ahead])
        ahead.exception()  # of a chunk that nobody waits for any more


def _identity(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _unreadable(path: Path, exc: OSError) -> ShareError:
    return ShareError("serve.unreadable", f"{path.name} cannot be served: {exc.strerror or type(exc).__name__}")
