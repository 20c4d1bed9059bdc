"""Keeping rows as token ids between runs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any, Protocol

import attrs


@attrs.frozen(kw_only=True)
class CacheUse:
    """What a run got from the cache. Hits and misses count rows; bytes are on disk after it."""

    hits: int = 0
    misses: int = 0
    bytes_after: int = 0


@attrs.frozen(kw_only=True)
class CacheSize:
    """What the cache holds."""

    entries: int
    bytes_on_disk: int


class TokenStore(Protocol):
    """Rows as token ids, on disk, for one run. Reading a row does not bring others into memory."""

    def find(self, key: str) -> int | None:
        """Give the handle of a row that is kept; counts as hit or miss."""
        ...

    def add(self, key: str, ids: Sequence[int], first_supervised: int) -> int:
        """Keep a row; gives its handle.

        Args:
            key: sha256 in hex over everything the ids depend on.
            ids: token ids before they are cut into windows.
            first_supervised: index of the first token that is trained to be predicted.
        """
        ...

    def length(self, handle: int) -> int:
        """Give the number of ids of a row without reading them."""
        ...

    def read(self, handle: int, start: int = 0, stop: int | None = None) -> tuple[Any, int]:
        """Give ids ``[start:stop]`` of a row as a numpy array of uint32, and the row's ``first_supervised``."""
        ...

    def use(self) -> CacheUse: ...


class TokenCachePort(Protocol):
    """The tokenised-row cache of each store. ``size``, ``prune`` and ``clear`` create nothing.

    Damage is never an error: a damaged entry is a miss, a damaged index is rebuilt from what can still be read.
    Raises ``DiskError`` when writing fails.
    """

    def open(self, dlm_id: str | None, *, max_bytes: int) -> AbstractContextManager[TokenStore]:
        """Open the cache for one run; ``dlm_id`` None gives a store that is gone afterwards (caching turned off)."""
        ...

    def size(self, dlm_id: str) -> CacheSize: ...

    def prune(self, dlm_id: str, *, older_than: timedelta) -> int:
        """Drop rows not used for so long, and what dead processes left; gives how many rows went."""
        ...

    def clear(self, dlm_id: str) -> int:
        """Drop everything; gives how many rows went."""
        ...
