"""A program in a process group of its own, so that all of it can be ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import IO, Any

LOOPBACK = "127.0.0.1"
GRACE_S = 5.0
"""Time a program has to end when it is asked to, before it is killed."""

LOG_LINES = 20
"""Lines of a program's output that an error shows."""

_TAIL_BYTES = 16_384
_POLL_S = 0.02


class ServerProcess:
    """A running program; leaving its ``with`` block ends it and everything it started.

    Its standard input is a pipe that stays open as long as we live. Made by ``start``.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        self._process = process
        self._log = log

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        self._log.close()

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def exit_status(self) -> int | None:
        """Negative for a signal; None while it runs."""
        return self._process.poll()

    def say(self, line: str) -> None:
        """Write a line to its standard input. A program that is gone does not hear it; that shows elsewhere."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()

    def log_tail(self) -> str:
        """Give the last lines of what it printed, both streams together."""
        size = os.fstat(self._log.fileno()).st_size
        self._log.seek(max(0, size - _TAIL_BYTES))
        lines = self._log.read(_TAIL_BYTES).decode("utf-8", "replace").splitlines()
        return "\n".join(line.rstrip() for line in lines[-LOG_LINES:] if line.strip())

    def end(self) -> None:
        """End it: ask first, kill what is left after ``GRACE_S`` seconds."""
        for force in (False, True):
            _signal_group(self._process, force=force)
            if self._is_gone_within(GRACE_S):
                break
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def _is_gone_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self.has_ended or _members(self._process.pid):
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True


def start(argv: Sequence[str], environ: Mapping[str, str]) -> ServerProcess:
    """Start a program in a group of its own. Raises ``OSError`` when it cannot be started."""
    log = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process; closed with it
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(environ),
            start_new_session=True,  # without effect on Windows, where the family tree is followed instead
        )
    except BaseException:
        log.close()
        raise
    return ServerProcess(process, log)


def free_port() -> int:
    """Give a port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def is_taken(port: int) -> bool:
    """Tell whether somebody listens on a port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0


def _signal_group(process: subprocess.Popen[bytes], *, force: bool) -> None:
    if os.name == "nt":
        for member in _members(process.pid):
            member.kill()
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left, or only somebody dying
        os.killpg(process.pid, signal.SIGKILL if force else signal.SIGTERM)


def _members(leader: int) -> list[Any]:
    """Give the living processes of a group; zombies that nobody collects do not count."""
    import psutil

    if os.name == "nt":
        with contextlib.suppress(psutil.Error):
            return list(psutil.Process(leader).children(recursive=True))
        return []
    return [process for process in psutil.process_iter() if _belongs(process, leader)]


def _belongs(process: Any, leader: int) -> bool:
    import psutil

    try:
        return os.getpgid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, psutil.Error):
        return False
