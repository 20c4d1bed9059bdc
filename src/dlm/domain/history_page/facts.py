"""What the page says of a run: numbers that are numbers, scores that are scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import attrs

from dlm.domain.exam import Score
from dlm.domain.history_page.words import count, number
from dlm.domain.metrics import RunHistory

STATUSES: Mapping[str, tuple[str, str]] = {
    "ok": ("✓", "succeeded"),
    "failed": ("✕", "failed"),
    "cancelled": ("■", "cancelled"),
    "running": ("…", "running"),
    "unknown": ("?", "not recorded"),
}
"""Status → sign and word. ``unknown`` is for databases that other programs wrote."""

SCORES = ("own", "reworded", "prose", "kept", "older", "removed")


@attrs.frozen(kw_only=True)
class RunFacts:
    """One run. A number is finite or None.

    Args:
        loss: final loss on held-out rows, else on the document's own (``is_held_out`` says which).
        scores: of the exam, by kind; only those of which something was asked.
        leaks: answers to ordinary questions that mention the document, of those asked.
        delta: sections new, unchanged and removed; None when not recorded.
        missed: questions not yet known, each with its line.
    """

    history: RunHistory
    status: str
    loss: float | None
    is_held_out: bool
    scores: Mapping[str, Score]
    leaks: Score | None
    drift: float | None
    seconds: float | None
    anchor_seconds: float
    tokens: float | None
    tokens_per_s: float | None
    memory_mb: float | None
    delta: tuple[int, int, int] | None
    cache_rate: float | None
    missed: tuple[tuple[int | None, str], ...]

    @property
    def has_exam(self) -> bool:
        return bool(self.scores) or self.drift is not None


def facts_of(history: RunHistory) -> RunFacts:
    """Read a run; what a stored record lacks or garbles counts as unknown."""
    run = history.run
    exam: Mapping[str, Any] = history.exam if isinstance(history.exam, Mapping) else {}
    held_out = number(run.final_val_loss)
    seconds = _positive(run.seconds)
    return RunFacts(
        history=history,
        status=run.status if run.status and run.status in STATUSES else "unknown",
        loss=held_out if held_out is not None else number(run.final_train_loss),
        is_held_out=held_out is not None,
        scores={kind: score for kind in SCORES if (score := _score(exam.get(kind)))},
        leaks=_leaks(exam),
        drift=_positive(exam.get("drift")),
        seconds=seconds,
        anchor_seconds=min(_positive(run.anchor_seconds) or 0.0, seconds or 0.0),
        tokens=_positive(run.tokens),
        tokens_per_s=_speed(history, seconds),
        memory_mb=_positive(run.peak_memory_mb),
        delta=_delta(history),
        cache_rate=_cache_rate(history),
        missed=_missed(exam.get("missed")),
    )


def _positive(value: Any) -> float | None:
    found = number(value)
    return found if found is not None and found >= 0 else None


def _score(record: Any) -> Score | None:
    if not isinstance(record, Mapping):
        return None
    right, asked = count(record.get("right")), count(record.get("asked"))
    return Score(min(right, asked), asked) if right is not None and asked else None


def _leaks(exam: Mapping[str, Any]) -> Score | None:
    return _score({"right": exam.get("leaks"), "asked": exam.get("probes")})


def _speed(history: RunHistory, seconds: float | None) -> float | None:
    tokens = _positive(history.run.tokens)
    if tokens is not None and seconds:
        return number(tokens / seconds)
    measured = [speed for step in history.steps if (speed := _positive(step.tokens_per_sec)) is not None]
    return median(measured) if measured else None


def _delta(history: RunHistory) -> tuple[int, int, int] | None:
    new, unchanged, removed = (count(value) for value in (history.run.new, history.run.unchanged, history.run.removed))
    if new is None and unchanged is None and removed is None:
        return None
    return new or 0, unchanged or 0, removed or 0


def _cache_rate(history: RunHistory) -> float | None:
    cache = history.tokenization
    score = _score({"right": cache.cache_hits, "asked": cache.cache_hits + cache.cache_misses}) if cache else None
    return score.share if score else None


def _missed(record: Any) -> tuple[tuple[int | None, str], ...]:
    items = record if isinstance(record, Sequence) and not isinstance(record, str | bytes) else ()
    return tuple(
        (count(item.get("line")), str(item["question"]))
        for item in items
        if isinstance(item, Mapping) and item.get("question") and item.get("kind", "own") == "own"
    )
