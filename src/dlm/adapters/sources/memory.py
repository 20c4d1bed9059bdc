"""What earlier scans learned about files, so that a file that did not change is not read again.

One file: a line with the sha256 of the rest, then compact JSON, root → path → what is known. It is loaded whole and
replaced whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

from dlm.adapters.sources.reading import Look
from dlm.domain.errors import StoreError
from dlm.domain.text_files import write_atomic

_VERSION = 1
_KINDS = frozenset({"text", "binary", "not-utf8", "image", "audio"})

MAX_MEMORY_BYTES = 2**30
"""Largest memory that is loaded; a million files take about 250 MB."""

RACY_NS = 2_000_000_000
"""A file changed so shortly before it was looked at is looked at again next time: it might have changed once more
within the same tick of the disk's clock. 2 s is the coarsest tick in use, that of FAT."""


class ScanMemory:
    """What is known, and what this scan finds out.

    Args:
        path: the file; None remembers nothing.
        now_ns: time of the scan's start.
    """

    def __init__(self, path: Path | None, now_ns: int) -> None:
        self._path = path
        self._horizon = now_ns - RACY_NS
        self._known: dict[str, Any] = _load(path) if path is not None else {}
        self._fresh: dict[str, dict[str, Any]] = {}

    def root(self, root: str) -> RootMemory:
        """Give the part that is about files below one folder."""
        known = self._known.get(root)
        return RootMemory(known if isinstance(known, dict) else {}, self._fresh.setdefault(root, {}), self._horizon)

    def save(self) -> str | None:
        """Replace the file if there is anything new; gives what went wrong, None when nothing did."""
        fresh = {root: entries for root, entries in self._fresh.items() if entries}
        if self._path is None or fresh == self._known:
            return None
        body = json.dumps({"version": _VERSION, "roots": fresh}, separators=(",", ":")).encode()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self._path, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        except (OSError, StoreError) as exc:
            return f"what was found out about files could not be kept for next time ({exc})"
        return None


class RootMemory:
    """What is known about the files below one folder."""

    def __init__(self, known: dict[str, Any], fresh: dict[str, Any], horizon: int) -> None:
        self._known = known
        self._fresh = fresh
        self._horizon = horizon

    def recall(self, path: str, status: os.stat_result) -> Look | None:
        """Give what a file was, if nothing tells that it changed since."""
        entry = self._known.get(path)
        if type(entry) is not list or len(entry) != 7 or entry[:4] != _stamp(status):
            return None
        kind, sha256, section_id = entry[4:]
        if kind not in _KINDS or type(sha256) is not str or type(section_id) is not str:
            return None
        self._fresh[path] = entry
        return Look(kind, status.st_size, sha256, section_id)

    def note(self, path: str, status: os.stat_result, look: Look) -> None:
        """Keep what a file is, as it was at ``status``, taken before it was read."""
        if max(status.st_mtime_ns, status.st_ctime_ns) < self._horizon:
            self._fresh[path] = [*_stamp(status), look.kind, look.sha256, look.section_id]


def _stamp(status: os.stat_result) -> list[int]:
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _load(path: Path) -> dict[str, Any]:
    """Give what the file holds; nothing when it is missing, damaged or of another version."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_MEMORY_BYTES:
            return {}
        digest, _, body = path.read_bytes().partition(b"\n")
        if digest.decode() != hashlib.sha256(body).hexdigest():
            return {}
        found = json.loads(body)
    except (OSError, ValueError, RecursionError):
        return {}
    usable = isinstance(found, dict) and found.get("version") == _VERSION and isinstance(found.get("roots"), dict)
    return found["roots"] if usable else {}
