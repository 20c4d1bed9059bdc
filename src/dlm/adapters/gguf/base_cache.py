"""Converted bases, kept once per home for all documents: ``<key>.gguf`` with ``<key>.json`` beside it.

The key is a digest of everything the file is made from, so that a file made from something else is never taken. The
JSON file holds what went into the key, and the size, time and digest of the GGUF file. It is written last: a GGUF file
without it, or unlike what it says, counts as not there.

Reading many gigabytes again for each export would take longer than the rest of it. So a file is taken as it is while
its size and time of change are those noted; whoever changes its content, also through the link in an export's folder,
changes the time. With another time, as after a restored backup, the digest decides.

Files in the making carry ``.tmp.`` in their names. Their maker holds the kernel's lock of the key, which ends with the
process; what lies there while nobody holds the lock is left over from one that was killed, and is removed. Lock files
stay: to remove one would let two processes hold two locks of the same name.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import attrs

from dlm.adapters.gguf.container import Written
from dlm.domain.events import Emit, Note, ignore
from dlm.domain.json_record import RecordError, parse_object
from dlm.domain.kernel_lock import try_lock
from dlm.domain.quantization import QuantName
from dlm.domain.text_files import disk_error, sync_folder, write_atomic

CONVERTER = "dlm-gguf-1"
"""Goes up whenever the converter writes other files from the same input."""

_SIGN = ".tmp."
_POLL_S = 0.05
_LARGEST_RECORD = 100_000


@attrs.frozen(kw_only=True)
class BaseKey:
    """Everything a converted base is made from.

    Args:
        base_sha256: digest of the base's folder.
        tokenizer_sha256: digest of the vocabulary as it is written, which comes from the adapter's folder.
        importance_sha256: of the importance matrix; None without.
        quantizer: name of what writes the blocks of the level; empty when no native code is needed.
    """

    base_sha256: str
    hf_id: str
    revision: str | None
    tokenizer_sha256: str
    quant: QuantName
    importance_sha256: str | None
    quantizer: str
    license: str
    converter: str = CONVERTER
    merged: bool = False

    def record(self) -> dict[str, Any]:
        """Give the fields as they are stored."""
        return attrs.asdict(self)

    @property
    def digest(self) -> str:
        """Give the name under which the file is kept, 64 hex digits."""
        return hashlib.sha256(json.dumps(self.record(), sort_keys=True).encode()).hexdigest()


class BaseCache:
    """The folder ``<home>/cache/gguf``. Processes and threads may share it.

    All raise ``StoreError``: a disk that fails, ``DiskError`` when it is full. What ``make`` raises passes.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "cache" / "gguf"

    def place(self, key: BaseKey, into: Path, make: Callable[[Path], Written], *, emit: Emit = ignore) -> Written:
        """Put the file of ``key`` at ``into``: a hard link, or a copy where there are none.

        Args:
            make: writes the file, whole or not at all, when it is not there yet. Called by one process at a time.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._locked(key.digest, emit):
                self._sweep(key.digest)
                found = self._valid(key) or self._made(key, make)
                _link(self._path(key), into, emit)
                return found
        except OSError as exc:
            raise disk_error(exc, self._folder) from exc

    def holds(self, key: BaseKey) -> bool:
        """Whether there is a file for ``key``; whether it is whole, ``place`` finds out."""
        try:
            return self._path(key).exists() and self._noted(key) is not None
        except OSError as exc:
            raise disk_error(exc, self._folder) from exc

    def _path(self, key: BaseKey, ending: str = "gguf") -> Path:
        return self._folder / f"{key.digest}.{ending}"

    def _valid(self, key: BaseKey) -> Written | None:
        """Give what is known about a file that is there and whole; None when it has to be made."""
        path, noted = self._path(key), self._noted(key)
        try:
            facts = path.stat()
        except FileNotFoundError:
            return None
        if noted is None or facts.st_size != noted["size_bytes"]:
            return None
        written = Written(sha256=noted["sha256"], size_bytes=facts.st_size)
        if facts.st_mtime_ns != noted["mtime_ns"]:
            if file_sha256(path) != written.sha256:
                return None
            self._note(key, written)
        return written

    def _noted(self, key: BaseKey) -> dict[str, Any] | None:
        """Give the record beside the file; None when there is none for this key."""
        path = self._path(key, "json")
        try:
            if path.stat().st_size > _LARGEST_RECORD:
                return None
            record = parse_object(path.read_bytes().decode())
        except (FileNotFoundError, RecordError, UnicodeDecodeError):
            return None
        own = {name: record.pop(name, None) for name in ("sha256", "size_bytes", "mtime_ns")}
        is_sound = isinstance(own["sha256"], str) and type(own["size_bytes"]) is type(own["mtime_ns"]) is int
        return own if is_sound and record == key.record() else None

    def _made(self, key: BaseKey, make: Callable[[Path], Written]) -> Written:
        self._path(key, "json").unlink(missing_ok=True)
        written = make(self._path(key))
        self._note(key, written)
        return written

    def _note(self, key: BaseKey, written: Written) -> None:
        time_ns = self._path(key).stat().st_mtime_ns
        record = {**key.record(), **attrs.asdict(written), "mtime_ns": time_ns}
        write_atomic(self._path(key, "json"), json.dumps(record, indent=2, sort_keys=True).encode() + b"\n")

    def _sweep(self, held: str) -> None:
        """Remove what killed processes left behind: of the key whose lock is held, and of those whose lock is free."""
        left = [path for path in self._folder.iterdir() if _SIGN in path.name]
        with ExitStack() as stack:
            free = {held}
            for digest in {path.name.partition(".")[0] for path in left} - free:
                if try_lock(stack.enter_context(self._lock_file(digest)).fileno()):
                    free.add(digest)
            for path in left:
                if path.name.partition(".")[0] in free:
                    path.unlink(missing_ok=True)

    @contextmanager
    def _locked(self, digest: str, emit: Emit) -> Iterator[None]:
        """Hold the lock of a key, waiting for whoever has it."""
        is_said = False
        with self._lock_file(digest) as file:
            while not try_lock(file.fileno()):
                if not is_said:
                    emit(Note(subject="export", message="waiting for another export that converts the same base"))
                    is_said = True
                time.sleep(_POLL_S)
            yield

    def _lock_file(self, digest: str) -> IO[bytes]:
        return (self._folder / f"{digest}.lock").open("ab")


def file_sha256(path: Path) -> str:
    """Give the digest of a file, lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def temporary_beside(path: Path, what: str) -> Path:
    """Give a name for a file that is needed while ``path`` is made, which is swept up if its maker is killed."""
    return path.with_name(f"{path.name}{_SIGN}{os.getpid()}.{what}")


def _link(source: Path, into: Path, emit: Emit) -> None:
    into.unlink(missing_ok=True)
    try:
        into.hardlink_to(source)
    except OSError as exc:  # another file system, or one without links
        emit(Note(subject="export", message=f"{into.name} is a copy of {source}: {exc.strerror or exc}"))
        shutil.copyfile(source, into)
        with into.open("rb+") as file:
            os.fsync(file.fileno())
    sync_folder(into.parent)
