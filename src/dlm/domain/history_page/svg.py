"""Charts that stretch: a drawing that fills its box, with labels as text around it.

The drawing has 1000 units in each direction and is stretched by the browser; line widths and letters are not, so charts
are as readable on a telephone as on a wall. Dots are lines of length zero with round ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import attrs

from dlm.domain.history_page.words import escaped

SIZE = 1000


@attrs.frozen
class Axis:
    """From ``low`` (left or bottom) to ``high``, with ticks."""

    low: float
    high: float
    ticks: tuple[float, ...] = ()

    def share(self, value: float) -> float:
        """Give where a value is, 0 to 1."""
        return (value - self.low) / ((self.high - self.low) or 1.0)


SHARES = Axis(0.0, 1.0, (0.0, 0.5, 1.0))
"""The axis of every score, so that panels compare."""


def axis_to(top: float, steps: int = 3, *, whole: bool = False) -> Axis:
    """Give an axis from 0 to at least ``top`` in about ``steps`` steps of 1, 2 or 5 times a power of ten."""
    rough = (max(top, 1e-9) if top > 0 else 1.0) / steps
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough * 0.999)
    step = max(1.0, step) if whole else step
    n_steps = max(1, math.ceil(top / step - 1e-9))
    return Axis(0.0, step * n_steps, tuple(round(step * index, 12) for index in range(n_steps + 1)))


def place(index: int, n_runs: int) -> float:
    """Give where run ``index`` stands on the axis of runs, 0 to 1: the middle of its share of the width."""
    return (index + 0.5) / n_runs


def line(points: Sequence[tuple[float, float]], style: str, *, dots: bool) -> str:
    """Draw points (each 0 to 1, upwards) as a line, with a dot each when asked or when there is only one."""
    spots = [f"{x * SIZE:.0f} {(1 - y) * SIZE:.0f}" for x, y in points]
    if not spots:
        return ""
    drawn = f'<path class="line {style}" d="M{"L".join(spots)}"/>' if len(spots) > 1 else ""
    if dots or len(spots) == 1:
        marks = "".join(f"M{spot}h0" for spot in spots)
        drawn += f'<path class="dot {style}" d="{marks}"/>'
    return drawn


def bar(left: float, width: float, parts: Sequence[float], axis: Axis) -> list[str]:
    """Give the path of each part of one stacked bar; empty where the part is nothing."""
    paths, below = [], 0.0
    for part in parts:
        top, bottom = axis.share(below + part), axis.share(below)
        below += part
        x, y, height = left * SIZE, (1 - top) * SIZE, (top - bottom) * SIZE
        wide = width * SIZE
        paths.append(f"M{x:.1f} {y:.1f}h{wide:.1f}v{height:.1f}h-{wide:.1f}z" if height > 0 else "")
    return paths


def chart(
    drawing: str, label: str, y: Axis, y_text: Callable[[float], str], x_labels: Sequence[tuple[float, str]]
) -> str:
    """Give a drawing in its frame: grid lines and labels of both axes.

    Args:
        label: what a screen reader says instead of the drawing.
        x_labels: place (0 to 1) and text.
    """
    grid = "".join(f'<path class="grid" d="M0 {(1 - y.share(tick)) * SIZE:.0f}h{SIZE}"/>' for tick in y.ticks)
    ups = "".join(f'<span style="bottom:{y.share(tick):.2%}">{escaped(y_text(tick))}</span>' for tick in y.ticks)
    alongs = "".join(f'<span style="left:{at:.2%}">{escaped(text)}</span>' for at, text in x_labels)
    return (
        f'<div class="plot"><div class="y" aria-hidden="true">{ups}</div><div class="area">'
        f'<svg viewBox="0 0 {SIZE} {SIZE}" preserveAspectRatio="none" role="img" aria-label="{escaped(label)}">'
        f'{grid}{drawing}</svg><i class="cross" hidden></i></div>'
        f'<div class="x" aria-hidden="true">{alongs}</div></div>'
    )
