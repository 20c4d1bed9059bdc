"""Runs as text, JSON and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs

from dlm.domain.exam import exam_from_json
from dlm.domain.history import score_text
from dlm.domain.json_record import finite, in_utc
from dlm.domain.metrics import EvalMetrics, RunHistory, RunMetrics, StepMetrics
from dlm.domain.sparkline import ASCII, BLOCKS, sparkline

RUN_COLUMNS = ("run_id", "started_at", "ended_at", "adapter_version", "phase", "seed", "status")
_CSV_RUN = ("run_id", "phase", "seed", "status", "started_at", "ended_at")
_CSV_STEP = ("step", "loss", "lr", "grad_norm", "val_loss")


@attrs.frozen(kw_only=True)
class MetricsReport:
    """A document's runs, newest first; or one of them, with everything that was measured.

    Args:
        is_detailed: it is about one run; the others hold no steps and evaluations.
        is_filtered: runs may have been left out for their phase or age.
    """

    path: Path
    runs: tuple[RunHistory, ...]
    is_detailed: bool = False
    is_filtered: bool = False

    def to_json(self) -> dict[str, Any]:
        """Give ``{"runs": [...]}``, each run with the columns of its table; in detail also ``steps`` and ``evals``,
        and beyond these ``details``, ``tokenization``, ``exam`` and ``preference_mining``."""
        record: dict[str, Any] = {"runs": [_record(item.run, RUN_COLUMNS) for item in self.runs]}
        if self.is_detailed:
            record |= _detail(self.runs[0])
        plain: dict[str, Any] = finite(record)
        return plain

    def to_csv(self) -> str:
        """Give the runs, one a line; in detail the steps and evaluations, one line for each step that has any."""
        rows = _joined(self.runs[0]) if self.is_detailed else (_run_cells(item.run) for item in self.runs)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_CSV_STEP if self.is_detailed else _CSV_RUN)
        writer.writerows(rows)
        return text.getvalue()

    def to_text(self, *, blocks: bool = True) -> str:
        """Give lines for a person.

        Args:
            blocks: draw curves with block characters, else with ASCII.
        """
        if self.is_detailed:
            return "\n".join(_detail_lines(self.runs[0], BLOCKS if blocks else ASCII))
        if self.runs:
            return _table([_HEAD, *(_list_cells(item) for item in self.runs)])
        if self.is_filtered:
            return "no run fits; leave out --phase or --since to see all of them"
        return f"no runs yet; train the document first: dlm train {self.path}"


def time_text(moment: datetime | None) -> str | None:
    """Give ``2026-04-23T18:42:11Z``."""
    return in_utc(moment).isoformat().replace("+00:00", "Z") if moment is not None else None


def duration_text(seconds: float | None) -> str:
    """Give ``12s``, ``3m 05s`` or ``2h 10m``; empty when unknown."""
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    return f"{whole // 60}m {whole % 60:02d}s" if whole < 3600 else f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def _record(value: Any, names: Sequence[str]) -> dict[str, Any]:
    cells = ((name, getattr(value, name)) for name in names)
    return {name: time_text(cell) if isinstance(cell, datetime) else cell for name, cell in cells}


def _names(kind: type[Any]) -> list[str]:
    return [field.name for field in attrs.fields(kind)]


def _detail(item: RunHistory) -> dict[str, Any]:
    extra = [name for name in _names(RunMetrics) if name not in RUN_COLUMNS]
    tokens = item.tokenization
    return {
        "steps": [_record(step, _names(StepMetrics)) for step in item.steps],
        "evals": [_record(look, _names(EvalMetrics)) for look in item.evals],
        "details": _record(item.run, extra),
        "tokenization": None if tokens is None else _record(tokens, _names(type(tokens))),
        "exam": None if item.exam is None else dict(item.exam),
        "preference_mining": [_record(event, _names(type(event))) for event in item.preference_mining],
    }


def _run_cells(run: RunMetrics) -> list[Any]:
    return ["" if cell is None else cell for cell in _record(run, _CSV_RUN).values()]


def _joined(item: RunHistory) -> Iterator[list[Any]]:
    """An evaluation may stand at a step of its own, such as before the first one."""
    steps, looks = {step.step: step for step in item.steps}, {look.step: look for look in item.evals}
    for number in sorted(steps.keys() | looks.keys()):
        step, look = steps.get(number), looks.get(number)
        cells = (step.loss, step.lr, step.grad_norm) if step else (None, None, None)
        yield [number, *("" if cell is None else cell for cell in (*cells, look.val_loss if look else None))]


_HEAD = ("run", "phase", "seed", "status", "started (UTC)", "took", "steps", "loss", "own", "kept", "adapter")


def _list_cells(item: RunHistory) -> tuple[str, ...]:
    run = item.run
    return (
        str(run.run_id),
        run.phase or "",
        "" if run.seed is None else str(run.seed),
        run.status or "?",
        f"{run.started_at:%Y-%m-%d %H:%M}",
        duration_text(_seconds(run)),
        "" if run.steps is None else str(run.steps),
        "" if run.final_train_loss is None else f"{run.final_train_loss:.3f}",
        score_text(item, "own"),
        score_text(item, "kept"),
        "" if run.adapter_version is None else f"v{run.adapter_version:04d}",
    )


def _seconds(run: RunMetrics) -> float | None:
    if run.seconds is not None or run.ended_at is None:
        return run.seconds
    return (run.ended_at - run.started_at).total_seconds()


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _detail_lines(item: RunHistory, levels: str) -> Iterator[str]:
    rows = [(name, value) for name, value in (*_run_lines(item.run), *_measured_lines(item, levels)) if value]
    width = max(len(name) for name, _ in rows) + 1
    for name, value in rows:
        yield f"{name + ':':<{width}} {value}"


def _run_lines(run: RunMetrics) -> Iterator[tuple[str, str]]:
    yield "run", f"{run.run_id} ({run.phase or 'unknown phase'}, seed {run.seed}), {run.status or 'status unknown'}"
    yield (
        "adapter",
        _joined_words(
            (run.adapter_name or "", f"v{run.adapter_version:04d}" if run.adapter_version is not None else "")
        ),
    )
    yield "started", f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC"
    yield "took", _took(run)
    yield "stopped", _joined_words((run.stopped or "", run.message or ""))
    if None not in (run.new, run.unchanged, run.removed):
        yield "sections", f"{run.new} new, {run.unchanged} unchanged, {run.removed} removed"
    if run.peak_memory_mb is not None:
        yield "memory", f"{run.peak_memory_mb} MB at most"


def _took(run: RunMetrics) -> str:
    took = duration_text(_seconds(run))
    kept = f", {duration_text(run.anchor_seconds)} of it to keep ordinary answers" if run.anchor_seconds else ""
    return f"{took}{kept}" if took else ""


def _joined_words(words: Iterable[str]) -> str:
    return " ".join(word for word in words if word)


def _measured_lines(item: RunHistory, levels: str) -> Iterator[tuple[str, str]]:
    losses = [step.loss for step in item.steps]
    yield "steps", str(len(item.steps))
    yield "loss", _curve_line(losses, levels)
    yield "evaluations", str(len(item.evals))
    looks = [look for look in item.evals if look.val_loss is not None]
    if looks:
        last = looks[-1]
        perplexity = "" if last.perplexity is None else f", perplexity {last.perplexity:.2f}"
        yield "held-out loss", _curve_line([look.val_loss for look in looks], levels) or f"{last.val_loss:.3f}"
        yield "last evaluation", f"step {last.step}: loss {last.val_loss:.3f}{perplexity}"
    kept = [look.retention for look in item.evals if look.retention is not None]
    if kept:
        yield "removed sections", f"loss {kept[-1]:.3f}"
    yield from _other_lines(item)


def _curve_line(values: Sequence[float | None], levels: str) -> str:
    known = [value for value in values if value is not None]
    curve = sparkline(values, levels=levels)
    if not known:
        return ""
    return f"{known[0]:.3f} {curve} {known[-1]:.3f}" if curve else f"{known[0]:.3f}"


def _other_lines(item: RunHistory) -> Iterator[tuple[str, str]]:
    tokens = item.tokenization
    if tokens is not None and tokens.hit_rate is not None:
        total = tokens.cache_hits + tokens.cache_misses
        yield "tokens", f"{tokens.cache_hits} of {total} rows from the cache, {tokens.total_tokenize_seconds:.1f} s"
    if item.exam is not None:
        yield "exam", _exam_line(item)
    if item.preference_mining:
        pairs = sum(event.mined_pairs for event in item.preference_mining)
        asked = sum(event.sample_count for event in item.preference_mining)
        yield "preferences", f"{pairs} pairs mined from {asked} samples in {len(item.preference_mining)} searches"


def _exam_line(item: RunHistory) -> str:
    try:
        return exam_from_json(item.exam or {})
    except (KeyError, TypeError, ValueError):
        return "its record cannot be read"
