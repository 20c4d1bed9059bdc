"""The head of a safetensors file: which tensors it holds and where.

Layout: eight bytes little-endian length, that many bytes of JSON, then the data the JSON points into. Source: the
format's own description; the limits below are stricter where an honest file has no use for more.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeGuard

import attrs

from dlm.domain.json_record import RecordError, parse_object

WIDTHS: Mapping[str, int] = MappingProxyType({"F64": 8, "F32": 4, "F16": 2, "BF16": 2})
"""Bytes of a number, for the kinds that weights are stored in."""

_MOST_SIDES = 8


@attrs.frozen(kw_only=True)
class TensorEntry:
    """One tensor. ``start`` and ``end`` count bytes from the beginning of the data."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def parse_header(text: bytes) -> tuple[TensorEntry, ...]:
    """Give the tensors in the order of their data, after checking that they fill it without gap or overlap.

    Raises:
        ValueError: not such a header, a kind of number that is not in ``WIDTHS``, or places that cannot be right.
    """
    try:
        record = parse_object(text.decode())
    except (RecordError, UnicodeDecodeError) as exc:
        raise ValueError(f"its header cannot be read ({str(exc)[:120]})") from exc
    entries = [_entry(name, value) for name, value in record.items() if name != "__metadata__"]
    entries.sort(key=lambda entry: (entry.start, entry.end))
    end = 0
    for entry in entries:
        if entry.start != end:
            raise ValueError(f"the data of {entry.name[:80]!r} starts at byte {entry.start}, not {end}")
        end = entry.end
    return tuple(entries)


def header_bytes(tensors: Iterable[tuple[str, str, tuple[int, ...]]]) -> bytes:
    """Give what stands before the data of a new file.

    Args:
        tensors: name, kind of number and shape, in the order in which their data follows.
    """
    record: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, dtype, shape in tensors:
        start, end = end, end + math.prod(shape) * WIDTHS[dtype]
        record[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(record, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the data is aligned
    return len(text).to_bytes(8, "little") + text


def _entry(name: str, value: object) -> TensorEntry:
    fields = value if isinstance(value, dict) else {}
    dtype, shape, offsets = fields.get("dtype"), fields.get("shape"), fields.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in WIDTHS:
        raise ValueError(f"{name[:80]!r} is stored as {str(dtype)[:20]}; weights are one of {', '.join(WIDTHS)}")
    if not _counts(shape) or len(shape) > _MOST_SIDES:
        raise ValueError(f"{name[:80]!r} has no usable shape")
    if not _counts(offsets) or len(offsets) != 2 or offsets[1] - offsets[0] != math.prod(shape) * WIDTHS[dtype]:
        raise ValueError(f"the place of {name[:80]!r} does not fit its shape")
    return TensorEntry(name=name, dtype=dtype, shape=tuple(shape), start=offsets[0], end=offsets[1])


def _counts(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 48 for item in value)
