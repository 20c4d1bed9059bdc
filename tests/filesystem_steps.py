"""Something happens before the n-th change of the file system: a record, a fault, a kill."""

from __future__ import annotations

import builtins
import io
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

_CHANGING = ("fsync", "mkdir", "rename", "replace", "link", "unlink", "remove", "rmdir", "chmod")
_OF_WRITERS = frozenset("wxa+")

Before = Callable[[int, str, tuple[Any, ...]], None]
"""Called with the step's number from 1, its name and the call's arguments, before the step is done."""


@contextmanager
def watched_steps(before: Before) -> Iterator[None]:
    """Call ``before`` ahead of each file-system change made in this process through ``os`` and ``open``."""
    count = 0

    def watched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            if name != "open" or _OF_WRITERS & set(str(args[1] if len(args) > 1 else kwargs.get("mode", "r"))):
                count += 1
                before(count, name, args)
            return function(*args, **kwargs)

        return call

    opener = watched("open", io.open)
    with mock.patch.object(io, "open", opener), mock.patch.object(builtins, "open", opener):
        patches = [mock.patch.object(os, name, watched(name, getattr(os, name))) for name in _CHANGING]
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in patches:
                patch.stop()


def at_step(wanted: int, act: Callable[[], None]) -> Before:
    """Act before one step and let all others pass."""

    def before(count: int, _: str, __: tuple[Any, ...]) -> None:
        if count == wanted:
            act()

    return before


def survives_kill_before(step: int, play: Callable[[], None]) -> bool:
    """Play in a child that kills itself before its n-th step; tell whether it came to its end. Needs ``os.fork``.

    Raises:
        SystemExit: it failed by itself.
    """
    child = os.fork()
    if child == 0:
        with watched_steps(at_step(step, lambda: os.kill(os.getpid(), signal.SIGKILL))):
            play()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status) != 0:
        raise SystemExit(f"the child failed by itself at step {step}")
    return not os.WIFSIGNALED(status)
