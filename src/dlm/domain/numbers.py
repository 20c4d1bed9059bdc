"""Small arithmetic with a name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def perplexity(loss: float) -> float:
    """Give ``exp(loss)``, infinite where a loss is not finite or negative."""
    return math.exp(loss) if 0.0 <= loss < 700.0 else math.inf


def spread(items: Sequence[T], limit: int) -> list[T]:
    """Choose ``limit`` of the items at even distances, the first among them; all when there are no more."""
    if limit <= 0 or len(items) <= limit:
        return list(items[: max(0, limit)])
    return [items[index * len(items) // limit] for index in range(limit)]
