"""Learning-rate schedules as pure functions of the step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import attrs


@attrs.frozen(kw_only=True)
class Schedule:
    """A schedule over ``total`` optimiser steps.

    Args:
        kind: ``cosine``, ``linear``, ``constant`` or ``cosine_with_min_lr``.
        warmup: steps of linear rise to the peak.
        floor: share of the peak that ``cosine_with_min_lr`` ends at.
    """

    kind: str
    total: int
    warmup: int
    floor: float = 0.0

    def factor(self, step: int) -> float:
        """Give the share of the peak rate at ``step`` (from 0). The first step is never at rate zero."""
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)
        done = (step - self.warmup) / max(1, self.total - self.warmup)
        return _SHAPES[self.kind](min(1.0, done), self.floor)


def _cosine(done: float, floor: float) -> float:
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * done))


_SHAPES: Mapping[str, Callable[[float, float], float]] = {
    "cosine": lambda done, floor: _cosine(done, 0.0),
    "cosine_with_min_lr": _cosine,
    "linear": lambda done, floor: 1.0 - done,
    "constant": lambda done, floor: 1.0,
}
