"""Writing rows in a thread of its own, many to a transaction, so that training never waits for the disk."""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import ParamSpec, TypeVar

from dlm.adapters.sqlite.faults import unwritable
from dlm.adapters.sqlite.rows import Statement, statement
from dlm.domain.errors import MetricsError
from dlm.domain.events import Event

BATCH_EVENTS = 64
BATCH_S = 1.0
"""A transaction holds this many events or the events of this time, whichever is reached first. What a killed process
loses is at most this much."""

_Item = tuple[Event, datetime]

P = ParamSpec("P")
T = TypeVar("T")


class BatchWriter:
    """Takes events in one thread and writes them in another.

    Failures are kept for the thread that feeds it: :meth:`trouble` gives them there, one for each stream.

    Args:
        connection: used by the writing thread alone until :meth:`close` returns.
    """

    def __init__(self, connection: sqlite3.Connection, run_id: int, path: Path) -> None:
        self._connection = connection
        self._run_id = run_id
        self._path = path
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._trouble: queue.SimpleQueue[MetricsError] = queue.SimpleQueue()
        self._told: set[str] = set()
        self.transactions = 0
        self._thread = threading.Thread(target=self._work, name="dlm-metrics", daemon=True)
        self._thread.start()

    def put(self, event: Event, moment: datetime) -> None:
        """Hand over an event; returns at once."""
        self._queue.put((event, moment))

    def trouble(self) -> list[MetricsError]:
        """Give the failures that were not given yet."""
        found: list[MetricsError] = []
        while not self._trouble.empty():
            found.append(self._trouble.get())
        return found

    def close(self) -> None:
        """Write what is waiting and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        is_open = True
        while is_open:
            batch, is_open = self._gather()
            if batch:
                self._write(batch)

    def _gather(self) -> tuple[list[_Item], bool]:
        """Wait for a first event, then for more until the batch is full, its time is up or the end has come."""
        first = self._queue.get()
        if first is None:
            return [], False
        batch, deadline = [first], time.monotonic() + BATCH_S
        while len(batch) < BATCH_EVENTS:
            try:
                item = self._queue.get(timeout=max(deadline - time.monotonic(), 0.0))
            except queue.Empty:
                break
            if item is None:
                return batch, False
            batch.append(item)
        return batch, True

    def _write(self, batch: list[_Item]) -> None:
        statements = [made for event, moment in batch if (made := self._statement(event, moment)) is not None]
        streams = {made.stream for made in statements}
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for made in statements:
                self._guarded(made.stream, self._connection.execute, made.sql, made.values)
            self._connection.execute("COMMIT")
            self.transactions += 1
        except sqlite3.Error as exc:
            self._undo()
            for stream in sorted(streams):
                self._tell(stream, exc)

    def _statement(self, event: Event, moment: datetime) -> Statement | None:
        return self._guarded(type(event).__name__, statement, self._run_id, event, moment)

    def _guarded(self, stream: str, step: Callable[P, T], *args: P.args, **named: P.kwargs) -> T | None:
        """One row that cannot be made or written does not take the others of its batch with it."""
        try:
            return step(*args, **named)
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is told to the run, and training goes on
            self._tell(stream, exc)
            return None

    def _undo(self) -> None:
        if self._connection.in_transaction:
            try:
                self._connection.rollback()
            except sqlite3.Error as exc:
                self._tell("rollback", exc)

    def _tell(self, stream: str, exc: Exception) -> None:
        if stream not in self._told:
            self._told.add(stream)
            error = unwritable(self._path, exc)
            error.message = f"{stream}: {error.message}"
            self._trouble.put(error)
