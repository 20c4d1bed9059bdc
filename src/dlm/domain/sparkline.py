"""A curve in one line of text."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-:=+*#"
"""Low to high, for terminals whose character set has no blocks."""


def sparkline(values: Sequence[float | None], *, width: int = 60, levels: str = BLOCKS) -> str:
    """Draw values from left to right, the smallest lowest; more values than ``width`` are averaged in groups.

    What is no number is left out; fewer than two numbers draw nothing.
    """
    numbers = [value for value in values if value is not None and math.isfinite(value)]
    if len(numbers) < 2:
        return ""
    points = _thinned(numbers, width)
    low, high = min(points), max(points)
    reach = high - low
    if not reach or not math.isfinite(reach):
        return levels[0] * len(points)
    return "".join(levels[min(int((point - low) / reach * len(levels)), len(levels) - 1)] for point in points)


def _thinned(numbers: Sequence[float], width: int) -> list[float]:
    """Give at most ``width`` means of neighbours."""
    count = len(numbers)
    if count <= width:
        return list(numbers)
    edges = [index * count // width for index in range(width + 1)]
    return [math.fsum(numbers[start:end]) / (end - start) for start, end in itertools.pairwise(edges)]
