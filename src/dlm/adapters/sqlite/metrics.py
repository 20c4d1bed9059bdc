"""The metrics database: one run written, all runs read."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from dlm.adapters.sqlite.faults import unwritable
from dlm.adapters.sqlite.files import move_aside, open_for_writing, reading
from dlm.adapters.sqlite.reader import Reader
from dlm.adapters.sqlite.recording import RunRecord
from dlm.adapters.sqlite.rows import export_row
from dlm.domain.errors import MetricsError
from dlm.domain.events import Emit
from dlm.domain.metrics import (
    EvalMetrics,
    ExportMetrics,
    RunFilter,
    RunHistory,
    RunMetrics,
    StepMetrics,
    TokenizationMetrics,
)
from dlm.domain.store_layout import METRICS
from dlm.ports.clock import Clock
from dlm.ports.metrics import ObservedRun

T = TypeVar("T")


class SqliteMetrics:
    """``metrics.sqlite`` in each store.

    Args:
        locate: gives the folder of a document's store.
    """

    name = "metrics"

    def __init__(self, locate: Callable[[str], Path], clock: Clock) -> None:
        self._locate = locate
        self._clock = clock

    @contextmanager
    def observe(self, run: ObservedRun, warn: Callable[[str], None]) -> Iterator[Emit]:
        """Reserve the run's row, take its events, and write how it ended, whatever happens in between.

        A damaged database is moved aside, with a warning, and begun anew; with ``run.strict`` it is an error.
        """
        path = run.store / METRICS
        record = RunRecord(_opened(path, run, warn), path, run, self._clock, warn)
        try:
            record.begin()
            yield record.emit
        except BaseException as exc:
            record.end(exc)
            raise
        record.end(None)

    def runs(self, dlm_id: str, which: RunFilter) -> tuple[RunMetrics, ...]:
        """Give the chosen runs, newest first."""
        return self._read(dlm_id, lambda reader: reader.runs(which), ())

    def history(self, dlm_id: str, run_id: int) -> RunHistory | None:
        """Give everything about one run."""
        return self._read(dlm_id, lambda reader: _history(reader, run_id), None)

    def steps(self, dlm_id: str, run_id: int, *, after: int = -1) -> tuple[StepMetrics, ...]:
        """Give the steps above ``after``."""
        return self._read(dlm_id, lambda reader: reader.steps(run_id, after), ())

    def evals(self, dlm_id: str, run_id: int, *, after: int = -1) -> tuple[EvalMetrics, ...]:
        """Give the evaluations above step ``after``."""
        return self._read(dlm_id, lambda reader: reader.evals(run_id, after), ())

    def tokenization(self, dlm_id: str, run_id: int) -> TokenizationMetrics | None:
        """Give how a run got its tokens."""
        return self._read(dlm_id, lambda reader: reader.tokenization(run_id), None)

    def exam(self, dlm_id: str, run_id: int) -> Mapping[str, Any] | None:
        """Give the record of a run's exam."""
        return self._read(dlm_id, lambda reader: reader.exam(run_id), None)

    def add_export(self, dlm_id: str, export: ExportMetrics) -> None:
        """Keep the figures of an export."""
        path = self._locate(dlm_id) / METRICS
        row = export_row(export)
        try:
            with closing(open_for_writing(path)) as connection:
                connection.execute(row.sql, row.values)
        except (sqlite3.Error, OSError) as exc:
            raise unwritable(path, exc) from exc

    def backup(self, dlm_id: str, into: Path) -> None:
        """Copy the database as it stands at one moment."""
        with reading(self._locate(dlm_id) / METRICS) as connection:
            if connection is None:
                return
            try:
                connection.rollback()  # the copy takes a snapshot of its own
                with closing(sqlite3.connect(into)) as copy:
                    connection.backup(copy)
                    copy.execute("PRAGMA journal_mode = DELETE")
            except (sqlite3.Error, OSError) as exc:
                raise unwritable(into, exc) from exc

    def exports(self, dlm_id: str) -> tuple[ExportMetrics, ...]:
        """Give all exports, newest first."""
        return self._read(dlm_id, lambda reader: reader.exports(), ())

    def _read(self, dlm_id: str, ask: Callable[[Reader], T], empty: T) -> T:
        path = self._locate(dlm_id) / METRICS
        try:
            return _asked(path, ask, empty)
        except MetricsError as exc:
            # A writer that began while we looked changes the file under a reader that knew of none.
            if exc.code != "metrics.corrupt" or not path.with_name(f"{METRICS}-wal").exists():
                raise
            return _asked(path, ask, empty)


def _asked(path: Path, ask: Callable[[Reader], T], empty: T) -> T:
    with reading(path) as connection:
        return empty if connection is None else ask(Reader(connection))


def _history(reader: Reader, run_id: int) -> RunHistory | None:
    found = reader.runs(RunFilter(run_id=run_id))
    if not found:
        return None
    return RunHistory(
        run=found[0],
        steps=reader.steps(run_id, -1),
        evals=reader.evals(run_id, -1),
        tokenization=reader.tokenization(run_id),
        exam=reader.exam(run_id),
        preference_mining=reader.mining(run_id),
    )


def _opened(path: Path, run: ObservedRun, warn: Callable[[str], None]) -> sqlite3.Connection:
    try:
        try:
            return open_for_writing(path)
        except MetricsError as exc:
            if exc.code != "metrics.corrupt" or run.strict:
                raise
            aside = move_aside(path)
            warn(f"the metrics of earlier runs cannot be read and were moved to {aside.name}; a new file is begun")
            return open_for_writing(path)
    except (sqlite3.Error, OSError) as exc:
        raise unwritable(path, exc) from exc
