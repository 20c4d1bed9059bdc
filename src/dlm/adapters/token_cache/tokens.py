"""The tokens of one run: rows of the cache, and rows that only this run keeps."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from dlm.adapters.token_cache.entries import PASSING, Entries
from dlm.adapters.token_cache.kept import SHARD_BYTES, Kept
from dlm.adapters.token_cache.records import HEAD_BYTES, ID_BYTES, ids_of, is_whole, record, record_bytes
from dlm.adapters.token_cache.shards import MemoryShards, Shards
from dlm.domain.errors import StoreError
from dlm.ports.token_cache import CacheUse

_TOO_SMALL = (
    "training.cache.max_bytes has no room for all rows of this document; what does not fit is tokenised again next time"
)


class FileTokens:
    """Rows as token ids on disk. Implements ``TokenStore``; threads may share it.

    Args:
        kept: the document's cache; None keeps everything for this run only.
        now: epoch seconds.
        warn: told once why rows are not kept.
    """

    def __init__(self, kept: Kept | None, *, now: float, warn: Callable[[str], None]) -> None:
        self._kept = kept
        self._entries = Entries() if kept is None else kept.entries
        self._run = 1 if kept is None else kept.run
        self._now = now
        self._warn: Callable[[str], None] | None = warn
        self._takes_more = kept is not None
        self._passing = Passing()
        self._turn = threading.RLock()
        self._hits = self._misses = 0

    def find(self, key: str) -> int | None:
        """Give the handle of a kept row, its bytes checked; a damaged one is dropped and missed."""
        name = bytes.fromhex(key)
        with self._turn:
            handle = self._entries.handles.get(name)
            if handle is not None and not self._is_good(name, handle):
                self._entries.drop(name)
                handle = None
            if handle is None:
                self._misses += 1
                return None
            self._hits += 1
            self._entries.run[handle], self._entries.used_at[handle] = self._run, self._now
            return handle

    def add(self, key: str, ids: Sequence[int], first_supervised: int) -> int:
        """Keep a row, on disk if there is room."""
        name = bytes.fromhex(key)
        data = record(name, ids, first_supervised)
        with self._turn:
            known = self._entries.handles.get(name)
            if known is not None:
                return known
            place = self._kept_place(data) or self._passing.append(data)
            length = (len(data) - HEAD_BYTES) // ID_BYTES
            return self._entries.add(name, place, length, first_supervised, run=self._run, used_at=self._now)

    def length(self, handle: int) -> int:
        """Give the number of ids of a row."""
        return self._entries.length[handle]

    def read(self, handle: int, start: int = 0, stop: int | None = None) -> tuple[memoryview, int]:
        """Give ids of a row and where its supervised part begins."""
        entries = self._entries
        start, stop, _ = slice(start, stop).indices(entries.length[handle])
        if stop <= start:
            return ids_of(b""), entries.first[handle]
        size = ID_BYTES * (stop - start)
        with self._turn:
            payload = self._bytes(handle, HEAD_BYTES + ID_BYTES * start, size)
        if len(payload) != size:
            raise _lost()
        return ids_of(payload), entries.first[handle]

    def use(self) -> CacheUse:
        """Give hits and misses so far; none are counted where no cache was asked."""
        if self._kept is None:
            return CacheUse()
        return CacheUse(hits=self._hits, misses=self._misses, bytes_after=self._kept.shards.total)

    def close(self) -> None:
        """Save what is to be kept and let go of the rest. A cache that cannot be saved is told, not raised."""
        with self._turn:
            if self._kept is not None:
                try:
                    self._kept.make_room(0)
                    self._kept.save()
                except (OSError, StoreError) as exc:
                    self._tell(f"the token cache could not be saved: {exc}")
                self._kept.shards.close()
            self._passing.close()

    def _kept_place(self, data: bytes) -> tuple[int, int] | None:
        """Write a record into the cache; None, and the reason told once, when it does not take it."""
        if self._kept is None or not self._takes_more:
            return None
        try:
            if self._kept.make_room(len(data)):
                return self._kept.shards.append(data)
            self._tell(_TOO_SMALL)
        except (OSError, StoreError) as exc:
            self._takes_more = False
            self._tell(f"the token cache takes no more rows, so they are tokenised again next time: {exc}")
        return None

    def _is_good(self, name: bytes, handle: int) -> bool:
        """Check a row's bytes once a run."""
        entries = self._entries
        if entries.run[handle] == self._run:
            return True
        try:
            data = self._bytes(handle, 0, record_bytes(entries.length[handle]))
        except StoreError:
            return False
        return is_whole(data, name, entries.length[handle], entries.first[handle])

    def _bytes(self, handle: int, start: int, size: int) -> bytes:
        number, offset = self._entries.shard[handle], self._entries.offset[handle]
        try:
            if number >= PASSING:
                return self._passing.read(number, offset + start, size)
            assert self._kept is not None
            return self._kept.shards.read(number, offset + start, size)
        except OSError as exc:
            raise _lost() from exc

    def _tell(self, message: str) -> None:
        if self._warn is not None:
            self._warn(message)
            self._warn = None


class Passing:
    """Records of this run only: in a temporary folder, and in memory when no disk takes them."""

    def __init__(self) -> None:
        self._shards: Shards | None = None
        self._memory = MemoryShards()

    def append(self, data: bytes) -> tuple[int, int]:
        """Keep a record."""
        with suppress(OSError):
            if self._shards is None:
                folder = Path(tempfile.mkdtemp(prefix="dlm-tokens-"))
                self._shards = Shards(folder, limit=SHARD_BYTES)
            number, offset = self._shards.append(data)
            return PASSING + number, offset
        number, offset = self._memory.append(data)
        return _MEMORY + number, offset

    def read(self, number: int, offset: int, size: int) -> bytes:
        """Give bytes of a record."""
        if number >= _MEMORY:
            return self._memory.read(number - _MEMORY, offset, size)
        assert self._shards is not None
        return self._shards.read(number - PASSING, offset, size)

    def close(self) -> None:
        """Forget everything."""
        self._memory.close()
        if self._shards is not None:
            self._shards.close()
            shutil.rmtree(self._shards.folder, ignore_errors=True)


_MEMORY = PASSING + PASSING // 2
"""Shard numbers from here on are records in memory."""


def _lost() -> StoreError:
    return StoreError(
        "cache.row-lost",
        "token ids of this run can no longer be read: their file was changed or removed, or its disk is gone",
        hint="Check the disk, then run it again; nothing that was learned before is lost.",
    )
