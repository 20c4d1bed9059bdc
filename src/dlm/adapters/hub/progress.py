"""The Hub library's progress bars, as events."""

from __future__ import annotations

import io
import threading
import time
from typing import Any

from dlm.domain.events import Emit, Progress

_REPORT_EVERY_S = 0.2
"""Seconds between two events: a bar that moves, without flooding logs."""


class ByteCount:
    """Bytes fetched so far over all bars of one download; safe to use from the download's threads.

    The library counts bytes received and bytes written in separate bars; the one that is ahead is told.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._lock = threading.Lock()
        self._told_at = float("-inf")
        self._done = 0

    def tell(self, done: int, total: int | None) -> None:
        """Note one bar's state and pass it on now and then."""
        with self._lock:
            now = time.monotonic()
            if done <= self._done or now - self._told_at < _REPORT_EVERY_S:
                return
            self._done, self._told_at = done, now
            self._emit(Progress(stage="download", done=done, total=total, unit="B"))


def bar_class(count: ByteCount) -> type[Any]:
    """Give a progress-bar class for the Hub's library that shows nothing and tells ``count`` instead."""
    from tqdm.std import tqdm  # type: ignore[import-untyped]  # comes with the Hub's library, without types

    class EventBar(tqdm):  # type: ignore[misc]  # a base class without types
        monitor_interval = 0  # no watching thread: there is nothing to redraw

        def __init__(self, *args: Any, **options: Any) -> None:
            options.pop("name", None)  # only the library's own class knows it
            options.update(file=io.StringIO(), disable=False, leave=False)
            super().__init__(*args, **options)

        def display(self, *args: Any, **options: Any) -> bool:
            return True

        def update(self, n: float | None = 1) -> bool | None:
            result: bool | None = super().update(n)
            if self.unit == "B":
                count.tell(int(self.n), int(self.total) if self.total else None)
            return result

    return EventBar
