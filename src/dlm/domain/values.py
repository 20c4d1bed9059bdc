"""The kinds of value a header may hold: how each is read, checked, described and given as JSON Schema.

The header is YAML 1.1 as people write it: ``2e-4`` without a dot is text there, ``yes`` is a truth value, an unquoted
date is a date. Each kind states which of these it takes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Protocol

import attrs

from dlm.domain.text import suggestion
from dlm.domain.yaml_text import ListNode, Node, ScalarNode

# Patterns are text, compiled on first use: most runs read a handful of values, and start-up is counted in milliseconds.
_NULL = r"(?:~|null|Null|NULL|)"
_TRUE = r"(?:yes|Yes|YES|true|True|TRUE|on|On|ON)"
_FALSE = r"(?:no|No|NO|false|False|FALSE|off|Off|OFF)"
_INT = r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]+|0|[1-9][0-9_]*|[1-9][0-9_]*(?::[0-5]?[0-9])+)"
_FLOAT = (
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
    r"|[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)"
)
_DATE = r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:(?:[Tt]|[ \t]+)[0-9].*)?"
_NUMBER_TEXT = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_INT_TEXT = r"[-+]?[0-9]+"

_LONGEST_NUMBER = 100
"""Digits read as a number; more cannot be meant, and converting them takes quadratic time."""


class BadValueError(Exception):
    """A value that does not fit. The text completes the sentence "<key> must be …"."""

    def __init__(self, expected: str, node: Node | None = None) -> None:
        super().__init__(expected)
        self.expected = expected
        self.node = node


class Kind(Protocol):
    """A kind of value: ``read`` takes a YAML node, ``check`` a Python value; both give it or raise BadValueError."""

    def read(self, node: Node) -> Any: ...
    def check(self, value: Any) -> Any: ...
    def schema(self) -> dict[str, Any]: ...
    def describe(self) -> str: ...


class _OddScalar:
    """What YAML 1.1 takes for something no setting can hold: a date, a not-a-number, a number without end."""

    def __init__(self, name: str) -> None:
        self.name = name


def resolve(node: ScalarNode) -> Any:
    """Give what a YAML 1.1 reader sees: None, bool, int, float, str, or an object standing for anything else."""
    word = node.value
    if not node.plain:
        return word
    if re.fullmatch(_NULL, word):
        return None
    if re.fullmatch(_TRUE, word) or re.fullmatch(_FALSE, word):
        return bool(re.fullmatch(_TRUE, word))
    if re.fullmatch(_INT, word) or re.fullmatch(_FLOAT, word):
        return _number(word)
    return _OddScalar("a date") if re.fullmatch(_DATE, word) else word


def _number(word: str) -> Any:
    if len(word) > _LONGEST_NUMBER:
        return _OddScalar(f"a number of {len(word)} digits")
    digits = word.replace("_", "").lower()
    if "." in digits and ("inf" in digits or "nan" in digits):
        return _OddScalar(f"the number {word}")
    sign, digits = (-1, digits[1:]) if digits.startswith("-") else (1, digits.lstrip("+"))
    try:
        if ":" in digits:
            return sign * _sexagesimal(digits)
        if "." in digits:
            return sign * float(digits)
        if digits.startswith("0") and digits.strip("0") and digits[1] not in "xb":
            return sign * int(digits, 8)
        return sign * int(digits, 0)
    except ValueError:  # nothing but underscores after the prefix
        return word


def _sexagesimal(digits: str) -> int | float:
    total: int | float = 0
    for part in digits.split(":"):
        total = total * 60 + (float(part) if "." in part else int(part))
    return total


def name_of(value: Any) -> str:
    """Name a value in a message: short, with its kind where that explains the refusal."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        short = value if len(value) <= 60 else value[:57] + "…"
        return f"the text {short!r}"
    if isinstance(value, _OddScalar):
        return value.name
    return "a list" if isinstance(value, (Sequence, ListNode)) else "a group of settings"


def _value_of(node: Node) -> Any:
    return resolve(node) if isinstance(node, ScalarNode) else node


def bad(kind: Kind, value: Any) -> BadValueError:
    """Build the refusal "…<what is expected>, not <what was found>"."""
    return BadValueError(f"{kind.describe()}, not {name_of(value)}")


