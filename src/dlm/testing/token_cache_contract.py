"""What every token cache promises, as tests. Needs pytest.

class TestMyCache(TokenCacheContract):
    @pytest.fixture
    def cache(self, tmp_path, clock):
        return MyCache(tmp_path, clock)
"""

from __future__ import annotations

import hashlib
import threading
from array import array
from collections.abc import Sequence
from datetime import timedelta

import pytest

from dlm.domain.events import Event, Note
from dlm.ports.token_cache import CacheUse, TokenCachePort, TokenStore
from dlm.testing.clocks import FixedClock

ID = "01KPXZ0000000000000000000A"
OTHER_ID = "01KPXZ0000000000000000000B"
PLENTY = 10 * 2**30


def key_of(name: object) -> str:
    """Give a key."""
    return hashlib.sha256(str(name).encode()).hexdigest()


def row_of(name: int) -> tuple[int, ...]:
    """Give the ids of a row; 100 of them, 452 bytes on disk."""
    return tuple(range(name, name + 100))


def put(cache: TokenCachePort, *names: int, max_bytes: int = PLENTY) -> None:
    """Let one run use some rows, adding those that are not there."""
    with cache.open(ID, max_bytes=max_bytes) as tokens:
        for name in names:
            if tokens.find(key_of(name)) is None:
                tokens.add(key_of(name), row_of(name), 3)


def there(cache: TokenCachePort, names: range) -> set[int]:
    """Say which rows are kept, without using them: a run of its own that is asked for nothing else."""
    with cache.open(ID, max_bytes=PLENTY) as tokens:
        return {name for name in names if tokens.find(key_of(name)) is not None}


def ids(tokens: TokenStore, handle: int, start: int = 0, stop: int | None = None) -> list[int]:
    """Give ids of a row as plain numbers."""
    return tokens.read(handle, start, stop)[0].tolist()


