"""Importance matrices in the home: ``cache/imatrix/<digest>.gguf``, and beside each a ``.json`` that makes it count.

The matrix is written first and its record last, each in one step. A matrix counts when the record names its digest, so
whatever a crash leaves is either whole or made again. The kernel's lock on ``.lock`` has one export build while others
wait, for this matrix or another: a machine has memory for one. It ends with its process.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs

from dlm.adapters.filesystem.faults import writing
from dlm.adapters.filesystem.folders import make_folders, sweep_temporary
from dlm.domain.importance import MIN_CHUNKS, ImportanceKey
from dlm.domain.json_record import RecordError, parse_object
from dlm.domain.kernel_lock import try_lock
from dlm.domain.text_files import sync_folder, write_atomic
from dlm.ports.clock import Clock
from dlm.ports.importance_cache import KeptImportance

KEPT_FOR = timedelta(days=30)
"""A matrix that no export used for so long goes when another one is made: every edit of a document wants a new one."""

_POLL_S = 0.1
_MOST_RECORD_BYTES = 1 << 16
_MATRIX = re.compile(r"[0-9a-f]{64}\.gguf")
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
"""Of some network disks. There two exports may do the same work; what they keep is whole all the same."""


class FileImportanceCache:
    """Implements ``ImportanceCachePort``.

    Args:
        folder: where matrices are kept, made when there is one to keep: ``<home>/cache/imatrix``.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock

    def get(self, key: ImportanceKey, build: Callable[[Path], int]) -> KeptImportance | None:
        """Give the matrix of a key; made by ``build`` when there is none that is whole."""
        kept = self._kept(key)
        if kept is not None:
            return kept
        with writing(self._folder):
            make_folders(self._folder)
        with self._only_builder():
            return self._kept(key) or self._built(key, build)

    def _kept(self, key: ImportanceKey) -> KeptImportance | None:
        """Give what is kept under a key; None when there is nothing, or it is damaged."""
        matrix, record = self._paths(key)
        facts = _facts(record)
        if facts is None or facts.chunks < MIN_CHUNKS or _sha256(matrix) != facts.sha256:
            return None
        now = self._clock.now().timestamp()
        with suppress(OSError):  # a home that cannot be written to still serves what it has
            os.utime(record, (now, now))
        return KeptImportance(path=matrix, sha256=facts.sha256, chunks=facts.chunks)

    def _built(self, key: ImportanceKey, build: Callable[[Path], int]) -> KeptImportance | None:
        matrix, record = self._paths(key)
        with writing(self._folder):
            sweep_temporary(self._folder)
        temporary = matrix.with_name(f"{matrix.name}.tmp.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            chunks = build(temporary)
            if chunks < MIN_CHUNKS:
                return None
            with writing(matrix):
                sha256 = _flushed_sha256(temporary)
                temporary.replace(matrix)
                sync_folder(self._folder)
        finally:
            with writing(matrix):
                temporary.unlink(missing_ok=True)
        with writing(self._folder):
            write_atomic(record, self._record(key, matrix, sha256, chunks))
            self._let_go(key)
        return KeptImportance(path=matrix, sha256=sha256, chunks=chunks)

    def _record(self, key: ImportanceKey, matrix: Path, sha256: str, chunks: int) -> bytes:
        facts = {
            "path": matrix.name,
            "sha256": sha256,
            "base_sha256": key.base_sha256,
            "corpus_sha256": key.corpus_sha256,
            "chunks": key.chunks,
            "chunk_size": key.chunk_size,
            "collector": key.collector,
            "chunks_read": chunks,
            "built_at": self._clock.now().isoformat(timespec="seconds"),
        }
        return (json.dumps(facts, indent=2, sort_keys=True) + "\n").encode()

    def _let_go(self, key: ImportanceKey) -> None:
        """Remove what no export used for long, and what a crash left without a record, once it is as old."""
        oldest = (self._clock.now() - KEPT_FOR).timestamp()
        for matrix in sorted(self._folder.glob("*.gguf")):
            record = matrix.with_suffix(".json")
            used_at = (record if record.exists() else matrix).stat().st_mtime
            if _MATRIX.fullmatch(matrix.name) and matrix.stem != key.digest and used_at < oldest:
                record.unlink(missing_ok=True)
                matrix.unlink()

    def _paths(self, key: ImportanceKey) -> tuple[Path, Path]:
        return self._folder / f"{key.digest}.gguf", self._folder / f"{key.digest}.json"

    @contextmanager
    def _only_builder(self) -> Iterator[None]:
        """Wait until nobody else builds."""
        path = self._folder / ".lock"
        with writing(path):
            file = path.open("ab")
        with file:
            with writing(path):
                while not _taken(file.fileno()):
                    time.sleep(_POLL_S)
            yield


@attrs.frozen
class _Facts:
    sha256: str
    chunks: int


def _facts(record: Path) -> _Facts | None:
    """Read what counts of a record; None when there is none that can be read."""
    try:
        with record.open("rb") as file:
            found: dict[str, Any] = parse_object(file.read(_MOST_RECORD_BYTES).decode())
    except (OSError, UnicodeDecodeError, RecordError):
        return None
    sha256, chunks = found.get("sha256"), found.get("chunks_read")
    return _Facts(sha256, chunks) if isinstance(sha256, str) and type(chunks) is int else None


def _sha256(path: Path) -> str | None:
    """Give the digest of a file's bytes; None when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _flushed_sha256(path: Path) -> str:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _taken(descriptor: int) -> bool:
    """Take the kernel's lock on an open file; False when somebody else has it."""
    try:
        return try_lock(descriptor)
    except OSError as exc:
        if exc.errno not in _NO_LOCKS:
            raise
        return True
