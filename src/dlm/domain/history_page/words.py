"""Numbers, times and foreign text as the page shows them."""

from __future__ import annotations

import html
import math
import re
from datetime import datetime
from typing import Any

from dlm.domain.json_record import in_utc

MISSING = "–"
"""Shown where nothing is known."""

_LARGEST = 1e12
"""Numbers beyond it are taken as unknown: no count, time or loss of a run comes near, and axes stay drawable."""

_UNSHOWN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def number(value: Any) -> float | None:
    """Give a finite number as float; None for everything else, ``NaN`` and booleans included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= _LARGEST else None


def count(value: Any) -> int | None:
    """Give a whole number that is not negative; None for everything else."""
    found = number(value)
    return int(found) if found is not None and found >= 0 else None


def clean(value: Any) -> str:
    """Give text without characters that cannot be shown or written: control characters and halves of characters."""
    return _UNSHOWN.sub("\ufffd", str(value))


def cut(value: Any, length: int) -> str:
    """Give text of at most ``length`` letters, cleaned."""
    text = clean(value)
    return text if len(text) <= length else f"{text[: length - 1]}…"


def escaped(value: Any) -> str:
    """Give foreign text for HTML, also inside quotes."""
    return html.escape(clean(value))


def isolated(value: Any) -> str:
    """Give foreign text as an element of its own, so that its direction of writing cannot reorder what is around it."""
    return f"<bdi>{escaped(value)}</bdi>"


def plain(value: float | None, digits: int = 3) -> str:
    """Give a number with ``digits`` significant digits, thousands apart."""
    if value is None:
        return MISSING
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        decimals = 0 if value == 0 else max(0, digits - 1 - math.floor(math.log10(abs(value))))
        return f"{value:,.{decimals}f}"
    return f"{value:.{digits - 1}e}".replace("e-0", "e-").replace("e+0", "e")


def tick(value: float | None) -> str:
    """Give a number of an axis, without zeros that say nothing."""
    text = plain(value)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def whole(value: float | None) -> str:
    """Give a count, thousands apart."""
    return MISSING if value is None else f"{value:,.0f}"


def short(value: float | None) -> str:
    """Give a large count in thousands, millions or billions: 950, 12.3 k, 4.56 M."""
    if value is None:
        return MISSING
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{tick(value / size)} {unit}"
    return tick(value) if value < 100 else f"{value:.0f}"


def duration(seconds: float | None) -> str:
    """Give a time span: 4.2 s, 3 min 05 s, 2 h 10 min."""
    if seconds is None:
        return MISSING
    if seconds < 59.5:
        return f"{seconds:.1f} s" if 0 < seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s" if rest else f"{minutes} min"
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def memory(megabytes: float | None) -> str:
    """Give an amount of memory: 812 MB, 3.4 GB."""
    if megabytes is None:
        return MISSING
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1000:,.1f} GB"


def percent(share: float | None) -> str:
    """Give a share from 0 to 1 in percent."""
    return MISSING if share is None else f"{share * 100:.0f} %"


def moment(value: datetime | None) -> str:
    """Give a time in UTC to the minute; empty when there is none."""
    return stamp(value)[:16].replace("T", " ")


def stamp(value: datetime | None) -> str:
    """Give a time in UTC as a machine reads it, with ``Z``; empty when there is none."""
    if value is None:
        return ""
    try:
        value = in_utc(value)
    except OverflowError:  # the first or last day of the calendar, in another zone
        value = value.replace(tzinfo=None)
    return value.replace(microsecond=0, tzinfo=None).isoformat() + "Z"
