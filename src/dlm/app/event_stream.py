"""A long call as an iterator of its events."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

from dlm.domain.events import Emit, Event


def events_of(call: Callable[[Emit, Callable[[], bool]], Any]) -> Iterator[Event]:
    """Run ``call(emit, stop)`` in a thread and yield what it emits; its error is raised when the events are through.

    Closing the iterator turns ``stop`` true and waits for the call to end.
    """
    events: queue.Queue[Event | None] = queue.Queue()
    stopping = threading.Event()
    failure: list[BaseException] = []

    def work() -> None:
        try:
            call(events.put, stopping.is_set)
        except BaseException as exc:  # noqa: BLE001  # it is raised again in the caller's thread
            failure.append(exc)
        finally:
            events.put(None)

    worker = threading.Thread(target=work, name="dlm-run")
    worker.start()
    try:
        while (event := events.get()) is not None:
            yield event
    finally:
        stopping.set()
        worker.join()
    if failure:
        raise failure[0]