@attrs.frozen
class Whole:
    """A whole number. Read from ``16``, ``16.0`` and ``"16"``; never from a truth value."""

    low: int | None = None
    high: int | None = None

    def read(self, node: Node) -> int:
        value = _value_of(node)
        written_as_text = isinstance(value, str) and re.fullmatch(_INT_TEXT, value) and len(value) <= _LONGEST_NUMBER
        if written_as_text or (isinstance(value, float) and value.is_integer()):
            value = int(value)
        return self.check(value)

    def check(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise bad(self, value)
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            raise bad(self, value)
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", **_bounds(minimum=self.low, maximum=self.high)}

    def describe(self) -> str:
        if self.low is None:
            return "a whole number"
        if self.high is None:
            return f"a whole number of at least {self.low}"
        return f"a whole number from {self.low} to {self.high}"


@attrs.frozen
class Number:
    """A finite number; ``above`` is an exclusive lower bound. Numeric text such as ``2e-4`` is read as a number."""

    low: float | None = None
    high: float | None = None
    above: float | None = None

    def read(self, node: Node) -> float:
        value = _value_of(node)
        if isinstance(value, str) and len(value) <= _LONGEST_NUMBER and re.fullmatch(_NUMBER_TEXT, value):
            value = float(value)
        return self.check(value)

    def check(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise bad(self, value)
        try:
            number = float(value)
        except OverflowError:
            raise bad(self, value) from None
        if not (math.isfinite(number) and self._holds(number)):
            raise bad(self, value)
        return number

    def _holds(self, number: float) -> bool:
        return (
            (self.low is None or number >= self.low)
            and (self.high is None or number <= self.high)
            and (self.above is None or number > self.above)
        )

    def schema(self) -> dict[str, Any]:
        return {"type": "number", **_bounds(minimum=self.low, maximum=self.high, exclusiveMinimum=self.above)}

    def describe(self) -> str:
        low = f"above {self.above:g}" if self.above is not None else ""
        if self.low is not None:
            return f"a number from {self.low:g} to {self.high:g}"
        return f"a number {low}" + (f", at most {self.high:g}" if self.high is not None else "")


@attrs.frozen
class Flag:
    """A truth value: ``true``/``false``, the old ``yes``/``no``/``on``/``off`` (quoted too), 0 and 1."""

    def read(self, node: Node) -> bool:
        value = _value_of(node)
        if isinstance(value, str) and (re.fullmatch(_TRUE, value) or re.fullmatch(_FALSE, value)):
            return bool(re.fullmatch(_TRUE, value))
        return bool(value) if isinstance(value, int) and value in (0, 1) else self.check(value)

    def check(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise bad(self, value)
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}

    def describe(self) -> str:
        return "true or false"


@attrs.frozen
class Text:
    """Text; a number, a date or a truth value must be quoted to count as text."""

    pattern: str | None = None
    what: str = "text"

    def read(self, node: Node) -> str:
        value = _value_of(node)
        if isinstance(node, ScalarNode) and not isinstance(value, str) and value is not None:
            raise BadValueError(f'{self.what}, not {name_of(value)}; put it in quotes: "{node.value[:60]}"', node)
        return self.check(value)

    def check(self, value: Any) -> str:
        if not isinstance(value, str) or (self.pattern and not re.search(self.pattern, value)):
            raise bad(self, value)
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "string", **({"pattern": self.pattern} if self.pattern else {})}

    def describe(self) -> str:
        return self.what


@attrs.frozen
class OneOf:
    """One of a few words."""

    words: tuple[str, ...]

    def read(self, node: Node) -> str:
        return self.check(_value_of(node))

    def check(self, value: Any) -> str:
        if isinstance(value, str) and value in self.words:
            return value
        near = suggestion(value, self.words) if isinstance(value, str) else None
        raise BadValueError(str(bad(self, value)) + (f"; did you mean '{near}'?" if near else ""))

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.words)}

    def describe(self) -> str:
        return "one of " + ", ".join(self.words) if len(self.words) > 1 else f"'{self.words[0]}'"


@attrs.frozen
class Either:
    """A word such as ``auto``, or a value of another kind."""

    word: str
    other: Kind

    def read(self, node: Node) -> Any:
        return self.word if _value_of(node) == self.word else self._other(self.other.read, node)

    def check(self, value: Any) -> Any:
        return self.word if value == self.word else self._other(self.other.check, value)

    def _other(self, convert: Any, value: Any) -> Any:
        try:
            return convert(value)
        except BadValueError as exc:
            raise BadValueError(f"'{self.word}' or {exc.expected}", exc.node) from None

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"const": self.word}, self.other.schema()]}

    def describe(self) -> str:
        return f"'{self.word}' or {self.other.describe()}"


@attrs.frozen
class Maybe:
    """A value of another kind, or null."""

    other: Kind

    def read(self, node: Node) -> Any:
        return None if isinstance(node, ScalarNode) and resolve(node) is None else self.other.read(node)

    def check(self, value: Any) -> Any:
        return None if value is None else self.other.check(value)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self.other.schema(), {"type": "null"}]}

    def describe(self) -> str:
        return f"{self.other.describe()}, or null"


@attrs.frozen
class MaybeBlank(Maybe):
    """Text, or null. A text of nothing but blanks means null too: chat templates do not agree on what it is."""

    def read(self, node: Node) -> Any:
        return _unless_blank(Maybe.read(self, node))

    def check(self, value: Any) -> Any:
        return _unless_blank(Maybe.check(self, value))


def _unless_blank(text: Any) -> Any:
    return text if text is None or text.strip() else None


@attrs.frozen
class ListOf:
    """A list of values of one kind."""

    item: Kind
    at_least: int = 0
    what: str = "a list of texts"

    def read(self, node: Node) -> tuple[Any, ...]:
        if not isinstance(node, ListNode) or len(node.items) < self.at_least:
            raise bad(self, node.items if isinstance(node, ListNode) else _value_of(node))
        return tuple(self._item(item) for item in node.items)

    def _item(self, node: Node) -> Any:
        try:
            return self.item.read(node)
        except BadValueError as exc:
            raise BadValueError(f"{self.what}, each of them {exc.expected}", exc.node or node) from None

    def check(self, value: Any) -> tuple[Any, ...]:
        if isinstance(value, str) or not isinstance(value, Sequence) or len(value) < self.at_least:
            raise bad(self, value)
        return tuple(self.item.check(item) for item in value)

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.item.schema(), **_bounds(minItems=self.at_least or None)}

    def describe(self) -> str:
        return self.what + (", not empty" if self.at_least else "")


def _bounds(**limits: float | None) -> dict[str, float]:
    return {name: limit for name, limit in limits.items() if limit is not None}
