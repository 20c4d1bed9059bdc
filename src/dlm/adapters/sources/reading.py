"""Reading one file once: its bytes, what they are, their digest.

Only ordinary files are read. Nothing here follows a link: the caller resolves links and decides about them, and a file
that is swapped for a link or a pipe in between is refused by the system instead of being followed or waited for.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Literal

import attrs

from dlm.domain.sources import BINARY_HEAD_BYTES, changed, source_section_id, source_text

Kind = Literal["text", "binary", "not-utf8", "image", "audio"]

_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"))
_CHUNK = 64 * 1024
_MEDIA_CHUNK = 2**20


class NotOrdinaryError(OSError):
    """A pipe, a socket, a device, or a folder where a file was."""


class TooLargeError(Exception):
    """A file that grew beyond its limit while it was read."""


@attrs.frozen
class Look:
    """What one file is. ``sha256`` and ``section_id`` are empty for what is not learned."""

    kind: Kind
    size: int
    sha256: str = ""
    section_id: str = ""


def look_at_text(location: str, path: str, limit: int) -> Look:
    """Read a file that may be text.

    Args:
        path: as the section names it.
        limit: bytes that are read at most.

    Raises:
        OSError: it cannot be read.
        TooLargeError: it has more than ``limit`` bytes.
    """
    data = read_bytes(location, limit, stop_at_binary=True)
    if data is None:
        return Look("binary", 0)
    try:
        text = source_text(data)
    except UnicodeDecodeError:
        return Look("not-utf8", len(data))
    return Look("text", len(data), hashlib.sha256(data).hexdigest(), source_section_id(path, text))


def read_bytes(location: str, limit: int, *, stop_at_binary: bool = False) -> bytes | None:
    """Give the bytes of an ordinary file; None at the first sign that it is binary, if asked to stop there."""
    descriptor = _opened(location)
    try:
        chunk = os.read(descriptor, _CHUNK)
        if stop_at_binary and b"\0" in chunk[:BINARY_HEAD_BYTES]:
            return None
        chunks, size = [chunk], len(chunk)
        while chunk:
            if size > limit:
                raise TooLargeError(location)
            chunk = os.read(descriptor, _MEDIA_CHUNK)
            chunks.append(chunk)
            size += len(chunk)
        return b"".join(chunks)
    finally:
        os.close(descriptor)


def digest_of(location: str) -> tuple[int, str]:
    """Give size and sha256 of an ordinary file without holding it in memory."""
    descriptor = _opened(location)
    try:
        digest, size = hashlib.sha256(), 0
        while chunk := os.read(descriptor, _MEDIA_CHUNK):
            digest.update(chunk)
            size += len(chunk)
        return size, digest.hexdigest()
    finally:
        os.close(descriptor)


def text_again(location: str, sha256: str, size: int, memory: Path | None) -> str:
    """Give the text of a file that was scanned before.

    Args:
        memory: removed when the file differs, in case it was the memory that was wrong.

    Raises:
        SourceError: the file is not what it was.
    """
    try:
        data = read_bytes(location, size)
    except (OSError, TooLargeError) as exc:
        raise changed(Path(location)) from exc
    if data is None or hashlib.sha256(data).hexdigest() != sha256:
        _forget(memory)
        raise changed(Path(location))
    return source_text(data)


def media_again(location: str, sha256: str, text: str, memory: Path | None) -> str:
    """Give ``text`` if an image or a sound is still what was scanned.

    Raises:
        SourceError: it is not.
    """
    try:
        found = digest_of(location)[1]
    except OSError as exc:
        raise changed(Path(location)) from exc
    if found != sha256:
        _forget(memory)
        raise changed(Path(location))
    return text


def _opened(location: str) -> int:
    # Opening a device can do something already, so the look comes first; the second one is for what changed in between.
    if stat.S_ISREG(os.lstat(location).st_mode):
        descriptor = os.open(location, _FLAGS)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
    raise NotOrdinaryError(f"{location} is not an ordinary file")


def _forget(memory: Path | None) -> None:
    if memory is not None:
        try:
            memory.unlink(missing_ok=True)
        except OSError:
            return  # a memory that cannot be removed cannot be helped here
