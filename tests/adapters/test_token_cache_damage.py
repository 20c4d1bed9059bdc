"""What happens to the token cache: killed writers, damaged files, full disks, two processes, a clock gone wrong."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlm.adapters.token_cache import FileTokenCache, shards
from dlm.adapters.token_cache.records import record, scan
from dlm.domain.errors import DiskError, StoreError
from dlm.domain.events import Event
from dlm.ports.token_cache import TokenCachePort
from dlm.testing.clocks import FixedClock
from dlm.testing.token_cache_contract import ID, PLENTY, ids, key_of, put, row_of, there
from dlm.testing.token_caches import MemoryTokenCache

ALL = range(200)


def cache_in(folder: Path, *, shard_bytes: int = 5000, clock: FixedClock | None = None) -> FileTokenCache:
    return FileTokenCache(lambda dlm_id: folder / dlm_id, clock or FixedClock(), shard_bytes=shard_bytes)


@pytest.fixture
def cache(tmp_path: Path) -> FileTokenCache:
    return cache_in(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / ID / "tokenized-cache"


def shard_files(folder: Path) -> list[Path]:
    return sorted((folder / "shards").iterdir())


def check(cache: FileTokenCache, names: range = ALL) -> int:
    """Make sure that whatever is found is right; gives how many rows are found."""
    with cache.open(ID, max_bytes=PLENTY) as tokens:
        found = 0
        for name in names:
            handle = tokens.find(key_of(name))
            if handle is not None:
                assert ids(tokens, handle) == list(row_of(name))
                assert tokens.read(handle, 0, 0)[1] == 3
                found += 1
        return found


class TestDamage:
    @pytest.mark.parametrize("place", [0, 4, 8, 20, 45, 49, 52, 400, 452, 900, 4000])
    def test_a_flipped_byte_costs_at_most_one_row(self, cache: FileTokenCache, folder: Path, place: int) -> None:
        put(cache, *ALL)
        path = shard_files(folder)[1]
        data = bytearray(path.read_bytes())
        data[place] ^= 0x10
        path.write_bytes(data)
        assert check(cache) == len(ALL) - 1
        put(cache, *ALL)
        assert check(cache) == len(ALL)

    @pytest.mark.parametrize("place", [0, 4, 8, 45, 52, 452, 900, 4000])
    def test_the_same_when_the_index_is_lost_too(self, cache: FileTokenCache, folder: Path, place: int) -> None:
        put(cache, *ALL)
        path = shard_files(folder)[1]
        data = bytearray(path.read_bytes())
        data[place] ^= 0x10
        path.write_bytes(data)
        (folder / "index.bin").unlink()
        assert check(cache) == len(ALL) - 1

    @pytest.mark.parametrize("size", [0, 1, 30, 52, 451, 452, 453, 4000])
    def test_a_shard_cut_short_loses_what_was_cut(self, cache: FileTokenCache, folder: Path, size: int) -> None:
        put(cache, *ALL)
        path = shard_files(folder)[1]
        rows = path.stat().st_size // 452
        os.truncate(path, size)
        assert check(cache) == len(ALL) - rows + size // 452
        put(cache, *ALL)
        assert check(cache) == len(ALL)

    def test_a_missing_shard(self, cache: FileTokenCache, folder: Path) -> None:
        put(cache, *ALL)
        shard_files(folder)[2].unlink()
        assert 150 < check(cache) < 200

    @pytest.mark.parametrize("damage", [b"", b"dlmtkix2", os.urandom(5000), None])
    def test_a_damaged_index_is_made_anew(self, cache: FileTokenCache, folder: Path, damage: bytes | None) -> None:
        put(cache, *ALL)
        path = folder / "index.bin"
        if damage is None:
            path.unlink()
        else:
            path.write_bytes(damage)
        assert cache.size(ID).entries == len(ALL)
        assert check(cache) == len(ALL)

    @pytest.mark.parametrize("step", range(0, 2000, 97))
    def test_any_flipped_byte_of_the_index_is_noticed(self, cache: FileTokenCache, folder: Path, step: int) -> None:
        put(cache, *range(30))
        path = folder / "index.bin"
        data = bytearray(path.read_bytes())
        data[step % len(data)] ^= 1
        path.write_bytes(data)
        assert check(cache, range(30)) == 30

    def test_garbage_beside_the_shards_is_left_alone(self, cache: FileTokenCache, folder: Path, tmp_path: Path) -> None:
        put(cache, 1)
        outside = tmp_path / "outside"
        outside.write_bytes(record(bytes(32), [1], 0))
        (folder / "shards" / "notes.txt").write_text("mine")
        (folder / "shards" / "00000009.tokens").symlink_to(outside)
        (folder / "shards" / "00000008.tokens").mkdir()
        assert there(cache, range(3)) == {1}
        assert cache.prune(ID, older_than=timedelta(0)) == 0
        assert outside.exists()
        assert cache.clear(ID) == 1
        assert (folder / "shards" / "notes.txt").exists()

    def test_leftovers_are_swept(self, cache: FileTokenCache, folder: Path) -> None:
        put(cache, 1)
        (folder / "index.bin.tmp.999999.0a1b2c3d").write_bytes(b"x")
        (folder / "entries" / "ab").mkdir(parents=True)
        (folder / "entries" / "ab" / "row.npz").write_bytes(b"x")
        assert cache.prune(ID, older_than=timedelta(days=1)) == 0
        assert {path.name for path in folder.iterdir()} == {".lock", "index.bin", "manifest.json", "shards"}

    def test_a_shard_that_goes_while_it_is_read(self, cache: FileTokenCache, folder: Path) -> None:
        put(cache, *ALL)
        with cache.open(ID, max_bytes=PLENTY) as tokens:
            handle = tokens.find(key_of(0))
            assert handle is not None
            os.truncate(shard_files(folder)[0], 100)
            with pytest.raises(StoreError, match="can no longer be read"):
                tokens.read(handle)

    def test_ids_that_look_like_a_record_do_not_confuse(self, cache: FileTokenCache, folder: Path) -> None:
        inner = record(bytes.fromhex(key_of("inner")), [7, 8, 9], 0)
        words = memoryview(inner).cast("I").tolist()
        with cache.open(ID, max_bytes=PLENTY) as tokens:
            tokens.add(key_of("outer"), words * 3, 0)
        (folder / "index.bin").unlink()
        with cache.open(ID, max_bytes=PLENTY) as tokens:
            assert tokens.find(key_of("inner")) is None
            handle = tokens.find(key_of("outer"))
            assert handle is not None
            assert ids(tokens, handle) == words * 3

    def test_scanning_passes_over_garbage(self) -> None:
        rows = [record(bytes([n]) * 32, range(n), 0) for n in range(5)]
        data = b"dlmtoks2" + b"garbage".join(rows) + b"dlmtoks2" + rows[3][:-1]
        assert [found.key[0] for found in scan(data)] == [0, 1, 2, 3, 4]


class TestSpace:
    def test_dead_space_is_given_back(self, cache: FileTokenCache, folder: Path) -> None:
        for start in range(0, 2000, 50):
            put(cache, *range(start, start + 50), max_bytes=60 * 452)
            assert sum(path.stat().st_size for path in shard_files(folder)) <= 60 * 452
        assert check(cache, range(1950, 2000)) == 50

    def test_dead_space_is_given_back_within_a_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("dlm.adapters.token_cache.kept.SHARD_BYTES", 2000)
        cache = cache_in(tmp_path)
        put(cache, *range(100))
        with cache.open(ID, max_bytes=100 * 452) as tokens:
            for name in range(50, 60):
                assert tokens.find(key_of(name)) is not None
            for name in range(100, 190):
                tokens.add(key_of(name), row_of(name), 3)
            size = sum(path.stat().st_size for path in shard_files(tmp_path / ID / "tokenized-cache"))
            assert size <= 1.5 * 100 * 452
            for name in [*range(50, 60), *range(100, 190)]:
                handle = tokens.find(key_of(name))
                assert handle is not None
                assert ids(tokens, handle) == list(row_of(name))
        assert there(cache, range(200)) == {*range(50, 60), *range(100, 190)}

    def test_a_smaller_limit_holds_from_the_next_run_on(self, cache: FileTokenCache, folder: Path) -> None:
        put(cache, *ALL)
        put(cache, 5, max_bytes=20 * 452)
        assert sum(path.stat().st_size for path in shard_files(folder)) <= 20 * 452
        assert 5 in there(cache, ALL)

    def test_rows_are_not_moved_into_a_shard_that_goes_too(self, tmp_path: Path) -> None:
        cache = cache_in(tmp_path, shard_bytes=6 * 452)
        put(cache, *range(11))
        put(cache, 0, 6, 7, max_bytes=3 * 452)
        assert there(cache, range(12)) == {0, 6, 7}

    def test_a_row_larger_than_a_shard(self, cache: FileTokenCache) -> None:
        with cache.open(ID, max_bytes=PLENTY) as tokens:
            tokens.add(key_of("long"), range(100_000), 1)
            tokens.add(key_of("next"), range(10), 1)
        with cache.open(ID, max_bytes=PLENTY) as tokens:
            handle = tokens.find(key_of("long"))
            assert handle is not None
            assert ids(tokens, handle, 99_990) == list(range(99_990, 100_000))

    def test_pruned_rows_do_not_come_back(self, tmp_path: Path) -> None:
        clock = FixedClock()
        cache = cache_in(tmp_path, clock=clock)
        put(cache, *ALL)
        clock.advance(86_400)
        put(cache, *range(0, 200, 2))
        assert cache.prune(ID, older_than=timedelta(hours=1)) == 100
        assert check(cache) == 100

    def test_a_time_to_come_counts_as_now(self, tmp_path: Path) -> None:
        clock = FixedClock()
        clock.advance(400 * 86_400)
        cache = cache_in(tmp_path, clock=clock)
        put(cache, 1)
        clock.advance(-400 * 86_400)
        assert cache.prune(ID, older_than=timedelta(days=90)) == 0
        clock.advance(91 * 86_400)
        assert cache.prune(ID, older_than=timedelta(days=90)) == 1

    def test_many_open_shards(self, tmp_path: Path) -> None:
        cache = cache_in(tmp_path, shard_bytes=400)
        put(cache, *ALL)
        assert len(shard_files(tmp_path / ID / "tokenized-cache")) == 200
        assert check(cache) == 200

    def test_a_hundred_thousand_rows_open_at_once(self, tmp_path: Path) -> None:
        cache = cache_in(tmp_path, shard_bytes=2**26)
        keys = [key_of(n) for n in range(100_000)]
        with cache.open(ID, max_bytes=PLENTY) as tokens:
            for n, key in enumerate(keys):
                tokens.add(key, (n,), 0)
        began = time.perf_counter()
        with cache.open(ID, max_bytes=PLENTY) as tokens:
            opened = time.perf_counter() - began
            handle = tokens.find(keys[77_777])
            assert handle is not None
            assert ids(tokens, handle) == [77_777]
        assert opened < 2, "0.1 s on a quiet machine"


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch, *, after: int, everywhere: bool = False) -> Iterator[None]:
    """Let appends fail once so many bytes were written, in the cache only or in temporary folders too."""
    real, left = shards.Shards.append, [after]

    def append(self: shards.Shards, data: bytes) -> tuple[int, int]:
        if "dlm-tokens-" in str(self.folder) and not everywhere:
            return real(self, data)
        left[0] -= len(data)
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(shards.Shards, "append", append)
        yield


class TestAnyCourse:
    """Whatever runs do one after another: what is found is right, what a run has can be read until it ends, the limit
    holds afterwards, and the fake keeps the same rows."""

    @given(
        runs=st.lists(
            st.tuples(st.lists(st.integers(0, 25), max_size=30), st.integers(1, 30), st.booleans()), max_size=8
        ),
        shard_bytes=st.sampled_from([400, 1000, 3000, 10**6]),
    )
    @settings(max_examples=300, deadline=None)
    def test_it_stays_right(self, runs: list[tuple[list[int], int, bool]], shard_bytes: int) -> None:
        with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
            patch.setattr("dlm.adapters.token_cache.kept.SHARD_BYTES", 1000)
            caches = cache_in(Path(home), shard_bytes=shard_bytes), MemoryTokenCache(FixedClock())
            for names, limit, loses_index in runs:
                found = [self.run(cache, names, limit * 452) for cache in caches]
                assert found[0] == found[1]
                most = max(limit, len(set(names)))  # rows of a run stay, though the limit was lowered
                assert caches[0].size(ID).entries == caches[1].size(ID).entries <= most
                folder = Path(home) / ID / "tokenized-cache"
                assert sum(path.stat().st_size for path in (folder / "shards").glob("*")) <= most * 452
                if loses_index and caches[0].size(ID).bytes_on_disk:
                    assert cache_in(Path(home)).prune(ID, older_than=timedelta(days=1)) == 0

    def run(self, cache: TokenCachePort, names: list[int], max_bytes: int) -> list[bool]:
        handles, found = {}, []
        with cache.open(ID, max_bytes=max_bytes) as tokens:
            for name in names:
                handle = tokens.find(key_of(name))
                found.append(handle is not None)
                handles[name] = tokens.add(key_of(name), row_of(name), 3) if handle is None else handle
                assert all(ids(tokens, handles[known]) == list(row_of(known)) for known in handles)
        return found


class TestFullDisk:
    @pytest.mark.parametrize("everywhere", [False, True])
    def test_the_run_goes_on(self, cache: FileTokenCache, monkeypatch: pytest.MonkeyPatch, everywhere: bool) -> None:
        events: list[Any] = []
        with (
            full_disk(monkeypatch, after=10 * 452, everywhere=everywhere),
            cache.open(ID, max_bytes=PLENTY, emit=events.append) as tokens,
        ):
            handles = [tokens.add(key_of(name), row_of(name), 3) for name in range(50)]
            assert [ids(tokens, handle) for handle in handles] == [list(row_of(name)) for name in range(50)]
            assert [tokens.find(key_of(name)) for name in range(50)] == handles
        assert len(events) == 1
        assert "tokenised again next time" in events[0].message
        assert check(cache) == 10

    def test_half_a_record_is_cut_off_again(self, cache: FileTokenCache, folder: Path) -> None:
        put(cache, 1)

        class Half:
            def __init__(self, file: Any) -> None:
                self.file, self.calls = file, 0

            def write(self, view: memoryview) -> int:
                self.calls += 1
                if self.calls > 1:
                    raise OSError(errno.ENOSPC, "No space left on device")
                return int(self.file.write(view[:100]))

            def close(self) -> None:
                self.file.close()

        with cache.open(ID, max_bytes=PLENTY) as tokens:
            kept = tokens._kept
            assert kept is not None
            _, file = kept.shards._room_for(452)
            kept.shards._writer = Half(file)  # type: ignore[assignment]
            tokens.add(key_of(2), row_of(2), 3)
        assert shard_files(folder)[0].stat().st_size == 452
        assert check(cache) == 1

    def test_a_cache_that_cannot_be_saved_is_told(self, cache: FileTokenCache, monkeypatch: pytest.MonkeyPatch) -> None:
        events: list[Event] = []

        def refuse(*_: Any) -> None:
            raise DiskError("disk.full", "no room")

        with cache.open(ID, max_bytes=PLENTY, emit=events.append) as tokens:
            tokens.add(key_of(1), row_of(1), 3)
            monkeypatch.setattr("dlm.adapters.token_cache.kept.write_atomic", refuse)
        monkeypatch.undo()
        assert len(events) == 1
        assert check(cache) == 1

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
    def test_a_folder_that_may_not_be_written(self, cache: FileTokenCache, folder: Path) -> None:
        folder.mkdir(parents=True)
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
        events: list[Event] = []
        with cache.open(ID, max_bytes=PLENTY, emit=events.append) as tokens:
            assert ids(tokens, tokens.add(key_of(1), row_of(1), 3)) == list(row_of(1))
        folder.chmod(stat.S_IRWXU)
        assert len(events) == 1

    def test_a_file_where_the_folder_should_be(self, cache: FileTokenCache, folder: Path) -> None:
        folder.parent.mkdir(parents=True)
        folder.write_text("in the way")
        events: list[Event] = []
        with cache.open(ID, max_bytes=PLENTY, emit=events.append) as tokens:
            assert ids(tokens, tokens.add(key_of(1), row_of(1), 3)) == list(row_of(1))
        assert len(events) == 1
        assert cache.size(ID).entries == 0


CHILD = """
import sys
from pathlib import Path
from dlm.adapters.token_cache import FileTokenCache
from dlm.adapters.system_clock import SystemClock
from dlm.testing.token_cache_contract import ID, PLENTY, key_of, row_of

