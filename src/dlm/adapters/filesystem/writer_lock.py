"""One writer per store: a file that is created exclusively and says who holds it.

The content is four lines: pid, host name, time of taking as decimal epoch seconds, start token of the process (so that
a reused pid is not mistaken for the holder). Files with the first three lines only are understood.

The file appears whole: it is written aside and linked into place, so nobody ever reads half a lock. A lock whose holder
is gone is never taken over silently; ``break_stale`` removes it, under a kernel lock that dies with its process, so two
processes that break at once cannot remove each other's new lock.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal

import attrs

from dlm.adapters.filesystem.faults import reading, writing
from dlm.adapters.filesystem.processes import is_running, start_of
from dlm.domain.errors import StoreError
from dlm.domain.store_layout import WRITER_LOCK
from dlm.ports.clock import Clock

_POLL_S = 0.1
_BEING_WRITTEN_S = 2.0
"""A file younger than this with no readable content may be a lock on its way (file systems without hard links)."""
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}

State = Literal["held", "elsewhere", "dead", "garbage"]


@attrs.frozen(kw_only=True)
class Holder:
    """Who holds a lock. ``since`` is in epoch seconds; ``started`` is None in three-line files."""

    pid: int
    host: str
    since: float
    started: str | None

    @classmethod
    def this_process(cls, now: datetime) -> Holder:
        """Give the holder that this process is."""
        pid = os.getpid()
        return cls(pid=pid, host=socket.gethostname(), since=now.timestamp(), started=start_of(pid))

    def to_bytes(self) -> bytes:
        """Give the file's content."""
        return f"{self.pid}\n{self.host}\n{self.since:.6f}\n{self.started or ''}\n".encode()

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since, UTC).isoformat(sep=" ", timespec="seconds")
        return f"process {self.pid} on {self.host} since {since}"


@attrs.frozen(kw_only=True)
class Seen:
    """A lock file as it was found; ``identity`` tells this very file from a later one with the same content."""

    content: bytes
    identity: tuple[int, int]
    state: State
    holder: Holder | None


class HeldLock:
    """A lock that this process took."""

    def __init__(self, path: Path, content: bytes) -> None:
        self._path = path
        self._content = content

    def check(self) -> None:
        """Make sure that nobody broke the lock meanwhile.

        Raises:
            StoreError: another process took the store over; writing on would mix two runs.
        """
        with reading(self._path):
            try:
                ours = self._path.read_bytes() == self._content
            except FileNotFoundError:
                ours = False
        if not ours:
            raise StoreError(
                "store.lock-lost",
                f"another process broke the lock {self._path} while this one was working",
                hint="Wait for the other process to finish, then run this again.",
            )

    def release(self) -> None:
        """Remove the file, if it is still ours."""
        with writing(self._path), suppress(FileNotFoundError):
            if self._path.read_bytes() == self._content:
                self._path.unlink()


def acquire(folder: Path, *, clock: Clock, wait_s: float, break_stale: bool) -> HeldLock:
    """Take the writer lock of the store at ``folder``, an existing folder.

    Raises:
        StoreError: ``store.locked`` after ``wait_s`` seconds, ``store.lock-stale`` at once.
        DiskError: the lock file cannot be written.
    """
    path = folder / WRITER_LOCK
    deadline = time.monotonic() + wait_s
    content = Holder.this_process(clock.now()).to_bytes()
    with writing(path):
        while not _create(path, content):
            _make_way(path, deadline, break_stale=break_stale)
    return HeldLock(path, content)


def _make_way(path: Path, deadline: float, *, break_stale: bool) -> None:
    """Break the lock, or wait a moment, or raise."""
    seen = _look(path)
    if seen is None:
        return
    if break_stale and seen.state != "held":
        _break(path, seen)
    elif seen.state in ("dead", "garbage"):
        raise _stale(path, seen)
    elif time.monotonic() >= deadline:
        raise _locked(path, seen)
    else:
        time.sleep(_POLL_S)


def _create(path: Path, content: bytes) -> bool:
    """Create the lock file, whole, unless there is one."""
    aside = path.with_name(f"{path.name}.tmp.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        aside.write_bytes(content)
        os.link(aside, path)
    except FileExistsError:
        return False
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        return _create_without_link(path, content)
    finally:
        # Once the link is there the lock is ours: a name that stays behind must not undo that; it is swept later.
        with suppress(OSError):
            aside.unlink()
    return True


def _create_without_link(path: Path, content: bytes) -> bool:
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        return False
    return True


def _look(path: Path) -> Seen | None:
    try:
        with path.open("rb") as file:
            content = file.read(4096)
            status = os.fstat(file.fileno())
    except FileNotFoundError:
        return None
    holder = _parse(content)
    state: State = "garbage"
    if holder is not None:
        state = _state_of(holder)
    elif abs(time.time() - status.st_mtime) < _BEING_WRITTEN_S:
        state = "held"
    return Seen(content=content, identity=(status.st_ino, status.st_mtime_ns), state=state, holder=holder)


def _parse(content: bytes) -> Holder | None:
    lines = content.decode(errors="replace").splitlines()
    if len(lines) not in (3, 4) or not re.fullmatch(r"[1-9][0-9]{0,9}", lines[0]) or not lines[1].strip():
        return None
    try:
        since = float(lines[2])
        datetime.fromtimestamp(since, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return Holder(pid=int(lines[0]), host=lines[1], since=since, started=(lines[3:] or [""])[0] or None)


def _state_of(holder: Holder) -> State:
    if holder.host != socket.gethostname():
        return "elsewhere"
    return "held" if is_running(holder.pid, holder.started, holder.since) else "dead"


def _break(path: Path, seen: Seen) -> None:
    with _only_breaker(path.with_name(path.name + ".break")):
        again = _look(path)
        if again is not None and (again.content, again.identity) == (seen.content, seen.identity):
            path.unlink(missing_ok=True)


@contextmanager
def _only_breaker(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        _lock_in_kernel(file)
        yield


def _lock_in_kernel(file: IO[bytes]) -> None:
    """Wait for the kernel's exclusive lock on an open file; it ends with the file or the process."""
    if sys.platform == "win32":
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)


def _locked(path: Path, seen: Seen) -> StoreError:
    if seen.holder is None:
        message, hint = f"another process is just taking the lock {path}", "Try again in a moment."
    elif seen.state == "elsewhere":
        message = f"the store is in use by {seen.holder} ({path}); whether it still runs cannot be seen from here"
        hint = "Wait for it. If you know that it has ended, run this again with --break-lock."
    else:
        own = " (this very process)" if seen.holder.pid == os.getpid() else ""
        message = f"the store is in use by {seen.holder}{own} ({path})"
        hint = f"Wait for it to finish, or stop it (Ctrl-C in its window, or: kill {seen.holder.pid})."
    return StoreError("store.locked", message, hint=hint)


def _stale(path: Path, seen: Seen) -> StoreError:
    left_by = f"was left by {seen.holder}, which no longer runs" if seen.holder else "does not say who made it"
    return StoreError(
        "store.lock-stale",
        f"the lock {path} {left_by}",
        hint="Nothing is lost. Run this again with --break-lock to remove the lock and go on.",
    )
