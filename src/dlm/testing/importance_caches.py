"""Importance matrices kept for as long as a test runs."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

from dlm.domain.importance import MIN_CHUNKS, ImportanceKey
from dlm.ports.importance_cache import KeptImportance


class MemoryImportanceCache:
    """Keeps :class:`dlm.ports.importance_cache.ImportanceCachePort`'s promises for as long as it lives; the files are
    in a temporary folder that goes with it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dlm-importance-"))
        self._kept: dict[ImportanceKey, KeptImportance] = {}
        self._turn = threading.Lock()
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def get(self, key: ImportanceKey, build: Callable[[Path], int]) -> KeptImportance | None:
        with self._turn:
            kept = self._kept.get(key)
            if kept is None or not kept.path.is_file() or _sha256(kept.path) != kept.sha256:
                kept = self._built(key, build)
            return kept

    def _built(self, key: ImportanceKey, build: Callable[[Path], int]) -> KeptImportance | None:
        path = self.folder / f"{key.digest}.gguf"
        fresh = path.with_suffix(".new")
        try:
            chunks = build(fresh)
            if chunks < MIN_CHUNKS:
                return None
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
        self._kept[key] = KeptImportance(path=path, sha256=_sha256(path), chunks=chunks)
        return self._kept[key]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