cache = FileTokenCache(lambda dlm_id: Path(sys.argv[1]) / dlm_id, SystemClock(), shard_bytes=20_000)
with cache.open(ID, max_bytes=int(sys.argv[3]), emit=lambda event: print(event.message, flush=True)) as tokens:
    for number in range(int(sys.argv[2]), 10**9):
        if tokens.find(key_of(number)) is None:
            tokens.add(key_of(number), row_of(number), 3)
        print(number, flush=True)
        if number == int(sys.argv[4]):
            sys.stdin.readline()
            break
"""


def child(folder: Path, start: int, *, max_bytes: int = PLENTY, last: int = -1) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", CHILD, str(folder), str(start), str(max_bytes), str(last)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


class TestProcesses:
    def killed(self, folder: Path, start: int, rows: int, max_bytes: int = PLENTY) -> int:
        """Kill a run after so many rows; gives the last one that it told of."""
        last = start
        with child(folder, start, max_bytes=max_bytes) as process:
            assert process.stdout is not None
            for line in process.stdout:
                last = int(line) if line.strip().isdigit() else last
                if last >= start + rows:
                    break
            process.kill()
            process.communicate()
        return last

    def test_killed_in_the_middle(self, tmp_path: Path) -> None:
        cache, start = cache_in(tmp_path, shard_bytes=20_000), 0
        for round_ in range(4):
            last = self.killed(tmp_path, start, 60 + 37 * round_)
            written = range(start, last + 1)
            assert check(cache, written) == len(written), "what was written before the kill is there"
            start = last + 1

    def test_killed_while_rows_make_room(self, tmp_path: Path) -> None:
        cache, start = cache_in(tmp_path, shard_bytes=20_000), 0
        for round_ in range(4):
            start = self.killed(tmp_path, start, 60 + 37 * round_, max_bytes=100 * 452) + 1
            assert check(cache, range(start + 10_000)) == cache.size(ID).entries
        put(cache, 1, max_bytes=100 * 452)
        assert cache.size(ID).entries == 100

    def test_of_two_processes_one_does_without(self, tmp_path: Path) -> None:
        with child(tmp_path, 0, last=20) as first, child(tmp_path, 100, last=120) as second:
            assert first.stdout is not None
            while first.stdout.readline().strip() != "20":
                pass
            told = second.communicate("\n")[0].splitlines()
            assert told[-1] == "120"
            first.communicate("\n")
        assert (first.returncode, second.returncode) == (0, 0)
        assert check(cache_in(tmp_path)) >= 21

    def test_while_a_run_has_it_nobody_else_does(self, tmp_path: Path) -> None:
        cache = cache_in(tmp_path)
        with child(tmp_path, 0, last=20) as first:
            assert first.stdout is not None
            while first.stdout.readline().strip() != "20":
                pass
            events: list[Any] = []
            with cache.open(ID, max_bytes=PLENTY, emit=events.append) as tokens:
                assert ids(tokens, tokens.add(key_of(50), row_of(50), 3)) == list(row_of(50))
            assert [event.message[:26] for event in events] == ["another process is using t"]
            for refused in (lambda: cache.clear(ID), lambda: cache.prune(ID, older_than=timedelta(0))):
                with pytest.raises(StoreError, match="a training is using"):
                    refused()
            assert cache.size(ID).entries == 21
            first.communicate("\n")
        assert check(cache) == 21

    def test_no_temporary_folder_is_left(self, cache: FileTokenCache, monkeypatch: Any, tmp_path: Path) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        with cache.open(None, max_bytes=1) as tokens:
            tokens.add(key_of(1), row_of(1), 3)
            assert len(list(tmp_path.glob("dlm-tokens-*"))) == 1
        assert list(tmp_path.glob("dlm-tokens-*")) == []

    def test_nothing_is_made_when_everything_is_there(self, cache: FileTokenCache, monkeypatch: Any) -> None:
        put(cache, 1)
        monkeypatch.setattr("tempfile.mkdtemp", None)
        put(cache, 1)
