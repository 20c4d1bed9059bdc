"""Ctrl-C with manners: the first asks for a stop, the second insists."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_on_signals(announce: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and a polite kill into a question the work can ask.

    Gives a function that is True once a stop was asked for. The second signal raises ``KeyboardInterrupt`` wherever
    the program is. The handlers that were in place before come back at the end. Outside the main thread Python
    delivers no signals; there nothing is changed and the answer stays False.

    Args:
        announce: called inside the signal handler at the first signal; must be safe there (no buffered printing).
    """
    asked = False  # not an Event: its lock could be held by the very code a signal interrupts

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        announce()

    def is_asked() -> bool:
        return asked

    if threading.current_thread() is not threading.main_thread():
        yield is_asked
        return
    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield is_asked
    finally:
        for number, handler in before.items():
            # None: installed by code outside Python; the default is the closest that can be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
