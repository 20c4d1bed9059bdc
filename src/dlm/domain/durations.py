"""Durations as people write them on a command line."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_duration(text: str) -> timedelta:
    """Read a whole number with ``s``, ``m``, ``h`` or ``d`` behind it: ``30d``, ``12h``, ``45m``.

    Raises:
        ValueError: anything else.
    """
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write a whole number and s, m, h or d, as in 30d or 12h")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})
