"""The writer lock: who may hold it, who may break it, and what people are told."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dlm.adapters.filesystem import FileStore
from dlm.adapters.filesystem.processes import UNKNOWN_START, is_running, start_of
from dlm.adapters.filesystem.writer_lock import Holder, _break, _look
from dlm.domain.errors import StoreError
from dlm.testing.clocks import A_MOMENT, FixedClock
from dlm.testing.store_contract import ID, a_manifest

HERE = socket.gethostname()


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    made = FileStore(tmp_path / "home", FixedClock())
    with made.writer(ID):
        pass
    return made


def leave(store: FileStore, content: str | bytes, *, age_s: float = 60) -> Path:
    """Put a lock file there as somebody else would have left it."""
    path = store.location(ID) / ".lock"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    os.utime(path, (time.time() - age_s, time.time() - age_s))
    return path


def refusal(store: FileStore, *, break_stale: bool = False, wait_s: float = 0.0) -> StoreError:
    with pytest.raises(StoreError) as caught, store.writer(ID, break_stale=break_stale, wait_s=wait_s):
        pass
    return caught.value


def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.fixture
def living() -> subprocess.Popen[bytes]:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield child  # type: ignore[misc]  # a generator fixture
    child.communicate(b"\n")


def test_the_file_says_who_holds_it_and_goes_on_release(store: FileStore) -> None:
    path = store.location(ID) / ".lock"
    with store.writer(ID):
        lines = path.read_text().splitlines()
    assert lines == [str(os.getpid()), HERE, f"{A_MOMENT.timestamp():.6f}", start_of(os.getpid())]
    assert not path.exists()


def test_a_live_holder_is_named_and_never_broken(store: FileStore, living: subprocess.Popen[bytes]) -> None:
    path = leave(store, f"{living.pid}\n{HERE}\n{time.time()}\n{start_of(living.pid)}\n")
    for break_stale in (False, True):
        error = refusal(store, break_stale=break_stale)
        assert error.code == "store.locked"
        assert f"process {living.pid} on {HERE} since 20" in error.message
        assert f"kill {living.pid}" in (error.hint or "")
    assert path.exists()


def test_holding_it_twice_in_one_process_is_said_so(store: FileStore) -> None:
    with store.writer(ID):
        assert "this very process" in refusal(store).message


def test_three_line_files_of_older_tools_are_understood(store: FileStore, living: subprocess.Popen[bytes]) -> None:
    leave(store, f"{living.pid}\n{HERE}\n{time.time()}\n")
    assert refusal(store).code == "store.locked"
    leave(store, f"{dead_pid()}\n{HERE}\n{time.time()}\n")
    assert refusal(store).code == "store.lock-stale"


@pytest.mark.parametrize("lines", [3, 4])
def test_a_reused_pid_is_not_the_holder(store: FileStore, living: subprocess.Popen[bytes], lines: int) -> None:
    # Today's process with this number was born long after the lock was taken (3 lines) or has another token (4).
    since = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
    token = "" if lines == 3 else "boot-of-2020/77\n"
    leave(store, f"{living.pid}\n{HERE}\n{since}\n{token}")
    assert refusal(store).code == "store.lock-stale"


def test_a_dead_holder_needs_the_flag(store: FileStore) -> None:
    pid = dead_pid()
    path = leave(store, f"{pid}\n{HERE}\n1700000000.0\nboot/1\n")
    error = refusal(store, wait_s=5)
    assert error.code == "store.lock-stale"
    assert f"process {pid} on {HERE} since 2023-11-14" in error.message
    assert "--break-lock" in (error.hint or "")
    assert path.exists()
    with store.writer(ID, break_stale=True) as writer:
        writer.save_manifest(a_manifest())
    assert not path.exists()


def test_a_zombie_counts_as_dead(store: FileStore) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.read()  # at end of file the process is over; nobody has waited for it yet
    deadline = time.monotonic() + 10
    while start_of(child.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert start_of(child.pid) is None
    child.wait()
    child.stdout.close()


def test_another_host_cannot_be_judged_from_here(store: FileStore) -> None:
    path = leave(store, f"{dead_pid()}\nelsewhere.example\n1700000000.0\n")
    error = refusal(store)
    assert error.code == "store.locked"
    assert "elsewhere.example" in error.message
    assert "cannot be seen from here" in error.message
    assert "--break-lock" in (error.hint or "")
    with store.writer(ID, break_stale=True):
        assert HERE in path.read_text()


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\n\n\n",
        b"not a pid\nhost\n1.0\n",
        b"-1\nhost\n1.0\n",
        b"0\nhost\n1.0\n",
        b"12345678901\nhost\n1.0\n",
        b"1\n\n1.0\n",
        b"1\nhost\nnan\n",
        b"1\nhost\n1e300\n",
        b"1\nhost\n1.0\ntoken\nfive\n",
        b"\xff\xfe\x00",
        b"x" * 100_000,
    ],
)
def test_garbage_is_stale_once_it_is_old(store: FileStore, garbage: bytes) -> None:
    leave(store, garbage)
    error = refusal(store)
    assert error.code == "store.lock-stale"
    assert "does not say who made it" in error.message
    leave(store, garbage, age_s=0)
    assert refusal(store, break_stale=True).code == "store.locked"  # it may be a lock being written right now
    leave(store, garbage)
    with store.writer(ID, break_stale=True):
        pass


def test_a_lock_that_is_a_folder_is_an_error_of_ours(store: FileStore) -> None:
    (store.location(ID) / ".lock").mkdir()
    assert refusal(store, break_stale=True).code == "store.io"


def test_a_writer_whose_lock_was_broken_writes_nothing_more(store: FileStore) -> None:
    path = store.location(ID) / ".lock"
    with store.writer(ID) as writer:
        theirs = f"{os.getppid()}\n{HERE}\n1700000000.0\n{start_of(os.getppid())}\n"
        path.write_text(theirs)
        for act in (lambda: writer.save_manifest(a_manifest()), writer.drop_checkpoint):
            with pytest.raises(StoreError) as caught:
                act()
            assert caught.value.code == "store.lock-lost"
        with pytest.raises(StoreError), writer.stage_version():
            pass
    assert path.read_text() == theirs
    assert store.manifest(ID) is None


def test_a_file_system_without_hard_links_still_locks(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    with store.writer(ID):
        assert refusal(store).code == "store.locked"
    with store.writer(ID):
        pass
    assert [path.name for path in store.location(ID).glob(".lock*")] == []


def test_a_process_that_hides_its_start_is_taken_as_running() -> None:
    assert is_running(os.getpid(), UNKNOWN_START, time.time())
    assert not is_running(dead_pid(), UNKNOWN_START, time.time())


def test_psutil_agrees_about_who_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlm.adapters.filesystem.processes._LINUX", False)
    mine = start_of(os.getpid())
    assert mine == start_of(os.getpid())
    assert is_running(os.getpid(), mine, time.time())
    assert not is_running(os.getpid(), "1.00", time.time())
    assert start_of(dead_pid()) is None


def test_holders_read_back(store: FileStore) -> None:
    path = store.location(ID) / ".lock"
    with store.writer(ID):
        assert path.read_bytes() == Holder.this_process(A_MOMENT).to_bytes()


def test_breaking_spares_a_lock_that_came_meanwhile(store: FileStore) -> None:
    stale = f"{dead_pid()}\n{HERE}\n1700000000.0\nboot/1\n"
    seen = _look(leave(store, stale))
    assert seen is not None
    assert seen.state == "dead"
    live = leave(store, Holder.this_process(A_MOMENT).to_bytes())
    _break(live, seen)
    assert live.exists()
    same_words = leave(store, stale, age_s=30)  # the same content, yet another file
    _break(same_words, seen)
    assert same_words.exists()


CONTENDER = """
import sys, time
from pathlib import Path
from dlm.adapters.filesystem import FileStore
from dlm.testing.clocks import FixedClock
from dlm.testing.store_contract import ID
store, counter, rounds = FileStore(Path(sys.argv[1]), FixedClock()), Path(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
input()
for _ in range(rounds):
    with store.writer(ID, wait_s=60, break_stale=True):
        seen = int(counter.read_text())
        time.sleep(0.002)
        counter.write_text(str(seen + 1))
"""


def test_processes_that_contend_and_break_never_hold_it_together(store: FileStore, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    leave(store, f"{dead_pid()}\n{HERE}\n1700000000.0\nboot/1\n")
    command = [sys.executable, "-c", CONTENDER, str(store.home), str(counter), "5"]
    children = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(4)]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    for child in children:
        assert child.stdin is not None
        child.stdin.write(b"\n")
        child.stdin.flush()
    for child in children:
        child.communicate(timeout=120)
        assert child.returncode == 0
    assert counter.read_text() == "20"
