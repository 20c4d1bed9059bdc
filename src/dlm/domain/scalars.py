"""A run as named numbers over steps, for the tools that draw them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dlm.domain.events import Emit, EvalDone, Event, ExamFinished, StepDone
from dlm.domain.metrics import exam_score

Scalars = Mapping[str, float]

_PARTS = ("own", "reworded", "prose", "kept")


def scalar_observer(log: Callable[[int, Scalars], None]) -> Emit:
    """Give an observer that calls ``log(step, numbers)`` for each step, evaluation and exam.

    The numbers are ``train/loss``, ``train/lr``, ``train/grad_norm``, ``eval/val_loss``, ``eval/perplexity``, and at
    the last step ``exam/own``, ``exam/reworded``, ``exam/prose`` and ``exam/kept`` as shares from 0 to 1,
    ``exam/leaks`` and ``exam/drift``. What is not finite is left out.
    """
    last = 0

    def observe(event: Event) -> None:
        nonlocal last
        match event:
            case StepDone(step=step):
                last = step
                numbers = {"train/loss": event.loss, "train/lr": event.lr, "train/grad_norm": event.grad_norm}
            case EvalDone(step=step):
                numbers = {"eval/val_loss": event.val_loss, "eval/perplexity": event.perplexity}
            case ExamFinished():
                step, numbers = last, dict(_exam_numbers(event.exam))
            case _:
                return
        known = {name: float(value) for name, value in numbers.items() if math.isfinite(value)}
        if known:
            log(step, known)

    return observe


def _exam_numbers(exam: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for part in _PARTS:
        score = exam_score(exam, part)
        if score and score[1]:
            yield f"exam/{part}", score[0] / score[1]
    for name in ("leaks", "drift"):
        value = exam.get(name)
        if isinstance(value, int | float):
            yield f"exam/{name}", value


class BestEffort:
    """Calls that must not disturb a run: the first that fails is told, and no further one is made."""

    def __init__(self, name: str, warn: Callable[[str], None]) -> None:
        self._name = name
        self._warn = warn
        self.is_broken = False

    def __call__(self, call: Callable[..., object], *args: Any) -> None:
        if self.is_broken:
            return
        try:
            call(*args)
        except Exception as exc:  # noqa: BLE001 - a foreign tool's trouble is told and is not the run's
            self.is_broken = True
            self._warn(f"{self._name} gets no more of this run: {str(exc) or type(exc).__name__}")
