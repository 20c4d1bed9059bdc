"""A token cache in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import attrs

from dlm.domain.events import Emit, Note, ignore
from dlm.domain.tokens import MemoryTokens
from dlm.ports.clock import Clock
from dlm.ports.token_cache import CacheSize, CacheUse

HEAD_BYTES = 52
"""What a row takes beside its ids, as on disk."""


@attrs.define
class _Row:
    ids: tuple[int, ...]
    first: int
    run: int
    used_at: datetime

    @property
    def size(self) -> int:
        return HEAD_BYTES + 4 * len(self.ids)


@attrs.define
class _Shelf:
    """The rows of one document."""

    rows: dict[str, _Row] = attrs.field(factory=dict)
    runs: int = 0

    @property
    def size(self) -> int:
        return sum(row.size for row in self.rows.values())

    def makes_room(self, size: int, max_bytes: int) -> bool:
        unused = [key for key, row in self.rows.items() if row.run < self.runs]
        for key in sorted(unused, key=lambda name: (self.rows[name].run, self.rows[name].used_at)):
            if self.size + size <= max_bytes:
                break
            del self.rows[key]
        return self.size + size <= max_bytes


class _Run(MemoryTokens):
    """One run: the rows it touched, and the shelf they come from."""

    def __init__(self, shelf: _Shelf | None, max_bytes: int, now: datetime, emit: Emit) -> None:
        super().__init__()
        self.is_passing = shelf is None
        shelf = shelf or _Shelf()
        self.shelf, self.max_bytes, self.now, self.emit = shelf, max_bytes, now, emit
        self.hits = self.misses = 0
        shelf.runs += 1

    def find(self, key: str) -> int | None:
        row = self.shelf.rows.get(key)
        if row is not None:
            row.run, row.used_at = self.shelf.runs, self.now
            super().add(key, row.ids, row.first)
        handle = super().find(key)
        self.hits, self.misses = self.hits + (handle is not None), self.misses + (handle is None)
        return handle

    def add(self, key: str, ids: object, first_supervised: int) -> int:
        row = _Row(tuple(ids), first_supervised, self.shelf.runs, self.now)  # type: ignore[arg-type]
        if key not in self.shelf.rows:
            if self.shelf.makes_room(row.size, self.max_bytes):
                self.shelf.rows[key] = row
            else:
                self.emit(Note(subject="cache", message="the rows of this run do not fit", severity="warning"))
        return super().add(key, row.ids, first_supervised)

    def use(self) -> CacheUse:
        if self.is_passing:
            return CacheUse()
        return CacheUse(hits=self.hits, misses=self.misses, bytes_after=self.shelf.size)


class MemoryTokenCache:
    """Keeps rows while it lives."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._shelves: dict[str, _Shelf] = {}

    @contextmanager
    def open(self, dlm_id: str | None, *, max_bytes: int, emit: Emit = ignore) -> Iterator[_Run]:
        """Open the cache for one run."""
        shelf = None if dlm_id is None else self._shelves.setdefault(dlm_id, _Shelf())
        try:
            yield _Run(shelf, max_bytes, self._clock.now(), emit)
        finally:
            if shelf is not None:
                shelf.makes_room(0, max_bytes)

    def size(self, dlm_id: str) -> CacheSize:
        """Say what the cache holds."""
        shelf = self._shelves.get(dlm_id, _Shelf())
        return CacheSize(entries=len(shelf.rows), bytes_on_disk=shelf.size)

    def prune(self, dlm_id: str, *, older_than: timedelta) -> int:
        """Drop rows that were not used for so long."""
        rows = self._shelves.get(dlm_id, _Shelf()).rows
        now = self._clock.now()
        old = [key for key, row in rows.items() if now - row.used_at > older_than]
        for key in old:
            del rows[key]
        return len(old)

    def clear(self, dlm_id: str) -> int:
        """Drop everything."""
        return len(self._shelves.pop(dlm_id, _Shelf()).rows)
