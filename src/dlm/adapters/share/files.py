"""Files on their way: read for sending, written while they arrive, with every byte told."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from dlm.domain.errors import ShareError
from dlm.domain.events import Emit, Note, Progress
from dlm.domain.share import Address
from dlm.domain.text_files import disk_error, sync_folder
from dlm.domain.transfer import CHUNK_BYTES

_TOLD_EVERY_S = 0.1
"""Seconds between two events: a bar that moves, without flooding logs."""


def tell_warning(address: Address, emit: Emit) -> None:
    """Pass an address's warning on."""
    if address.warning is not None:
        emit(Note(subject="share", message=address.warning, severity="warning"))


class Meter:
    """Tells how far a transfer is, now and then, and always that it is done."""

    def __init__(self, stage: str, emit: Emit) -> None:
        self._stage = stage
        self._emit = emit
        self._told_at = float("-inf")

    def tell(self, done: int, total: int | None) -> None:
        """Note how many bytes are through."""
        now = time.monotonic()
        if now - self._told_at >= _TOLD_EVERY_S:
            self._told_at = now
            self._emit(Progress(stage=self._stage, done=done, total=total, unit="B"))

    def finish(self, total: int) -> None:
        """Tell that all ``total`` bytes are through."""
        self._emit(Progress(stage=self._stage, done=total, total=total, unit="B"))


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn errors of the system about ``path`` into ours. Only around calls that touch the disk: a network error is
    one of the system as well."""
    try:
        yield
    except OSError as exc:
        raise disk_error(exc, path) from exc


def size_of(path: Path) -> int:
    """Give a file's size in bytes."""
    with disk_errors(path):
        return path.stat().st_size


def pieces(path: Path, size: int, meter: Meter) -> Iterator[bytes]:
    """Read ``size`` bytes of a file, which was as large a moment ago.

    Raises:
        ShareError: ``share.changed``, when it has become shorter.
    """
    with disk_errors(path):
        file = path.open("rb")
    done = 0
    with file:
        while done < size:
            with disk_errors(path):
                piece = file.read(min(CHUNK_BYTES, size - done))
            if not piece:
                raise ShareError(
                    "share.changed", f"{path} became shorter while it was being sent", hint="Send it again."
                )
            done += len(piece)
            yield piece
            meter.tell(done, size)


class Partial:
    """A file while it arrives.

    Attributes:
        size: bytes written.
        etag: strong tag of what they are the beginning of; None when it has none, and they cannot be continued.
    """

    def __init__(self, path: Path, file: FileIO) -> None:
        self._path = path
        self._file = file
        self.size = 0
        self.etag: str | None = None

    def restart(self, etag: str | None) -> None:
        """Forget what was written; what comes now has this tag."""
        with disk_errors(self._path):
            self._file.seek(0)
            self._file.truncate()
        self.size, self.etag = 0, etag

    def write(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        with disk_errors(self._path):
            while rest:
                rest = rest[self._file.write(rest) :]
        self.size += len(chunk)


@contextmanager
def arriving(target: Path) -> Iterator[Partial]:
    """Give a partial file beside ``target`` that becomes it when the block ends well, and is removed when not."""
    part = target.with_name(f"{target.name}.part")
    with disk_errors(part):
        # Unbuffered: on a full disk, closing would try to write what is left, and fail once more in its own words.
        file = part.open("wb", buffering=0)
    try:
        with file:
            yield Partial(part, file)
            with disk_errors(part):
                os.fsync(file.fileno())
        with disk_errors(target):
            part.replace(target)
            sync_folder(target.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def require_digest(pack: Path, address: Address) -> None:
    """Remove a pack and raise when it is not the one whose digest the address names.

    Raises:
        ShareError: ``share.digest``.
    """
    if address.sha256 is None:
        return
    with disk_errors(pack), pack.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != address.sha256:
        pack.unlink(missing_ok=True)
        raise ShareError(
            "share.digest",
            f"what came from {address.shown} is not the pack that the address promises: its SHA-256 is {found}, "
            f"not {address.sha256}",
            hint="Do not trust this place. Ask the sender for the address again.",
        )
