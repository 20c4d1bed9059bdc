"""``index.json``, the index that counts: read and written as a stream, one entry a line."""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

from dlm.adapters.replay.frames import MAX_FRAME
from dlm.adapters.replay.table import MAX_OFFSET, Records, as_text, records
from dlm.domain.json_record import in_utc, plain_time
from dlm.domain.replay import is_section_id

_BLOCK = 1 << 20
_MAX_ENTRY = 1 << 12
"""An entry of ours is 130 characters long. What is thirty times that is not an entry."""

_BLANKS = re.compile(r"[ \t\r\n]*")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Row = tuple[int, int, int, int, float]


class DamagedIndex(Exception):  # noqa: N818  # a state that is handled, never shown as it is
    """An index that cannot be read; the message says why."""


def seconds(moment: datetime) -> int:
    """Give whole seconds since 1970, also for moments before."""
    return (moment - _EPOCH) // timedelta(seconds=1)


def moment(seconds_since_1970: int) -> datetime:
    """Give the moment of :func:`seconds`; the nearest one that a calendar can name when there is none."""
    low, high = seconds(datetime.min.replace(tzinfo=UTC)), seconds(datetime.max.replace(tzinfo=UTC))
    return _EPOCH + timedelta(seconds=min(max(int(seconds_since_1970), low), high))


class IndexWriter:
    """Writes the array chunk by chunk: sorted by section id, keys sorted, one entry a line."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._comma = b"\n"
        file.write(b"[")

    def add(self, chunk: Records) -> None:
        """Add the entries that come next."""
        if not len(chunk):
            return
        times: dict[int, str] = {}
        lines = []
        for number, offset, length, added, weight in chunk.tolist():
            time = times.get(added) or times.setdefault(added, plain_time(moment(added)))
            lines.append(
                f'{{"added_at": "{time}", "byte_offset": {offset}, "length": {length}, '
                f'"section_id": "{as_text(number)}", "weight": {weight!r}}}'
            )
        self._file.write(self._comma + ",\n".join(lines).encode("ascii"))
        self._comma = b",\n"

    def finish(self) -> None:
        """End the array."""
        self._file.write(b"\n]\n")


def read_index(file: BinaryIO) -> Records:
    """Give the entries of an index. Any order is read; of several for a section, the last in the corpus counts.

    Raises:
        DamagedIndex: not such an array.
    """
    try:
        return records(_row(value) for value in _values(file))
    except (ValueError, RecursionError, OverflowError) as exc:
        raise DamagedIndex(str(exc)[:200]) from exc


def _values(file: BinaryIO) -> Iterator[Any]:
    """Give the values of a JSON array, with a block of its text in memory at a time."""
    decode = json.JSONDecoder(parse_constant=_refuse).raw_decode
    window = _Window(file)
    window.expect("[")
    if window.peek() == "]":
        window.expect("]")
    else:
        while True:
            if window.peek() != "{":
                raise ValueError(f"{window.peek()!r} where an entry should begin")
            value, window.at = decode(window.text, window.at)
            yield value
            if window.expect(",]") == "]":
                break
    if window.peek():
        raise ValueError("more text after the end of the array")


class _Window:
    """The next part of a text, at least one entry long wherever the text goes on."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._ended = False
        self.text = ""
        self.at = 0

    def peek(self) -> str:
        """Give the next character that is not blank; empty at the end."""
        self._fill()
        self.at = _BLANKS.match(self.text, self.at).end()  # type: ignore[union-attr]  # it matches nothing, too
        self._fill()
        return self.text[self.at : self.at + 1]

    def expect(self, wanted: str) -> str:
        """Step over one of the characters in ``wanted``."""
        found = self.peek()
        if not found or found not in wanted:
            raise ValueError(f"{found or 'the end'!r} where one of {wanted} should be")
        self.at += 1
        return found

    def _fill(self) -> None:
        if self._ended or len(self.text) - self.at >= _MAX_ENTRY:
            return
        data = self._file.read(_BLOCK)
        self._ended = not data
        self.text, self.at = self.text[self.at :] + self._decoder.decode(data, final=self._ended), 0


def _row(value: Any) -> Row:
    if not isinstance(value, dict):
        raise ValueError("an entry that is not an object")
    section_id, weight = value.get("section_id"), value.get("weight", 1.0)
    if not (isinstance(section_id, str) and is_section_id(section_id)):
        raise ValueError(f"{section_id!r} is not a section id"[:100])
    if type(weight) not in (int, float) or not (math.isfinite(weight) and weight >= 0):
        raise ValueError(f"the weight {weight!r} of {section_id}"[:100])
    numbers: tuple[Any, Any] = value.get("byte_offset"), value.get("length")
    if not all(type(number) is int and 0 <= number < MAX_OFFSET for number in numbers):
        raise ValueError(f"the place {numbers!r} of {section_id}"[:100])
    offset, length = numbers
    # A frame this long is never read; cutting the number keeps sums of lengths within 64 bits.
    return int(section_id, 16), offset, min(length, MAX_FRAME + 1), _added(value.get("added_at")), float(weight)


def _added(value: Any) -> int:
    if not isinstance(value, str):
        raise ValueError(f"the time {value!r}"[:100])
    return seconds(in_utc(datetime.fromisoformat(value)))


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")
