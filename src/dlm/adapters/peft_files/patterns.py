"""Which rank and alpha a module has, by the rules PEFT applies to its configuration.

``rank_pattern`` and ``alpha_pattern`` map regular expressions to values. An expression fits a module when it matches
the whole name or what follows some dot of it; the first one that fits counts. Expressions come from a file, and some
take longer than the age of the world, so what one may cost is estimated before it is tried.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")

_LITERAL = re.compile(r"[A-Za-z0-9_.-]*")
_MOST_TRIES = 5_000_000
_MOST_STEPS = 1e10
"""Far above what real configurations need (10^8 at most), far below what hurts: the estimate is much too high."""


def pick(pattern_values: Mapping[str, T], modules: Iterable[str], default: T) -> dict[str, T]:
    """Give each module its value.

    Raises:
        ValueError: an expression is not valid, or could take for ever.
    """
    names = tuple(modules)
    check_cost(pattern_values, names)
    compiled = [(_compiled(rf"(.*\.)?({pattern})$"), value) for pattern, value in pattern_values.items()]
    return {name: next((value for expression, value in compiled if expression.match(name)), default) for name in names}


def fits(pattern: str, modules: Iterable[str]) -> dict[str, bool]:
    """Tell for each module whether its whole name matches.

    Raises:
        ValueError: as :func:`pick`.
    """
    names = tuple(modules)
    check_cost((pattern,), names)
    expression = _compiled(pattern)
    return {name: expression.fullmatch(name) is not None for name in names}


def check_cost(patterns: Iterable[str], names: tuple[str, ...]) -> None:
    """Refuse expressions that could take very long on these names.

    Raises:
        ValueError: with the offending expression.
    """
    patterns = tuple(patterns)
    if len(patterns) * len(names) > _MOST_TRIES:
        raise ValueError(f"{len(patterns)} patterns for {len(names)} modules are more than can be meant")
    length = max(map(len, names), default=1)
    for pattern in patterns:
        if _steps(pattern, length) * max(1, len(names)) > _MOST_STEPS:
            raise ValueError(f"the pattern {pattern[:60]!r} could take for ever to match")


def _steps(pattern: str, length: int) -> float:
    """Estimate, from above, how many steps a backtracking matcher takes on a text of this length."""
    if _LITERAL.fullmatch(pattern):
        return length
    plain = re.sub(r"\\.", "x", pattern, flags=re.DOTALL).replace("(?:", "(")
    if re.search(r"\)[*+{]|\(\?|[*+?}][*+{]", plain):
        return math.inf  # a repeated group, a look around, a repeated repetition
    # Counts above 64 are beyond every limit already; without the cap the numbers themselves would grow without one.
    choices: int = (plain.count("|") + 1) ** max(1, min(64, plain.count("(")))
    repeats: int = length ** min(64, sum(map(plain.count, "*+{")))
    return length * length * choices * repeats << min(64, plain.count("?"))


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as exc:
        raise ValueError(f"the pattern {pattern[:60]!r} is not valid ({exc})") from exc
