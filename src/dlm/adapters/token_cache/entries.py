"""Which rows there are and where they lie: one line a row, in arrays, so that 100,000 rows open at once."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import attrs

from dlm.adapters.token_cache.records import HEAD_BYTES, ID_BYTES, record_bytes

PASSING = 1 << 31
"""Shard numbers from here on lie outside the cache and are gone after the run."""


def _numbers(code: str) -> array:  # type: ignore[type-arg]  # int and float arrays alike
    return array(code)


@attrs.define
class Entries:
    """Rows by handle: the columns have one value for each. A dropped row keeps its handle and loses its key.

    Args:
        handles: key → handle.
        run: number of the run that last used it; runs count up, so the order of use never depends on the clock.
        used_at: epoch seconds of its last use.
        live: bytes of the kept rows; passing ones are not counted.
    """

    handles: dict[bytes, int] = attrs.field(factory=dict)
    shard: array[int] = attrs.field(factory=lambda: _numbers("I"))
    offset: array[int] = attrs.field(factory=lambda: _numbers("Q"))
    length: array[int] = attrs.field(factory=lambda: _numbers("I"))
    first: array[int] = attrs.field(factory=lambda: _numbers("I"))
    run: array[int] = attrs.field(factory=lambda: _numbers("I"))
    used_at: array[float] = attrs.field(factory=lambda: _numbers("d"))
    live: int = 0

    def __len__(self) -> int:
        """Count kept rows; passing ones too while their run lasts."""
        return len(self.handles)

    def add(self, key: bytes, place: tuple[int, int], length: int, first: int, *, run: int, used_at: float) -> int:
        """Note a row; gives its handle."""
        handle = self.handles[key] = len(self.shard)
        self.shard.append(place[0])
        self.offset.append(place[1])
        self.length.append(length)
        self.first.append(first)
        self.run.append(run)
        self.used_at.append(used_at)
        if place[0] < PASSING:
            self.live += record_bytes(length)
        return handle

    def drop(self, key: bytes) -> None:
        """Forget a row."""
        handle = self.handles.pop(key)
        if self.shard[handle] < PASSING:
            self.live -= record_bytes(self.length[handle])

    def kept(self) -> Iterator[tuple[bytes, int]]:
        """Give key and handle of each row that outlives the run."""
        return ((key, handle) for key, handle in self.handles.items() if self.shard[handle] < PASSING)

    def count_live(self) -> None:
        """Count the bytes again from the start."""
        handles = [handle for _, handle in self.kept()]
        self.live = HEAD_BYTES * len(handles) + ID_BYTES * sum(self.length[handle] for handle in handles)

    def oldest_first(self, before_run: int) -> list[bytes]:
        """Give the kept rows that no run from ``before_run`` on has used, least recently used first."""
        rows = [(self.run[at], self.used_at[at], at, key) for key, at in self.kept() if self.run[at] < before_run]
        return [row[3] for row in sorted(rows)]

    def live_by_shard(self) -> dict[int, list[int]]:
        """Give the kept rows of each shard that has any."""
        shards: dict[int, list[int]] = {}
        for _, handle in self.kept():
            shards.setdefault(self.shard[handle], []).append(handle)
        return shards
