"""Importance matrices in the home: killed, damaged, out of room, shared between processes."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dlm.adapters.filesystem.importances import KEPT_FOR, FileImportanceCache
from dlm.domain.errors import StoreError
from dlm.testing.clocks import A_MOMENT, FixedClock
from dlm.testing.importance_cache_contract import Builder, is_whole, key_of
from filesystem_steps import Before, watched_steps
from importance_scenarios import KEY, OTHER, build, cache_in, prepare

TESTS = Path(__file__).parents[1]
FAULTS = {errno.ENOSPC: "disk.full", errno.EROFS: "disk.read-only"}


def names(home: Path) -> set[str]:
    return {path.name for path in (home / "cache" / "imatrix").iterdir()}


def whole(*keys: Any) -> set[str]:
    """Give the files of a folder in which these are kept and nothing else is."""
    return {".lock", *(f"{key.digest}.{ending}" for key in keys for ending in ("gguf", "json"))}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the kill harness forks")
def test_after_a_kill_at_any_step_the_next_export_is_right(tmp_path: Path) -> None:
    command = [sys.executable, str(TESTS / "importance_scenarios.py"), str(tmp_path)]
    kills = int(subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout)
    assert kills >= 10  # the builder's draft, drafts, flushes, renames: fewer would mean that nothing was watched
    for step in range(1, kills + 1):
        home = tmp_path / f"{step:03d}"
        builder = Builder(b"new", 4)
        assert is_whole(cache_in(home).get(KEY, builder), b"new", 4), f"killed before step {step}"
        assert is_whole(cache_in(home).get(OTHER, builder), b"other", 4)
        if builder.built:
            assert names(home) == whole(KEY, OTHER), f"killed before step {step}"


def error_of(home: Path, before: Before) -> StoreError | None:
    """Give the store's error; any other one fails the test."""
    try:
        with watched_steps(before):
            cache_in(home).get(KEY, build(b"new"))
    except StoreError as exc:
        return exc
    return None


@pytest.mark.parametrize("number", FAULTS, ids=lambda number: errno.errorcode[number])
def test_a_fault_from_any_step_on_is_named_and_the_next_export_is_right(number: int, tmp_path: Path) -> None:
    prepare(tmp_path / "seed")
    failed_at = 0
    for step in range(1, 99):
        home = shutil.copytree(tmp_path / "seed", tmp_path / str(step))

        def fail(count: int, name: str, _: tuple[Any, ...], step: int = step) -> None:
            if count >= step and (number != errno.ENOSPC or name != "unlink"):
                raise OSError(number, os.strerror(number))

        error = error_of(home, fail)
        if error is None:
            break
        assert error.code == FAULTS[number], f"step {step}"
        failed_at = step
        assert is_whole(cache_in(home).get(KEY, Builder(b"new", 4)), b"new", 4)
        assert is_whole(cache_in(home).get(OTHER, Builder()), b"other", 4)
    assert failed_at >= 10


def test_files_are_flushed_before_they_count(tmp_path: Path) -> None:
    flushed: set[int] = set()
    renamed = []

    def watch(_: int, name: str, args: tuple[Any, ...]) -> None:
        if name == "fsync":
            flushed.add(os.fstat(args[0]).st_ino)
        elif name == "replace":
            renamed.append(Path(args[1]).suffix)
            assert Path(args[0]).stat().st_ino in flushed

    with watched_steps(watch):
        cache_in(tmp_path).get(KEY, Builder())
    assert renamed == [".gguf", ".json"]


