"""Provenance marks: HTML comments below a fence that say which tool wrote the section.

They are no part of a section's text or id, so removing the mark of a section that one wants to keep changes nothing
else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from dlm.domain.fences import SectionType

MARK_PREFIX = "<!-- dlm-auto-"

_LINE = r'<!-- dlm-auto-([a-z]+):((?: [a-z_]+="[^"\n]*")*) -->'
_ATTRIBUTE = r' ([a-z_]+)="([^"\n]*)"'
_SECTION_ID = r"[0-9a-f]{16}"
_RUN_ID = r"[1-9][0-9]{0,17}"
_DECIMAL = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"

_ESCAPES = (("%", "%25"), ('"', "%22"), ("\n", "%0A"), ("\r", "%0D"), ("-->", "--%3E"))
_ESCAPED = r"(?i)%(25|22|0A|0D|3E)"


class MarkError(Exception):
    """A provenance mark that cannot be read; the text says why."""


@attrs.frozen
class MarkRule:
    """One kind of mark: the sections that carry it and its attributes, in written order, with their readers."""

    name: str
    types: tuple[SectionType, ...]
    attributes: Mapping[str, tuple[str, Callable[[str], Any]]]
    """Attribute → (field of the section, reader)."""

    @property
    def flag(self) -> str:
        """The section field that is true when the mark is there."""
        flags = {"harvest": "auto_harvest", "mined": "auto_mined", "synth": "auto_synth"}
        return flags[self.name]


def _any_text(value: str) -> str:
    return value


def _some_text(value: str) -> str:
    if not value.strip():
        raise MarkError("is empty")
    return value


def _score(value: str) -> float:
    if not re.fullmatch(_DECIMAL, value) or not math.isfinite(float(value)):
        raise MarkError(f"is not a finite number: {value[:40]!r}")
    return float(value)


def _moment(value: str) -> str:
    from datetime import datetime

    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise MarkError(f"is not a date and time such as 2026-01-31T12:00:00Z: {value[:40]!r}") from None
    return value


def _run_id(value: str) -> int:
    if not re.fullmatch(_RUN_ID, value):
        raise MarkError(f"is not a whole number from 1 up: {value[:40]!r}")
    return int(value)


def _section_id(value: str) -> str:
    if not re.fullmatch(_SECTION_ID, value):
        raise MarkError(f"is not a section id of 16 digits and letters a-f: {value[:40]!r}")
    return value


def _named(**readers: Callable[[str], Any]) -> Mapping[str, tuple[str, Callable[[str], Any]]]:
    return {name: (name, reader) for name, reader in readers.items()}


MARKS = (
    MarkRule("harvest", ("instruction", "preference"), {"source": ("harvest_source", _any_text)}),
    MarkRule(
        "mined",
        ("preference",),
        _named(
            judge_name=_some_text,
            judge_score_chosen=_score,
            judge_score_rejected=_score,
            mined_at=_moment,
            mined_run_id=_run_id,
        ),
    ),
    MarkRule(
        "synth",
        ("instruction",),
        _named(synth_teacher=_some_text, synth_strategy=_some_text, synth_at=_moment, source_section_id=_section_id),
    ),
)
"""All marks, in the order in which they are written below a fence."""


def read_mark(line: str, section_type: SectionType) -> Mapping[str, Any] | None:
    """Give the section fields a mark stands for; None when sections of this type carry no such mark.

    Raises:
        MarkError: unreadable, an attribute missing, unknown or bad.
    """
    name = line[len(MARK_PREFIX) :].partition(":")[0]
    rule = next((rule for rule in MARKS if rule.name == name and section_type in rule.types), None)
    if rule is None:
        return None
    match = re.fullmatch(_LINE, line)
    if not match:
        raise MarkError('is not written as <!-- dlm-auto-name: key="value" … -->')
    found = dict(re.findall(_ATTRIBUTE, match[2]))
    for problem, names in (
        ("has no attribute", rule.attributes.keys() - found),
        ("has an unknown attribute", found.keys() - rule.attributes),
    ):
        if names:
            raise MarkError(f"{problem} {', '.join(sorted(names))}")
    fields: dict[str, Any] = {rule.flag: True}
    for attribute, (field, reader) in rule.attributes.items():
        fields[field] = _read_attribute(attribute, found[attribute], reader)
    return fields


def write_marks(section: Any) -> list[str]:
    """Give the mark lines of a section, in written order."""
    lines = []
    for rule in MARKS:
        if getattr(section, rule.flag):
            values = (
                f' {name}="{escape(_written(getattr(section, field)))}"' for name, (field, _) in rule.attributes.items()
            )
            lines.append(f"{MARK_PREFIX}{rule.name}:{''.join(values)} -->")
    return lines


def _written(value: Any) -> str:
    return "" if value is None else str(value)


def escape(value: str) -> str:
    """Percent-encode what would end an attribute or the comment: ``"``, ``%``, line ends, ``-->``."""
    for plain, encoded in _ESCAPES:
        value = value.replace(plain, encoded)
    return value


def unescape(value: str) -> str:
    """Undo :func:`escape`; other percent signs stay as they are."""
    return re.sub(_ESCAPED, lambda match: chr(int(match[1], 16)), value)


def _read_attribute(name: str, value: str, reader: Callable[[str], Any]) -> Any:
    try:
        return reader(unescape(value))
    except MarkError as exc:
        raise MarkError(f"{name} {exc}") from None
