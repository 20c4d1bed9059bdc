"""The runs of a document as tables and pages."""

from __future__ import annotations

import html
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import attrs

from dlm.domain.errors import MissingExtra
from dlm.domain.metrics import RunHistory, RunMetrics, StepMetrics, exam_score

_PARTS = ("own", "reworded", "prose", "kept")
_EXAM_COLUMNS = (*(f"{part}_{what}" for part in _PARTS for what in ("right", "asked")), "leaks", "probes", "drift")


@attrs.frozen(kw_only=True)
class History:
    """Every run of a document with all that was measured, oldest first.

    Args:
        title: what the document is called.
        read_at: when it was read; a run that goes on has more by now.
    """

    title: str
    runs: tuple[RunHistory, ...] = attrs.field(repr=lambda runs: f"<{len(runs)}>")
    read_at: datetime

    def to_frame(self) -> Any:
        """Give a pandas ``DataFrame`` with one row a run: the run's own columns, then those of its exam
        (``own_right``, ``own_asked`` … ``drift``), empty where there was none.

        Raises:
            MissingExtra: pandas is not installed.
        """
        names = [field.name for field in attrs.fields(RunMetrics)]
        rows = [[getattr(item.run, name) for name in names] + list(_exam_cells(item)) for item in self.runs]
        return _pandas("to_frame").DataFrame(rows, columns=[*names, *_EXAM_COLUMNS])

    def steps_frame(self) -> Any:
        """Give a pandas ``DataFrame`` with one row a step, ``run_id`` first.

        Raises:
            MissingExtra: pandas is not installed.
        """
        names = [field.name for field in attrs.fields(StepMetrics)]
        rows = [
            [item.run.run_id, *(getattr(step, name) for name in names)] for item in self.runs for step in item.steps
        ]
        return _pandas("steps_frame").DataFrame(rows, columns=["run_id", *names])

    def to_html(self) -> str:
        """Give one page that holds everything and can be sent to somebody."""
        from dlm.domain.history_page import history_page  # only here: nothing else of a history needs it

        return history_page(self.runs, title=self.title, generated_at=self.read_at)

    def __len__(self) -> int:
        return len(self.runs)

    def _repr_html_(self) -> str:
        """Give a small table for a notebook, newest first."""
        head = "".join(f"<th>{name}</th>" for name in ("run", "status", "started", "steps", "loss", "own", "kept"))
        rows = "".join(f"<tr>{_cells(item)}</tr>" for item in self.runs[::-1][:_SHOWN])
        more = len(self.runs) - _SHOWN
        note = f"<p>and {more} earlier; to_frame() has them all</p>" if more > 0 else ""
        return f"<div><strong>{html.escape(self.title)}</strong><table><tr>{head}</tr>{rows}</table>{note}</div>"


_SHOWN = 20


def _cells(item: RunHistory) -> str:
    run = item.run
    values = (
        run.run_id,
        run.status or "?",
        f"{run.started_at:%Y-%m-%d %H:%M}",
        "" if run.steps is None else run.steps,
        "" if run.final_train_loss is None else f"{run.final_train_loss:.3f}",
        score_text(item, "own"),
        score_text(item, "kept"),
    )
    return "".join(f"<td>{html.escape(str(value))}</td>" for value in values)


def score_text(item: RunHistory, part: str) -> str:
    """Give ``3/4``; empty when the exam did not ask."""
    score = exam_score(item.exam, part)
    return f"{score[0]}/{score[1]}" if score else ""


def _exam_cells(item: RunHistory) -> Iterator[Any]:
    for part in _PARTS:
        yield from exam_score(item.exam, part) or (None, None)
    for name in ("leaks", "probes", "drift"):
        yield (item.exam or {}).get(name)


def _pandas(caller: str) -> Any:
    try:
        import pandas as pd
    except ImportError as exc:
        raise MissingExtra(
            "install.notebook", f"{caller}() needs pandas", hint='Run: pip install "dlm[notebook]"'
        ) from exc
    return pd