def test_the_record_says_where_the_matrix_comes_from(tmp_path: Path) -> None:
    kept = cache_in(tmp_path).get(KEY, Builder())
    assert kept is not None
    record = json.loads(kept.path.with_suffix(".json").read_text(encoding="utf-8"))
    assert record == {
        "path": f"{KEY.digest}.gguf",
        "sha256": kept.sha256,
        "base_sha256": KEY.base_sha256,
        "corpus_sha256": KEY.corpus_sha256,
        "chunks": 256,
        "chunk_size": 512,
        "collector": 1,
        "chunks_read": 5,
        "built_at": A_MOMENT.isoformat(),
    }


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 60_000,
        b'{"sha256": 1, "chunks_read": 5}',
        b'{"sha256": "x", "chunks_read": 5}',
        b'{"sha256": "SHA", "chunks_read": true}',
        b'{"sha256": "SHA", "chunks_read": "5"}',
        b'{"sha256": "SHA", "chunks_read": 1}',
        b'{"sha256": "SHA", "chunks_read": -5}',
        b'{"sha256": "SHA"}',
        b'{"sha256": "SHA", "chunks_read": 5, "sha256": "SHA"}',
        b'{"sha256": "SHA", "chunks_read": 5}' + b" " * 70_000,
    ],
)
def test_a_record_that_is_none_is_a_miss(tmp_path: Path, record: bytes) -> None:
    kept = cache_in(tmp_path).get(KEY, Builder())
    assert kept is not None
    kept.path.with_suffix(".json").write_bytes(record.replace(b"SHA", kept.sha256.encode()))
    if record.endswith(b" "):
        assert is_whole(cache_in(tmp_path).get(KEY, Builder(b"anew")))  # blanks behind it do no harm
        return
    builder = Builder(b"anew")
    for _ in range(2):
        assert is_whole(cache_in(tmp_path).get(KEY, builder), b"anew")
    assert builder.built == 1


def test_of_two_processes_one_builds(tmp_path: Path) -> None:
    script = (
        "import os, sys, time; from pathlib import Path; from importance_scenarios import *\n"
        "home = Path(sys.argv[1])\n"
        "def slowly(into):\n"
        "    (home / f'built-{os.getpid()}').touch(); time.sleep(0.5); into.write_bytes(b'one'); return 2\n"
        "print(cache_in(home).get(KEY, slowly).sha256)\n"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)])}
    both = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environ)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert said[0] == said[1] != ""
    assert len(list(tmp_path.glob("built-*"))) == 1


def test_temporary_files_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    cache_in(tmp_path).get(OTHER, Builder())
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    folder = tmp_path / "cache" / "imatrix"
    dead = folder / f"{KEY.digest}.gguf.tmp.{ended.pid}.0123abcd.tmp.{ended.pid}.0123abcd"
    alive = folder / f"{KEY.digest}.gguf.tmp.{os.getpid()}.0123abcd"
    for path in (dead, alive):
        path.touch()
    cache_in(tmp_path).get(KEY, Builder())
    assert (dead.exists(), alive.exists()) == (False, True)


def test_what_no_export_used_for_long_goes_with_the_next_build(tmp_path: Path) -> None:
    clock = FixedClock()
    cache = FileImportanceCache(tmp_path / "cache" / "imatrix", clock)

    def wait(time: timedelta) -> None:
        clock.advance(time.total_seconds())

    used, unused, fresh = key_of("used"), key_of("unused"), key_of("fresh")
    for key in (used, unused):
        cache.get(key, Builder())
        cache.get(key, Builder())  # its time of use is the clock's from here on
    foreign = tmp_path / "cache" / "imatrix" / "mine.gguf"
    foreign.touch()
    os.utime(foreign, (0, 0))
    wait(KEPT_FOR)
    cache.get(used, Builder())
    wait(timedelta(seconds=1))
    cache.get(fresh, Builder())
    assert names(tmp_path) == whole(used, fresh) | {"mine.gguf"}


def test_a_disk_without_locks_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert is_whole(cache_in(tmp_path).get(KEY, Builder()))


def test_a_matrix_is_found_in_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    kept = cache_in(tmp_path).get(KEY, build(b"mine"))

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with watched_steps(refuse):
        assert cache_in(tmp_path).get(KEY, Builder()) == kept


def test_a_file_where_the_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError) as caught:
        cache_in(tmp_path / "file").get(KEY, Builder())
    assert caught.value.code == "store.io"
