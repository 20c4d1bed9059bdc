"""The curves inside each run, thinned out and packed for the page's script; the newest one also drawn at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dlm.domain.history_page import words
from dlm.domain.history_page.facts import RunFacts
from dlm.domain.history_page.svg import Axis, axis_to, chart, line
from dlm.domain.history_page.thinning import Point, thin
from dlm.domain.metrics import RunHistory

N_LOSS_POINTS = 200
"""A curve is about 600 pixels wide: three pixels for each."""

N_SIDE_POINTS = 60
"""For learning rate, gradient norm and speed, which are read for their shape."""

MAX_DOTS = 60


def curve_record(run: RunFacts) -> dict[str, Any]:
    """Give a run's curves: each name with its steps (each as the distance from the one before) and its values."""
    history = run.history
    record: dict[str, Any] = {
        "id": history.run.run_id,
        "label": _label(run),
        "loss": _packed(((step.step, step.loss) for step in history.steps), N_LOSS_POINTS, 4),
        "lr": _packed(((step.step, step.lr) for step in history.steps), N_SIDE_POINTS, 3),
        "grad": _packed(((step.step, step.grad_norm) for step in history.steps), N_SIDE_POINTS, 3),
        "speed": _packed(((step.step, step.tokens_per_sec) for step in history.steps), N_SIDE_POINTS, 3),
        "val": _packed(((look.step, look.val_loss) for look in history.evals), N_LOSS_POINTS, 4),
        "ppl": _packed(((look.step, look.perplexity) for look in history.evals), N_LOSS_POINTS, 4),
        "kept": _packed(((look.step, look.retention) for look in history.evals), N_LOSS_POINTS, 4),
    }
    bad = sum(step.loss is not None and words.number(step.loss) is None for step in history.steps)
    return {key: value for key, value in record.items() if value} | ({"bad": bad} if bad else {})


def has_curve(run: RunFacts) -> bool:
    """Say whether there is anything to draw."""
    return bool(
        _points((step.step, step.loss) for step in run.history.steps)
        or _points((look.step, look.val_loss) for look in run.history.evals)
    )


def newest_with_curve(runs: Sequence[RunFacts]) -> int | None:
    """Give the place of the newest run that has a curve; None when none has."""
    return next((index for index in reversed(range(len(runs))) if has_curve(runs[index])), None)


def first_curve(run: RunFacts) -> str:
    """Draw the losses of one run; the page's script draws it again, in the same place, and lets it be explored."""
    history = run.history
    layers = {
        "train": thin(_points((step.step, step.loss) for step in history.steps), N_LOSS_POINTS),
        "val": thin(_points((look.step, look.val_loss) for look in history.evals), N_LOSS_POINTS),
        "kept": thin(_points((look.step, look.retention) for look in history.evals), N_LOSS_POINTS),
    }
    every = [point for points in layers.values() for point in points]
    steps, heights = [x for x, _ in every], [y for _, y in every]
    along = Axis(min(0.0, *steps), max(1.0, *steps))
    upwards = axis_to(max(0.0, *heights), 4)
    upwards = Axis(min(0.0, *heights), upwards.high, upwards.ticks)
    ends = axis_to(along.high, 5, whole=True)
    labels = [(along.share(tick), words.whole(tick)) for tick in ends.ticks if tick <= along.high]
    drawing = "".join(
        line(
            [(along.share(x), upwards.share(y)) for x, y in points],
            f"s0 k-{kind}",
            dots=kind != "train" and len(points) <= MAX_DOTS,
        )
        for kind, points in layers.items()
    )
    return chart(drawing, f"Losses of run {history.run.run_id}, nats per token", upwards, words.tick, labels)


def last_values(run: RunFacts) -> tuple[str, ...]:
    """Give what the reading below the curve shows of a run's end: step, training and held-out loss, perplexity and
    loss of removed sections."""
    history = run.history
    steps = [step.step for step in history.steps] + [look.step for look in history.evals]
    columns: Iterable[tuple[Iterable[Any], Callable[[Any], float | None]]] = (
        (history.steps, lambda step: step.loss),
        (history.evals, lambda look: look.val_loss),
        (history.evals, lambda look: look.perplexity),
        (history.evals, lambda look: look.retention),
    )
    ends = [_points((item.step, value(item)) for item in items) for items, value in columns]
    values = [words.plain(points[-1][1], 4) if points else words.MISSING for points in ends]
    return (words.whole(words.number(max(steps, default=None))), *values)


def _label(run: RunFacts) -> str:
    record: RunHistory = run.history
    version = f"v{record.run.adapter_version}" if record.run.adapter_version is not None else run.status
    return f"run {record.run.run_id} · {version} · {words.moment(record.run.started_at)}"


def _points(pairs: Iterable[tuple[Any, Any]]) -> list[Point]:
    """Give the points whose step and value are numbers, in the order of steps; of a step seen twice, the later."""
    found = {
        step: value
        for x, y in pairs
        if (step := words.number(x)) is not None and (value := words.number(y)) is not None
    }
    return sorted(found.items())


def _packed(pairs: Iterable[tuple[Any, Any]], n_points: int, digits: int) -> list[list[float]] | None:
    points = thin(_points(pairs), n_points)
    if not points:
        return None
    steps = [int(x) for x, _ in points]
    distances = [now - before for before, now in zip([0, *steps], steps, strict=False)]
    return [list(distances), [_rounded(y, digits) for _, y in points]]


def _rounded(value: float, digits: int) -> float:
    """Give ``value`` with so many significant digits; whole numbers as such, which saves two letters each."""
    short = float(f"{value:.{digits}g}")
    return int(short) if short == int(short) else short