class TokenCacheContract:
    """Subclass it and give the fixture ``cache``."""

    @pytest.fixture
    def clock(self) -> FixedClock:
        return FixedClock()

    def test_a_row_comes_back_in_the_next_run(self, cache: TokenCachePort) -> None:
        put(cache, 1, 2)
        with cache.open(ID, max_bytes=PLENTY) as tokens:
            handle = tokens.find(key_of(2))
            assert handle is not None
            assert (ids(tokens, handle), tokens.read(handle, 0, 0)[1]) == (list(row_of(2)), 3)
            assert tokens.find(key_of(3)) is None
            assert (tokens.use().hits, tokens.use().misses) == (1, 1)
            assert tokens.use().bytes_after >= 800

    def test_parts_of_a_row(self, cache: TokenCachePort) -> None:
        with cache.open(ID, max_bytes=PLENTY) as tokens:
            handle = tokens.add(key_of("a"), range(10), 4)
            empty = tokens.add(key_of("b"), (), 0)
            assert tokens.length(handle) == 10
            assert ids(tokens, handle, 2, 5) == [2, 3, 4]
            assert ids(tokens, handle, 8) == [8, 9]
            assert ids(tokens, handle, 5, 5) == []
            assert tokens.read(handle, 5, 5)[1] == 4
            assert (tokens.length(empty), ids(tokens, empty)) == (0, [])

    def test_large_ids_keep_their_value(self, cache: TokenCachePort) -> None:
        with cache.open(ID, max_bytes=PLENTY) as tokens:
            handle = tokens.add(key_of("a"), (0, 65_536, 2**32 - 1), 0)
            assert ids(tokens, handle) == [0, 65_536, 2**32 - 1]

    @pytest.mark.parametrize("given", [(7, 300), [7, 300], range(7, 9), b"abc", bytearray(b"abcd"), array("I", [7, 8])])
    def test_any_sequence_of_numbers_will_do(self, cache: TokenCachePort, given: Sequence[int]) -> None:
        with cache.open(ID, max_bytes=PLENTY) as tokens:
            assert ids(tokens, tokens.add(key_of("a"), given, 0)) == list(given)

    def test_a_key_that_is_there_stays_as_it_is(self, cache: TokenCachePort) -> None:
        with cache.open(ID, max_bytes=PLENTY) as tokens:
            first = tokens.add(key_of("a"), (1, 2), 0)
            assert ids(tokens, tokens.add(key_of("a"), (3,), 0)) == [1, 2]
            assert ids(tokens, first) == [1, 2]
        assert cache.size(ID).entries == 1

    def test_documents_do_not_share(self, cache: TokenCachePort) -> None:
        put(cache, 1)
        with cache.open(OTHER_ID, max_bytes=PLENTY) as tokens:
            assert tokens.find(key_of(1)) is None
        assert cache.size(OTHER_ID).entries == 0

    def test_a_passing_store_is_gone_afterwards(self, cache: TokenCachePort) -> None:
        for _ in range(2):
            with cache.open(None, max_bytes=1) as tokens:
                assert tokens.find(key_of(1)) is None
                handle = tokens.add(key_of(1), row_of(1), 3)
                assert ids(tokens, handle) == list(row_of(1))
                assert tokens.find(key_of(1)) == handle
                assert tokens.use() == CacheUse()

    def test_what_was_added_before_a_failure_is_kept(self, cache: TokenCachePort) -> None:
        def fail() -> None:
            with cache.open(ID, max_bytes=PLENTY) as tokens:
                tokens.add(key_of(1), row_of(1), 3)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert there(cache, range(3)) == {1}

    def test_the_least_recently_used_goes_first(self, cache: TokenCachePort, clock: FixedClock) -> None:
        for name in range(4):
            put(cache, name)
            clock.advance(60)
        put(cache, 0)
        clock.advance(60)
        put(cache, 4, max_bytes=4 * 452)
        assert there(cache, range(6)) == {0, 2, 3, 4}

    def test_the_order_of_use_does_not_depend_on_the_clock(self, cache: TokenCachePort, clock: FixedClock) -> None:
        for name in range(4):
            put(cache, name)
            clock.advance(-86_400)
        put(cache, 4, max_bytes=3 * 452)
        assert there(cache, range(6)) == {2, 3, 4}

    def test_rows_of_this_run_are_protected(self, cache: TokenCachePort) -> None:
        put(cache, 0, 1)
        notes: list[Event] = []
        with cache.open(ID, max_bytes=2 * 452, emit=notes.append) as tokens:
            used = [tokens.find(key_of(0)), tokens.find(key_of(1))]
            handles = [tokens.add(key_of(name), row_of(name), 3) for name in range(2, 5)]
            assert [ids(tokens, handle) for handle in handles] == [list(row_of(name)) for name in range(2, 5)]
            assert [ids(tokens, handle or 0) for handle in used] == [list(row_of(0)), list(row_of(1))]
        assert there(cache, range(6)) == {0, 1}
        assert [type(note) for note in notes][:1] == [Note]

    def test_the_limit_holds(self, cache: TokenCachePort) -> None:
        for start in range(0, 60, 6):
            put(cache, *range(start, start + 6), max_bytes=20 * 452)
            assert cache.size(ID).entries <= 20
        assert there(cache, range(60)) >= set(range(54, 60))

    def test_a_smaller_limit_holds_after_the_next_run(self, cache: TokenCachePort) -> None:
        put(cache, *range(10))
        put(cache, 5, max_bytes=3 * 452)
        assert cache.size(ID).entries == 3
        assert 5 in there(cache, range(10))

    def test_prune_drops_what_was_not_used_for_so_long(self, cache: TokenCachePort, clock: FixedClock) -> None:
        put(cache, 1, 2)
        clock.advance(10 * 86_400)
        put(cache, 2, 3)
        clock.advance(86_400)
        assert cache.prune(ID, older_than=timedelta(days=5)) == 1
        assert there(cache, range(5)) == {2, 3}
        assert cache.prune(ID, older_than=timedelta(days=5)) == 0

    def test_clear_drops_everything(self, cache: TokenCachePort) -> None:
        put(cache, 1, 2, 3)
        assert cache.clear(ID) == 3
        assert cache.size(ID).entries == 0
        assert cache.clear(ID) == 0
        put(cache, 1)
        assert there(cache, range(5)) == {1}

    def test_nothing_is_there_before_the_first_run(self, cache: TokenCachePort) -> None:
        assert (cache.size(ID).entries, cache.size(ID).bytes_on_disk) == (0, 0)
        assert cache.prune(ID, older_than=timedelta(0)) == 0
        assert cache.clear(ID) == 0

    def test_threads_may_read_at_once(self, cache: TokenCachePort) -> None:
        wrong: list[int] = []
        with cache.open(ID, max_bytes=PLENTY) as tokens:
            handles = [tokens.add(key_of(name), row_of(name), 0) for name in range(50)]

            def look() -> None:
                for _ in range(20):
                    wrong.extend(name for name in range(50) if ids(tokens, handles[name]) != list(row_of(name)))

            threads = [threading.Thread(target=look) for _ in range(4)]
            for thread in threads:
                thread.start()
            for name in range(50, 150):
                tokens.add(key_of(name), row_of(name), 0)
            for thread in threads:
                thread.join()
        assert wrong == []
