"""Fewer points for the same curve."""

from __future__ import annotations

from collections.abc import Sequence

Point = tuple[float, float]


def thin(points: Sequence[Point], count: int) -> list[Point]:
    """Give about ``count`` of the points, so that the curve looks the same; all when there are no more.

    The first, the last, the lowest and the highest point always stay (so up to ``count + 2`` come back), in order.
    ``count`` is at least 3.

    Source: largest triangle three buckets, S. Steinarsson, "Downsampling Time Series for Visual Representation" (2013).
    """
    if len(points) <= count:
        return list(points)
    heights = [point[1] for point in points]
    chosen = {0, len(points) - 1, heights.index(min(heights)), heights.index(max(heights))}
    chosen.update(_one_of_each_bucket(points, count))
    return [points[index] for index in sorted(chosen)]


def _one_of_each_bucket(points: Sequence[Point], count: int) -> list[int]:
    """Split the points between the first and the last into ``count - 2`` buckets; of each take the point that spans the
    largest triangle with the one taken before and the mean of the next bucket."""
    width = (len(points) - 2) / (count - 2)
    edges = [1 + int(bucket * width) for bucket in range(count - 1)] + [len(points)]
    taken, before = [], 0
    for start, end, after in zip(edges, edges[1:], edges[2:], strict=False):
        mean = _mean(points, end, max(after, end + 1))
        before = _largest(points, before, start, end, mean)
        taken.append(before)
    return taken


def _mean(points: Sequence[Point], start: int, end: int) -> Point:
    part = points[start:end]
    return sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)


def _largest(points: Sequence[Point], before: int, start: int, end: int, mean: Point) -> int:
    x0, y0 = points[before]
    dx, dy = x0 - mean[0], mean[1] - y0
    best, largest = start, -1.0
    for index in range(start, end):
        x, y = points[index]
        area = abs(dx * (y - y0) - (x0 - x) * dy)
        if area > largest:
            best, largest = index, area
    return best
