"""Strict reading and steady writing of small JSON records (manifest, lock).

Reading takes nothing on trust: unknown keys, wrong types (``true`` for a number, ``"3"`` for 3), repeated keys, ``NaN``
and lone surrogates are refused, each with its JSON position (``$.training_runs[2].status``). Writing gives the same
bytes for the same value. The structurer is driven by the annotations of attrs classes; it costs no import beyond attrs,
which keeps ``dlm show`` fast.
"""

from __future__ import annotations

import json
import math
import types
import typing
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar, Union

import attrs

T = TypeVar("T")


class RecordError(Exception):
    """A record that cannot be read.

    Args:
        message: what is wrong, starting with the JSON position where there is one.
        line, col: place in the text for syntax errors, counted from 1.
    """

    def __init__(self, message: str, *, line: int | None = None, col: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.col = col


def parse_object(text: str) -> dict[str, Any]:
    """Give the JSON object in ``text``.

    Raises:
        RecordError: not JSON, not an object, a repeated key, ``NaN`` or ``Infinity``, absurdly deep or long numbers.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except json.JSONDecodeError as exc:
        raise RecordError(f"not valid JSON: {exc.msg}", line=exc.lineno, col=exc.colno) from exc
    except RecursionError as exc:
        raise RecordError("not usable JSON: nested too deeply") from exc
    except ValueError as exc:
        raise RecordError(f"not usable JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise RecordError(f"$: expected an object, found {_kind_of(value)}")
    return value


def structure(kind: type[T], value: object, where: str = "$") -> T:
    """Build ``kind`` (an attrs class) from a parsed JSON value.

    Raises:
        RecordError: with the JSON position of the first thing that does not fit.
    """
    result: T = _structure(kind, value, where)
    return result


def dump_object(record: Mapping[str, Any], *, ascii_only: bool) -> str:
    """Give ``record`` as JSON text: keys sorted, two-space indent, one final LF. Non-finite numbers become null."""
    plain = finite(record)
    return json.dumps(plain, sort_keys=True, indent=2, ensure_ascii=ascii_only, allow_nan=False) + "\n"


def finite(value: Any) -> Any:
    """Give ``value`` with ``NaN`` and infinities as None: JSON has no word for them, and they mean "unknown"."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def in_utc(moment: datetime) -> datetime:
    """Give ``moment`` zone-aware in UTC; a zone-less one is taken as UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def in_seconds(moment: datetime) -> datetime:
    """Give ``moment`` in UTC at whole seconds, the precision that records keep."""
    return in_utc(moment).replace(microsecond=0)


def plain_time(moment: datetime) -> str:
    """Give ``YYYY-MM-DDTHH:MM:SS`` in UTC, without a zone suffix."""
    return in_seconds(moment).replace(tzinfo=None).isoformat()


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} appears twice")
        found[key] = value
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _structure(kind: Any, value: object, where: str) -> Any:
    if kind is Any:
        return _any(value, where)
    if attrs.has(kind):
        return _record(kind, value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return _optional(arguments, value, where)
    if origin is Literal:
        return _one_of(arguments, value, where)
    if origin is tuple:
        return _sequence(arguments, value, where)
    if origin is not None:
        return _mapping(arguments[1], value, where)
    return _scalar(kind, value, where)


def _record(kind: Any, value: object, where: str) -> Any:
    if not isinstance(value, dict):
        raise RecordError(f"{where}: expected an object, found {_kind_of(value)}")
    fields = {field.name: field for field in attrs.fields(attrs.resolve_types(kind))}
    for key in value:
        if key not in fields:
            raise RecordError(f"{where}: unknown key {key!r}; known are {', '.join(sorted(fields))}")
    for name, field in fields.items():
        if name not in value and field.default is attrs.NOTHING:
            raise RecordError(f"{where}: the key {name!r} is missing")
    arguments = {key: _structure(fields[key].type, item, f"{where}.{key}") for key, item in value.items()}
    try:
        return kind(**arguments)
    except ValueError as exc:
        raise RecordError(f"{where}: {exc}") from exc


def _optional(arguments: tuple[Any, ...], value: object, where: str) -> Any:
    # The records use unions for one purpose, "or null", so there is exactly one other member.
    if value is None:
        return None
    (kind,) = [argument for argument in arguments if argument is not types.NoneType]
    return _structure(kind, value, where)


def _one_of(allowed: tuple[Any, ...], value: object, where: str) -> Any:
    if not isinstance(value, str) or value not in allowed:
        raise RecordError(f"{where}: expected one of {', '.join(allowed)}, found {_kind_of(value)}")
    return value


def _sequence(arguments: tuple[Any, ...], value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise RecordError(f"{where}: expected a list, found {_kind_of(value)}")
    if arguments[-1] is Ellipsis:
        return tuple(_structure(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if len(value) != len(arguments):
        raise RecordError(f"{where}: expected {len(arguments)} items, found {len(value)}")
    pairs = zip(arguments, value, strict=True)
    return tuple(_structure(kind, item, f"{where}[{index}]") for index, (kind, item) in enumerate(pairs))


def _mapping(kind: Any, value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RecordError(f"{where}: expected an object, found {_kind_of(value)}")
    return {_text(key, where): _structure(kind, item, f"{where}.{key}") for key, item in value.items()}


def _scalar(kind: Any, value: object, where: str) -> Any:
    if kind is datetime:
        return _time(value, where)
    if kind is str and isinstance(value, str):
        return _text(value, where)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return _number(value, where)
    if kind in (int, bool) and type(value) is kind:
        return value
    raise RecordError(f"{where}: expected {_NAMES[kind]}, found {_kind_of(value)}")


def _time(value: object, where: str) -> datetime:
    try:
        return in_utc(datetime.fromisoformat(value if isinstance(value, str) else ""))
    except (ValueError, OverflowError) as exc:
        found = _kind_of(value)
        raise RecordError(f"{where}: expected a time such as 2026-04-23T18:42:11, found {found}") from exc


def _text(value: str, where: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        raise RecordError(f"{where}: text with half a character (a lone surrogate)") from exc
    return value


def _number(value: float, where: str) -> float:
    try:
        number = float(value)
    except OverflowError as exc:
        raise RecordError(f"{where}: number out of range") from exc
    if not math.isfinite(number):
        raise RecordError(f"{where}: number out of range")
    return number


def _any(value: object, where: str) -> Any:
    if isinstance(value, dict):
        return {_text(key, where): _any(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_any(item, f"{where}[{index}]") for index, item in enumerate(value))
    if isinstance(value, str):
        return _text(value, where)
    return _number(value, where) if isinstance(value, float) else value


_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _kind_of(value: object) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    shown = json.dumps(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
