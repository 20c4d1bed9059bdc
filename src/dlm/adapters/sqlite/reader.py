"""Rows as values. Columns may be missing or hold anything: other programs write the same file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_args

from dlm.adapters.sqlite.rows import moment, moment_or_none, number, text, whole
from dlm.domain.metrics import (
    EvalMetrics,
    ExportMetrics,
    MetricStatus,
    MiningMetrics,
    RunFilter,
    RunMetrics,
    RunPhase,
    StepMetrics,
    TokenizationMetrics,
)

Row = Mapping[str, Any]


class Reader:
    """Reads one open database."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        self._tables = {row[0] for row in names}

    def runs(self, which: RunFilter) -> tuple[RunMetrics, ...]:
        """Give the chosen runs, newest first."""
        chosen: list[RunMetrics] = []
        for run in self._all_runs(which.run_id):
            if which.limit is not None and len(chosen) >= which.limit:
                break
            if which.phase not in (None, run.phase) or (which.since is not None and run.started_at < which.since):
                continue
            chosen.append(run)
        return tuple(chosen)

    def _all_runs(self, run_id: int | None) -> Iterator[RunMetrics]:
        if "runs" not in self._tables:
            return
        joined = "LEFT JOIN run_details USING (run_id) " if "run_details" in self._tables else ""
        one = "" if run_id is None else "WHERE run_id = ? "
        sql = f"SELECT * FROM runs {joined}{one}ORDER BY run_id DESC"  # noqa: S608 - parts are constants
        for row in self._connection.execute(sql, () if run_id is None else (run_id,)):
            if isinstance(row["run_id"], int):
                yield _run({name: row[name] for name in row.keys()})  # noqa: SIM118 - a Row iterates over its values

    def steps(self, run_id: int, after: int) -> tuple[StepMetrics, ...]:
        """Give the steps above ``after``."""
        return tuple(
            StepMetrics(
                step=step,
                loss=number(loss),
                lr=number(lr),
                grad_norm=number(grad_norm),
                tokens_per_sec=number(tokens_per_sec),
                peak_vram_mb=whole(peak_vram_mb),
                at=moment(at),
            )
            for step, loss, lr, grad_norm, tokens_per_sec, peak_vram_mb, at in self._of_run(
                "steps", ("step", "loss", "lr", "grad_norm", "tokens_per_sec", "peak_vram_mb", "at"), run_id, after
            )
        )

    def evals(self, run_id: int, after: int) -> tuple[EvalMetrics, ...]:
        """Give the evaluations above step ``after``."""
        return tuple(
            EvalMetrics(
                step=step,
                val_loss=number(val_loss),
                perplexity=number(perplexity),
                retention=number(retention),
                at=moment(at),
            )
            for step, val_loss, perplexity, retention, at in self._of_run(
                "evals", ("step", "val_loss", "perplexity", "retention", "at"), run_id, after
            )
        )

    def tokenization(self, run_id: int) -> TokenizationMetrics | None:
        """Give how the run got its tokens."""
        for row in self._rows("tokenization", "WHERE run_id = ?", (run_id,)):
            return TokenizationMetrics(
                total_sections=whole(row.get("total_sections")) or 0,
                cache_hits=whole(row.get("cache_hits")) or 0,
                cache_misses=whole(row.get("cache_misses")) or 0,
                total_tokenize_seconds=number(row.get("total_tokenize_seconds")) or 0.0,
                cache_bytes_after=whole(row.get("cache_bytes_after")) or 0,
                at=moment(row.get("at")),
            )
        return None

    def exam(self, run_id: int) -> Mapping[str, Any] | None:
        """Give the record of the exam; None when it cannot be read."""
        for row in self._rows("exams", "WHERE run_id = ?", (run_id,)):
            try:
                record = json.loads(text(row.get("record")) or "null")
            except (ValueError, RecursionError):
                return None
            return record if isinstance(record, dict) else None
        return None

    def mining(self, run_id: int) -> tuple[MiningMetrics, ...]:
        """Give the searches for preference pairs after a run, in order."""
        return tuple(
            MiningMetrics(
                judge_name=text(row.get("judge_name")) or "",
                sample_count=whole(row.get("sample_count")) or 0,
                mined_pairs=whole(row.get("mined_pairs")) or 0,
                skipped_prompts=whole(row.get("skipped_prompts")) or 0,
                write_mode=text(row.get("write_mode")) or "",
                at=moment(row.get("at")),
            )
            for row in self._rows("preference_mining", "WHERE run_id = ? ORDER BY event_id", (run_id,))
        )

    def exports(self) -> tuple[ExportMetrics, ...]:
        """Give all exports, newest first."""
        found = [
            ExportMetrics(
                exported_at=moment(row.get("exported_at")),
                quant=text(row.get("quant")),
                merged=bool(whole(row.get("merged"))),
                ollama_name=text(row.get("ollama_name")),
                size_bytes=whole(row.get("size_bytes")),
                duration_s=number(row.get("duration_s")),
            )
            for row in self._rows("exports", "", ())
        ]
        return tuple(sorted(found, key=lambda export: export.exported_at, reverse=True))

    def _of_run(self, table: str, names: Sequence[str], run_id: int, after: int) -> Iterator[tuple[Any, ...]]:
        """Give columns of a table with many rows, the step first; a column that is not there is empty."""
        if table not in self._tables:
            return iter(())
        there = {row[1] for row in self._connection.execute(f"PRAGMA table_info({table})")}
        wanted = ", ".join(name if name in there or name == "step" else "NULL" for name in names)
        sql = f"SELECT {wanted} FROM {table} WHERE run_id = ? AND step > ? ORDER BY step"  # noqa: S608 - constants
        cursor = self._connection.cursor()
        cursor.row_factory = None
        return (row for row in cursor.execute(sql, (run_id, after)) if isinstance(row[0], int))

    def _rows(self, table: str, where: str, values: tuple[int, ...]) -> Iterator[Row]:
        if table not in self._tables:
            return
        cursor = self._connection.execute(f"SELECT * FROM {table} {where}", values)  # noqa: S608 - parts are constants
        names = [column[0] for column in cursor.description]
        cursor.row_factory = None
        for row in cursor:
            yield dict(zip(names, row, strict=True))


def _run(row: Row) -> RunMetrics:
    phase, status = row.get("phase"), row.get("status")
    return RunMetrics(
        run_id=row["run_id"],
        started_at=moment(row.get("started_at")),
        ended_at=moment_or_none(row.get("ended_at")),
        phase=phase if phase in get_args(RunPhase) else None,
        status=status if status in get_args(MetricStatus) else None,
        **_columns(row),
    )


def _columns(row: Row) -> dict[str, Any]:
    return {name: read(row.get(name)) for names, read in _READ.items() for name in names}


_READ: Mapping[tuple[str, ...], Callable[[object], object]] = {
    ("adapter_version", "seed", "steps", "tokens", "peak_memory_mb", "new", "unchanged", "removed"): whole,
    ("seconds", "anchor_seconds", "final_train_loss", "final_val_loss"): number,
    ("adapter_name", "stopped", "message"): text,
}
