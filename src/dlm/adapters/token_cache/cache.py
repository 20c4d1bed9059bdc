"""The tokenised-row cache of each store, in its folder ``tokenized-cache``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

from dlm.adapters.token_cache import index
from dlm.adapters.token_cache.kept import SHARD_BYTES, Kept
from dlm.adapters.token_cache.lock import only_writer
from dlm.adapters.token_cache.opening import look_into
from dlm.adapters.token_cache.tokens import FileTokens
from dlm.domain.errors import StoreError
from dlm.domain.events import Emit, Note, ignore
from dlm.domain.store_layout import ROW_CACHE
from dlm.domain.text_files import disk_error
from dlm.ports.clock import Clock
from dlm.ports.token_cache import CacheSize


class FileTokenCache:
    """Token ids in shards beside each document's adapters. Implements ``TokenCachePort``.

    One process at a time writes; a run that finds the cache taken works without it.

    Args:
        locate: store folder of a document.
        shard_bytes: size from which a new shard is begun.
    """

    def __init__(self, locate: Callable[[str], Path], clock: Clock, *, shard_bytes: int = SHARD_BYTES) -> None:
        self._locate = locate
        self._clock = clock
        self._shard_bytes = shard_bytes

    @contextmanager
    def open(self, dlm_id: str | None, *, max_bytes: int, emit: Emit = ignore) -> Iterator[FileTokens]:
        """Open the cache for one run."""

        def warn(message: str) -> None:
            emit(Note(subject="cache", message=message, severity="warning"))

        with ExitStack() as held:
            kept = None if dlm_id is None else self._kept(self._folder(dlm_id), max_bytes, held, warn)
            tokens = FileTokens(kept, now=self._clock.now().timestamp(), warn=warn)
            try:
                yield tokens
            finally:
                tokens.close()

    def size(self, dlm_id: str) -> CacheSize:
        """Say what the cache holds. While a run writes, its rows count once it has ended."""
        folder = self._folder(dlm_id)
        kept = index.read(folder)
        try:
            entries = len((kept or look_into(folder).index).entries)
            return CacheSize(entries=entries, bytes_on_disk=_bytes_below(folder))
        except OSError as exc:
            raise disk_error(exc, folder) from exc

    def prune(self, dlm_id: str, *, older_than: timedelta) -> int:
        """Drop rows that were not used for so long."""
        now = self._clock.now()
        with self._alone(dlm_id) as kept:
            if kept is None:
                return 0
            count = kept.drop_unused_since(now.timestamp() - older_than.total_seconds(), now.timestamp())
            kept.save()
            return count

    def clear(self, dlm_id: str) -> int:
        """Drop everything."""
        with self._alone(dlm_id) as kept:
            if kept is None:
                return 0
            kept.clear()
            return len(kept.entries)

    def _folder(self, dlm_id: str) -> Path:
        return self._locate(dlm_id) / ROW_CACHE

    def _kept(self, folder: Path, max_bytes: int, held: ExitStack, warn: Callable[[str], None]) -> Kept | None:
        """Take the cache of a folder; None, and the reason told, when it cannot be had."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if held.enter_context(only_writer(folder)):
                return Kept(folder, look_into(folder), max_bytes, self._shard_bytes)
            warn("another process is using this document's token cache; this run does without it")
        except OSError as exc:
            warn(f"this document's token cache cannot be used: {disk_error(exc, folder)}")
        return None

    @contextmanager
    def _alone(self, dlm_id: str) -> Iterator[Kept | None]:
        """Give the cache to its only user; None when there is none."""
        folder = self._folder(dlm_id)
        if not folder.is_dir():
            yield None
            return
        try:
            with only_writer(folder) as is_ours:
                if not is_ours:
                    raise _busy(folder)
                kept = Kept(folder, look_into(folder), max_bytes=2**63, shard_bytes=self._shard_bytes)
                try:
                    yield kept
                finally:
                    kept.shards.close()
        except OSError as exc:
            raise disk_error(exc, folder) from exc


def _bytes_below(folder: Path) -> int:
    """Count the bytes of all files; one that vanishes meanwhile counts as none."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(path) / name).lstat().st_size
            except FileNotFoundError:
                continue
    return total


def _busy(folder: Path) -> StoreError:
    return StoreError(
        "cache.busy",
        f"a training is using the token cache in {folder}",
        hint="Wait until it has ended, then run this again.",
    )
