"""The part of a cache that outlives its run: eviction, reclaiming dead space, saving. For the holder of its lock."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dlm.adapters.token_cache import index
from dlm.adapters.token_cache.opening import Opened
from dlm.adapters.token_cache.records import record_bytes
from dlm.adapters.token_cache.shards import Shards
from dlm.domain.text_files import write_atomic

SHARD_BYTES = 64 * 2**20
"""A shard is read whole when the index was lost, and copied whole when most of it is dead."""

MANIFEST = "manifest.json"

_MOSTLY_DEAD = 0.5
"""Live share of a shard below which its rows are copied out: copying then costs less than it gives back."""


class Kept:
    """Rows in a cache folder.

    Args:
        max_bytes: most bytes of live records, and of all shards once they are saved.
    """

    def __init__(self, folder: Path, opened: Opened, max_bytes: int, shard_bytes: int = SHARD_BYTES) -> None:
        self.folder = folder
        self.entries = opened.index.entries
        self.run = opened.index.runs + 1
        self.max_bytes = max_bytes
        self.shards = Shards(
            folder / "shards",
            limit=shard_bytes,
            sizes=opened.index.sizes,
            growing=opened.growing,
            next_number=opened.index.next_shard,
        )
        self._leftovers = opened.leftovers
        self._oldest: Iterator[bytes] | None = None

    def make_room(self, size: int) -> bool:
        """Drop rows that this run has not used, least recently used first, until so many bytes fit; False when they
        cannot.

        Raises:
            OSError: dead space could not be reclaimed.
        """
        entries = self.entries
        if entries.live + size <= self.max_bytes:
            return True
        if self._oldest is None:
            self._oldest = iter(entries.oldest_first(self.run))
        while entries.live + size > self.max_bytes and (key := next(self._oldest, None)) is not None:
            handle = entries.handles.get(key)
            if handle is not None and entries.run[handle] < self.run:
                entries.drop(key)
        if self.shards.total - entries.live > max(self.max_bytes // 4, SHARD_BYTES):
            self.save()
        return entries.live + size <= self.max_bytes

    def drop_unused_since(self, moment: float, now: float) -> int:
        """Drop rows last used before ``moment``, both in epoch seconds; gives how many. A time that has not come yet,
        from a clock that was wrong, counts as ``now``."""
        entries = self.entries
        old = []
        for key, handle in entries.kept():
            entries.used_at[handle] = min(entries.used_at[handle], now)
            if entries.used_at[handle] < moment:
                old.append(key)
        for key in old:
            entries.drop(key)
        return len(old)

    def save(self) -> None:
        """Reclaim dead space, flush, replace the index, then delete what it no longer names: a crash at any point
        loses no row that was there before.

        Raises:
            OSError, StoreError: it cannot be written; nothing is lost.
        """
        given_up = self._move_out()
        self.shards.sync()
        sizes = {number: size for number, size in self.shards.sizes.items() if number not in given_up}
        written = index.Index(self.entries, sizes, self.shards.next_number, self.run)
        write_atomic(self.folder / index.NAME, index.to_bytes(written))
        for number in given_up:
            self.shards.remove(number)
        self.sweep()
        write_atomic(self.folder / MANIFEST, self._manifest())

    def sweep(self) -> None:
        """Delete what belongs to nothing: given-up shards, temporary files of dead processes, and the one-file-a-row
        entries of other programs, which nobody reads any more."""
        for path in self._leftovers:
            path.unlink(missing_ok=True)
        self._leftovers = []
        with os.scandir(self.folder) as listing:
            for entry in list(listing):
                if ".tmp." in entry.name and entry.is_file(follow_symlinks=False):
                    Path(entry.path).unlink(missing_ok=True)
                elif entry.name == "entries" and entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)

    def clear(self) -> None:
        """Delete everything but the lock."""
        for name in (index.NAME, MANIFEST):
            (self.folder / name).unlink(missing_ok=True)
        for number in list(self.shards.sizes):
            self.shards.remove(number)
        self.sweep()
        with suppress(OSError):  # it stays where it holds files of somebody else
            (self.folder / "shards").rmdir()

    def _move_out(self) -> list[int]:
        """Copy live rows out of shards that are mostly dead; gives the shards that can go."""
        live = self.entries.live_by_shard()
        given_up: list[int] = []
        for number, share in self._shares(live):
            is_too_much = self.shards.total - sum(self.shards.sizes[gone] for gone in given_up) > self.max_bytes
            if number not in live or share < _MOSTLY_DEAD or (share < 1 and is_too_much):
                if not given_up:
                    self.shards.roll_over()  # rows move into new shards: one of the old may be the next to go
                self._copy(live.get(number, []), number)
                given_up.append(number)
        return given_up

    def _shares(self, live: dict[int, list[int]]) -> list[tuple[int, float]]:
        """Give the live share of each shard, 0 to 1, smallest first."""
        shares = []
        for number, size in self.shards.sizes.items():
            used = sum(record_bytes(self.entries.length[handle]) for handle in live.get(number, []))
            shares.append((number, used / size if size else 0.0))
        return sorted(shares, key=lambda pair: pair[1])

    def _copy(self, handles: list[int], number: int) -> None:
        entries = self.entries
        for handle in handles:
            size = record_bytes(entries.length[handle])
            place = self.shards.append(self.shards.read(number, entries.offset[handle], size))
            entries.shard[handle], entries.offset[handle] = place

    def _manifest(self) -> bytes:
        """Give the totals for other readers; nothing here is read back."""
        totals = {"version": 2, "entry_count": sum(1 for _ in self.entries.kept()), "total_bytes": self.shards.total}
        return (json.dumps(totals, indent=2) + "\n").encode()
