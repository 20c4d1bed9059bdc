"""Events as statements, and values as columns."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from dlm.domain.events import (
    DeltaFound,
    EvalDone,
    Event,
    ExamFinished,
    RetentionMeasured,
    RunStarted,
    StepDone,
    Tokenized,
)
from dlm.domain.json_record import finite, in_utc
from dlm.domain.metrics import ExportMetrics, exam_score

_EXAM_PARTS = ("own", "reworded", "prose", "kept")


@attrs.frozen
class Statement:
    """One change. ``stream`` is the name under which a failure is told."""

    stream: str
    sql: str
    values: tuple[Any, ...]


def time_text(moment: datetime) -> str:
    """Give ``2026-04-23T18:42:11Z``, with as many decimals as the moment has."""
    return in_utc(moment).isoformat().replace("+00:00", "Z")


def statement(run_id: int, event: Event, moment: datetime) -> Statement | None:
    """Give the change an event makes to the tables of its run; None when it makes none."""
    at = time_text(moment)
    match event:
        case StepDone():
            return _put("steps", run_id, step=event.step, loss=event.loss, lr=event.lr, grad_norm=event.grad_norm,
                        tokens_per_sec=event.tokens_per_s, peak_vram_mb=event.peak_memory_mb, at=at)  # fmt: skip
        case EvalDone():
            return _look(run_id, event.step, at, val_loss=event.val_loss, perplexity=event.perplexity)
        case RetentionMeasured():
            return _look(run_id, event.step, at, retention=event.loss)
        case Tokenized():
            return _put("tokenization", run_id, total_sections=event.total_sections, cache_hits=event.cache_hits,
                        cache_misses=event.cache_misses, total_tokenize_seconds=event.seconds,
                        cache_bytes_after=event.cache_bytes_after, at=at)  # fmt: skip
        case ExamFinished():
            return _put("exams", run_id, **_exam_columns(event.exam))
        case RunStarted():
            return Statement("run", "UPDATE runs SET phase = ?, seed = ? WHERE run_id = ?",
                             (event.phase, _plain(event.seed), run_id))  # fmt: skip
        case DeltaFound():
            counts = {"new": len(event.new), "unchanged": len(event.unchanged), "removed": len(event.removed)}
            return details(run_id, counts)
        case _:
            return None


def details(run_id: int, values: Mapping[str, Any]) -> Statement:
    """Set columns of the run's details and leave the others."""
    return _upsert("run_details", ("run_id",), {"run_id": run_id, **values})


def export_row(export: ExportMetrics) -> Statement:
    """Give the row of an export; exports have no run."""
    values = {**attrs.asdict(export), "exported_at": time_text(export.exported_at), "merged": int(export.merged)}
    return _upsert("exports", ("exported_at",), values)


def _put(table: str, run_id: int, **values: Any) -> Statement:
    """Write a whole row; one that is there already, as after a resumed checkpoint, is replaced."""
    names = ", ".join(("run_id", *values))
    marks = ", ".join("?" * (len(values) + 1))
    sql = f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})"  # noqa: S608 - names are constants
    return Statement(table, sql, (run_id, *map(_plain, values.values())))


def _look(run_id: int, step: int, at: str, **values: float) -> Statement:
    """Evaluation and retention of one step share a row, whichever comes first."""
    return _upsert("evals", ("run_id", "step"), {"run_id": run_id, "step": step, "at": at, **values})


def _upsert(table: str, key: tuple[str, ...], values: Mapping[str, Any]) -> Statement:
    marks = ", ".join("?" * len(values))
    changes = ", ".join(f"{name} = excluded.{name}" for name in values if name not in key)
    sql = (
        f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks}) "  # noqa: S608 - names are constants
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"
    )
    return Statement(table, sql, tuple(map(_plain, values.values())))


def _exam_columns(exam: Mapping[str, Any]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for part in _EXAM_PARTS:
        columns[f"{part}_right"], columns[f"{part}_asked"] = exam_score(exam, part) or (None, None)
    record = json.dumps(finite(exam), ensure_ascii=True, allow_nan=False)
    return columns | {name: exam.get(name) for name in ("leaks", "probes", "drift")} | {"record": record}


def _plain(value: Any) -> Any:
    """Give what SQLite can hold: no ``NaN`` or infinity, no whole number beyond 64 bits."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return None
    # Half a character, which no encoding can write.
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def whole(value: object) -> int | None:
    """Give a whole number out of a column that may hold anything."""
    return value if isinstance(value, int) else None


def number(value: object) -> float | None:
    """Give a finite number out of a column that may hold anything."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def text(value: object) -> str | None:
    """Give text out of a column that may hold anything."""
    return value if isinstance(value, str) else None


def moment_or_none(value: object) -> datetime | None:
    """Give a time out of a column that may hold anything."""
    try:
        return in_utc(datetime.fromisoformat(value if isinstance(value, str) else ""))
    except (ValueError, OverflowError):
        return None


def moment(value: object) -> datetime:
    """Give a time out of a column that may hold anything; the year 1970 shows that it held none."""
    return moment_or_none(value) or datetime(1970, 1, 1, tzinfo=UTC)
