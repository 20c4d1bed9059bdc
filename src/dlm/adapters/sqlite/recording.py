"""One run in the database, from its first row to its last."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dlm.adapters.sqlite.faults import unwritable
from dlm.adapters.sqlite.rows import Statement, details, time_text
from dlm.adapters.sqlite.schema import OF_A_RUN
from dlm.adapters.sqlite.writer import BatchWriter
from dlm.domain.errors import Interrupted
from dlm.domain.events import Event, RunFinished, StepDone
from dlm.domain.metrics import MetricStatus
from dlm.ports.clock import Clock
from dlm.ports.metrics import ObservedRun

_STATUS: dict[str, MetricStatus] = {"completed": "ok", "failed": "failed", "cancelled": "cancelled"}

_ABANDONED = "the process ended without telling how"


class RunRecord:
    """Begins, takes events, ends. Start and end are written before the call returns; the rest by another thread."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        run: ObservedRun,
        clock: Clock,
        warn: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._path = path
        self._run = run
        self._clock = clock
        self._warn = warn
        self._writer: BatchWriter | None = None
        self._finished: RunFinished | None = None
        self._last_step: StepDone | None = None

    def begin(self) -> None:
        """Close what dead processes left open, and reserve this run's row.

        Raises:
            MetricsError: it cannot be written.
        """
        run = self._run
        with self._transaction():
            self._connection.execute(_CLOSE_DETAILS, (_ABANDONED,))
            self._connection.execute(_CLOSE_RUNS)
            is_taken = self._connection.execute("SELECT 1 FROM runs WHERE run_id = ?", (run.run_id,)).fetchone()
            for table in (*OF_A_RUN, "runs") if is_taken else ():
                self._connection.execute(f"DELETE FROM {table} WHERE run_id = ?", (run.run_id,))  # noqa: S608
            self._execute(_reservation(run))
            self._execute(details(run.run_id, {"adapter_name": run.adapter_name}))
        self._writer = BatchWriter(self._connection, run.run_id, self._path)
        if is_taken:
            self._warn(f"there was a run {run.run_id} already, of a history that is gone; its figures are replaced")

    def emit(self, event: Event) -> None:
        """Take an event.

        Raises:
            MetricsError: with ``strict``, when an earlier one could not be written.
        """
        assert self._writer is not None
        if isinstance(event, StepDone):
            self._last_step = event
        elif isinstance(event, RunFinished):
            self._finished = event
        self._writer.put(event, self._clock.now())
        self._report()

    def end(self, exc: BaseException | None) -> None:
        """Write what is waiting and how the run ended, and close the database.

        Args:
            exc: what is on its way through; it gets a note when the end cannot be written, and nothing is raised.

        Raises:
            MetricsError: the end cannot be written; with ``strict`` also when anything else could not.
        """
        try:
            try:
                self._finish(exc)
            finally:
                self._report()
        except Exception as second:
            if exc is None:
                raise
            exc.add_note(f"The end of run {self._run.run_id} could not be recorded: {second}")

    def _finish(self, exc: BaseException | None) -> None:
        try:
            if self._writer is not None:
                self._writer.close()
                self._conclude(exc)
        finally:
            self._connection.close()

    def _report(self) -> None:
        """Tell failures of the writing thread here, where the run can hear of them."""
        for error in self._writer.trouble() if self._writer else ():
            if self._run.strict:
                raise error
            self._warn(error.message)

    def _conclude(self, exc: BaseException | None) -> None:
        now = self._clock.now()
        finished = self._finished
        status = _STATUS[finished.status] if finished else _status_of(exc)
        version = finished.adapter_version if finished else None
        values = _results(finished) if finished else self._rest(exc)
        if not finished:
            values["seconds"] = (now - self._run.started_at).total_seconds()
        with self._transaction():
            self._execute(
                Statement(
                    "run",
                    "UPDATE runs SET ended_at = ?, status = ?, adapter_version = ? WHERE run_id = ?",
                    (time_text(now), status, version, self._run.run_id),
                )
            )
            self._execute(details(self._run.run_id, values))

    def _rest(self, exc: BaseException | None) -> dict[str, Any]:
        """What is known of a run that did not tell its end."""
        last = self._last_step
        message = (str(exc) or type(exc).__name__) if exc is not None else "the run ended without telling how"
        return {"steps": last.step if last else 0, "message": message}

    def _execute(self, made: Statement) -> None:
        self._connection.execute(made.sql, made.values)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
        except sqlite3.Error as exc:
            if self._connection.in_transaction:
                self._connection.rollback()
            raise unwritable(self._path, exc) from exc


def _reservation(run: ObservedRun) -> Statement:
    return Statement(
        "run",
        "INSERT INTO runs (run_id, started_at, phase, seed, status) VALUES (?, ?, ?, ?, 'running')",
        (run.run_id, time_text(run.started_at), run.phase, run.seed),
    )


def _status_of(exc: BaseException | None) -> MetricStatus:
    return "cancelled" if isinstance(exc, KeyboardInterrupt | Interrupted) else "failed"


def _results(finished: RunFinished) -> dict[str, Any]:
    return {
        "steps": finished.steps,
        "seconds": finished.elapsed_s,
        "anchor_seconds": finished.anchor_s,
        "tokens": finished.tokens,
        "peak_memory_mb": finished.peak_memory_mb,
        "final_train_loss": finished.final_train_loss,
        "final_val_loss": finished.final_val_loss,
        "stopped": finished.stopped or ("early-stopped" if finished.early_stopped else None),
        "message": finished.message,
    }


_LAST_SIGN = "COALESCE((SELECT MAX(at) FROM steps WHERE steps.run_id = runs.run_id), started_at)"

_CLOSE_RUNS = f"UPDATE runs SET status = 'failed', ended_at = {_LAST_SIGN} WHERE status = 'running'"  # noqa: S608

_CLOSE_DETAILS = (
    "INSERT INTO run_details (run_id, steps, message) SELECT run_id, (SELECT MAX(step) FROM steps "
    "WHERE steps.run_id = runs.run_id), ? FROM runs WHERE status = 'running' "
    "ON CONFLICT (run_id) DO UPDATE SET steps = excluded.steps, message = excluded.message"
)
