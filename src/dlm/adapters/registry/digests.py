"""Digests of model folders, computed once and remembered."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from dlm.domain.base_files import folder_sha256, is_digested
from dlm.domain.errors import BaseModelError, StoreError
from dlm.domain.events import Emit, Note, Progress, ignore
from dlm.domain.text_files import write_atomic

_Stamp = list[list[str | int]]


class DigestCache:
    """Remembers, per folder, the digest and the names, sizes and times of the files it was computed from.

    The notes are kept in ``memory``, not in the model folder, which may be somebody else's or read-only. A file that
    is changed without a change of its size and its time goes unnoticed.
    """

    def __init__(self, memory: Path) -> None:
        self._memory = memory

    def known(self, folder: Path) -> str | None:
        """Give the digest when it is known for the files as they are now; reads no weights."""
        try:
            note = json.loads(self._note(folder).read_bytes())
            return str(note["sha256"]) if note["files"] == _stamp(folder) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None  # no note, or a damaged one: the digest is computed again, which is always right

    def digest(self, folder: Path, *, emit: Emit = ignore) -> str:
        """Give the digest, reading the files if it is not known.

        When the note cannot be written the files are read again next time; an event says so.

        Raises:
            BaseModelError: a file cannot be read.
        """
        known = self.known(folder)
        if known is not None:
            return known
        try:
            stamp = _stamp(folder)
            digest = folder_digest(folder, emit=emit)
        except OSError as exc:
            raise BaseModelError(
                "base.bad-file", f"{folder} cannot be read: {exc}", hint="Check that the disk is present and healthy."
            ) from exc
        self._remember(folder, {"folder": str(folder), "files": stamp, "sha256": digest}, emit)
        return digest

    def _remember(self, folder: Path, note: dict[str, object], emit: Emit) -> None:
        try:
            # The home holds what a person wrote: it is nobody else's, whoever makes it first.
            self._memory.parents[1].mkdir(mode=0o700, parents=True, exist_ok=True)
            self._memory.mkdir(parents=True, exist_ok=True)
            write_atomic(self._note(folder), json.dumps(note).encode())
        except (OSError, StoreError) as exc:
            message = f"The digest of {folder} could not be noted and will be computed again next time: {exc}"
            emit(Note(subject="base_model", message=message, severity="warning"))

    def _note(self, folder: Path) -> Path:
        name = hashlib.sha256(str(folder.resolve()).encode("utf-8", "surrogatepass")).hexdigest()[:24]
        return self._memory / f"{name}.json"


def folder_digest(folder: Path, *, emit: Emit = ignore) -> str:
    """Read every file of a model folder that counts and give the digest of the folder.

    Raises:
        OSError: a file cannot be read.
    """
    paths = _counting(folder)
    total, done, digests = sum(path.stat().st_size for path in paths), 0, {}
    for path in paths:
        digests[path.name] = _file_sha256(path)
        done += path.stat().st_size
        emit(Progress(stage="digest", done=done, total=total, unit="B"))
    return folder_sha256(digests)


def _counting(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if is_digested(path.name) and path.is_file())


def _stamp(folder: Path) -> _Stamp:
    return [[path.name, (status := path.stat()).st_size, status.st_mtime_ns] for path in _counting(folder)]


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
