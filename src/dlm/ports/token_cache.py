"""Keeping rows as token ids between runs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Protocol

import attrs

from dlm.domain.events import Emit, ignore


@attrs.frozen(kw_only=True)
class CacheUse:
    """What a run got from the cache. Hits and misses count rows; bytes are those on disk."""

    hits: int = 0
    misses: int = 0
    bytes_after: int = 0


@attrs.frozen(kw_only=True)
class CacheSize:
    """What the cache holds."""

    entries: int
    bytes_on_disk: int


class Tokens(Protocol):
    """Rows as token ids, for one run. Reading a row does not bring others into memory; threads may read at once."""

    def find(self, key: str) -> int | None:
        """Give the handle of a row that is kept; counts as hit or miss."""
        ...

    def add(self, key: str, ids: Sequence[int], first_supervised: int) -> int:
        """Keep a row; gives its handle, which holds until the run ends. A key that is there already stays as it is.

        Args:
            key: sha256 in hex over everything the ids depend on.
            ids: token ids before they are cut into windows, each below 2^32.
            first_supervised: index of the first token that is trained to be predicted.
        """
        ...

    def length(self, handle: int) -> int:
        """Give the number of ids of a row without reading them."""
        ...

    def read(self, handle: int, start: int = 0, stop: int | None = None) -> tuple[memoryview, int]:
        """Give ids ``[start:stop]`` of a row as a view of unsigned 32-bit numbers, and the row's ``first_supervised``.
        An empty range reads nothing.

        Raises:
            StoreError: the row was there and can no longer be read.
        """
        ...


class TokenStore(Tokens, Protocol):
    """Tokens that a cache lends for one run."""

    def use(self) -> CacheUse:
        """Give hits and misses so far; both stay 0 in a store that is gone afterwards."""
        ...


class TokenCachePort(Protocol):
    """The tokenised-row cache of each store. ``size``, ``prune`` and ``clear`` create no entries and no folders.

    Damage is never an error: a damaged entry is a miss, a damaged index is rebuilt from what can still be read.
    """

    def open(self, dlm_id: str | None, *, max_bytes: int, emit: Emit = ignore) -> AbstractContextManager[TokenStore]:
        """Open the cache for one run; ``dlm_id`` None gives a store that is gone afterwards (caching turned off).

        Training never fails because of its cache. What cannot be kept (no room on the disk, another run has the cache,
        rows of this run alone are more than ``max_bytes``) is kept for this run only, and told once through ``emit``.

        Args:
            max_bytes: most bytes of rows; those not used for longest go first, those of this run stay.
        """
        ...

    def size(self, dlm_id: str) -> CacheSize: ...

    def prune(self, dlm_id: str, *, older_than: timedelta) -> int:
        """Drop rows not used for so long, and what dead processes left; gives how many rows went.

        Raises:
            StoreError: a run is using the cache.
            DiskError: it cannot be written.
        """
        ...

    def clear(self, dlm_id: str) -> int:
        """Drop everything; gives how many rows went. Raises as ``prune``."""
        ...
