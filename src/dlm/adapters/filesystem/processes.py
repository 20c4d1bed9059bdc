"""Is the process that wrote this pid still there, or has another one got its number?"""

from __future__ import annotations

import os
import sys
from pathlib import Path

UNKNOWN_START = "?"
"""The process is there and its start cannot be seen from here."""

_LINUX = sys.platform.startswith("linux")
_CLOCK_SLACK_S = 2.0  # start times are counted in ticks and from a boot time rounded to the second


def start_of(pid: int) -> str | None:
    """Give a token that this pid's process keeps for life and no other process with this pid shares; None if none runs.

    On Linux: boot id and start in clock ticks, both untouched by changes of the wall clock. Elsewhere the creation
    time. A process that has ended and was not yet collected by its parent (a zombie) counts as gone.
    """
    return _start_from_proc(pid) if _LINUX else _start_from_psutil(pid)


def is_running(pid: int, started: str | None, since: float) -> bool:
    """Tell whether the process that took a lock at ``since`` (epoch seconds) is still there.

    ``started`` is its token; None when the lock does not say, then a process born after ``since`` is another one.
    """
    now = start_of(pid)
    if now is None:
        return False
    if started is None or UNKNOWN_START in (now, started):
        return not _born_after(pid, since + _CLOCK_SLACK_S)
    return now == started


def _start_from_proc(pid: int) -> str | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        # /proc may hide other users' processes; signal 0 still tells whether one is there.
        return UNKNOWN_START if _answers(pid) else None
    # proc(5): after the command name come the state (field 3) and, 19 further, the start time (field 22).
    return None if fields[0] in "ZX" else f"{boot}/{fields[19]}"


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def _start_from_psutil(pid: int) -> str | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        return UNKNOWN_START


def _born_after(pid: int, moment: float) -> bool:
    import psutil

    try:
        return bool(psutil.Process(pid).create_time() > moment)
    except psutil.Error:
        return False
