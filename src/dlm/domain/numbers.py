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


def human_size(n_bytes: int) -> str:
    """Give bytes in steps of 1024 with one decimal above bytes."""
    size, units = float(n_bytes), ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{int(size)} B" if units[0] == "B" else f"{size:.1f} {units[0]}"
