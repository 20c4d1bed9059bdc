"""The index in memory and on disk as fixed-width records, in the order of section ids, worked through in chunks.

One record is 40 bytes:

    id      section id as a number; 16 hex digits in small letters sort as their numbers do
    offset  first byte of the frame in the corpus
    length  bytes of the frame
    added   when the frame was written, which is when the section was last seen: seconds since 1970, UTC
    weight  how heavy the section is when sections are drawn
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

RECORD = np.dtype([("id", "<u8"), ("offset", "<u8"), ("length", "<u8"), ("added", "<i8"), ("weight", "<f8")])
CHUNK = 32_768
"""Records at a time: 1.3 MB, which the processor's cache holds."""

MAX_OFFSET = 1 << 62
"""No place in a corpus is that far back, so that places can be added up in 64 bits."""

Records: TypeAlias = npt.NDArray[np.void]
Ids: TypeAlias = npt.NDArray[np.uint64]

_MAGIC = b"DLMRPLY1"
_HEADER = struct.Struct("<8sQQqI28x")
"""Magic, records, size and time of the index.json it repeats, CRC-32 of all records and then of these fields."""
_SIGNED = 32


class Table(Protocol):
    """Records in the order of ids, each id once."""

    count: int

    def chunks(self) -> Iterator[Records]: ...


class ArrayTable:
    """A table in memory."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self.count = len(records)

    def chunks(self) -> Iterator[Records]:
        for start in range(0, self.count, CHUNK):
            yield self.records[start : start + CHUNK]


class FileTable:
    """A table in an open ``index.bin``; one chunk is in memory at a time."""

    def __init__(self, file: BinaryIO, count: int) -> None:
        self._file = file
        self.count = count

    def chunks(self) -> Iterator[Records]:
        for start in range(0, self.count, CHUNK):
            self._file.seek(_HEADER.size + start * RECORD.itemsize)
            data = self._file.read(min(CHUNK, self.count - start) * RECORD.itemsize)
            yield np.frombuffer(data, RECORD)


def open_table(file: BinaryIO, size: int, mtime_ns: int) -> FileTable | None:
    """Give the table in ``index.bin``; None when it is damaged or not of the index of this size and time."""
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    magic, count, json_size, json_mtime_ns, crc = _HEADER.unpack(header)
    expected = _HEADER.size + count * RECORD.itemsize
    if (magic, json_size, json_mtime_ns) != (_MAGIC, size, mtime_ns) or file.seek(0, 2) != expected:
        return None
    table = FileTable(file, count)
    return table if _is_sound(table, header, crc) else None


def _is_sound(table: FileTable, header: bytes, crc: int) -> bool:
    found, last = 0, -1
    for chunk in table.chunks():
        ids = chunk["id"]
        if int(ids[0]) <= last or bool(np.any(ids[1:] <= ids[:-1])):
            return False
        if bool(np.any(chunk["offset"] >= MAX_OFFSET)) or bool(np.any(chunk["length"] >= MAX_OFFSET >> 24)):
            return False
        found, last = zlib.crc32(chunk.data, found), int(ids[-1])
    return zlib.crc32(header[:_SIGNED], found) == crc


class TableWriter:
    """Writes ``index.bin`` chunk by chunk; it counts once ``finish`` said which index it repeats."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._count = 0
        self._crc = 0
        file.write(bytes(_HEADER.size))

    def add(self, chunk: Records) -> None:
        """Add the records that come next."""
        data = np.ascontiguousarray(chunk).data
        self._file.write(data)
        self._crc = zlib.crc32(data, self._crc)
        self._count += len(chunk)

    def finish(self, size: int, mtime_ns: int) -> None:
        """Write the header: it fits the ``index.json`` of this size and time, and no other."""
        fields = _HEADER.pack(_MAGIC, self._count, size, mtime_ns, 0)[:_SIGNED]
        self._file.seek(0)
        self._file.write(_HEADER.pack(_MAGIC, self._count, size, mtime_ns, zlib.crc32(fields, self._crc)))


def records(rows: Iterable[tuple[int, int, int, int, float]]) -> Records:
    """Make records of (id, offset, length, added, weight) in any order; of several for an id, the last frame counts."""
    made = [np.array(block, RECORD) for block in _blocks(rows)]
    return ordered(np.concatenate(made) if made else np.empty(0, RECORD))


def ordered(found: Records) -> Records:
    """Sort records by id; of several for an id, the one furthest back in the corpus stays."""
    ids = found["id"]
    if len(found) < 2 or bool(np.all(ids[1:] > ids[:-1])):
        return found
    found = found[np.lexsort((found["offset"], ids))]
    ids = found["id"]
    last: Records = found[np.append(ids[1:] != ids[:-1], True)]
    return last


def _blocks(rows: Iterable[tuple[int, int, int, int, float]]) -> Iterator[list[tuple[int, int, int, int, float]]]:
    block = []
    for row in rows:
        block.append(row)
        if len(block) == CHUNK:
            yield block
            block = []
    if block:
        yield block


def as_ids(section_ids: Iterable[str]) -> Ids:
    """Give section ids as sorted numbers, each once."""
    return np.unique(np.fromiter((int(section_id, 16) for section_id in section_ids), np.uint64))


def as_text(number: int | np.uint64) -> str:
    """Give a section id as it is written."""
    return f"{int(number):016x}"


def among(chunk: Records, ids: Ids) -> npt.NDArray[np.bool_]:
    """Tell for each record of a chunk whether its id is one of ``ids`` (sorted)."""
    own = np.ascontiguousarray(chunk["id"])
    mask = np.zeros(len(own), np.bool_)
    if len(own):
        low, high = np.searchsorted(ids, own[0]), np.searchsorted(ids, own[-1], "right")
        places = np.searchsorted(own, ids[low:high])
        mask[places[own[places] == ids[low:high]]] = True
    return mask


def select(table: Table, ids: Ids, *, inside: bool) -> Iterator[Records]:
    """Give the records whose id is one of ``ids``, or those whose id is not."""
    for chunk in table.chunks():
        mask = among(chunk, ids)
        yield chunk[mask if inside else ~mask]


def find(table: Table, ids: Ids) -> Records:
    """Give the records of ``ids`` that are in the table."""
    return np.concatenate([np.empty(0, RECORD), *select(table, ids, inside=True)])


def merged(table: Table, updates: Records) -> Iterator[Records]:
    """Give the table's chunks with ``updates`` (ordered) put in: new ids added, known ones replaced."""
    done = 0
    for chunk in table.chunks():
        upto = int(np.searchsorted(updates["id"], chunk["id"][-1], "right"))
        fresh = updates[done:upto]
        done = upto
        if len(fresh):
            chunk = np.concatenate([chunk[~among(chunk, np.ascontiguousarray(fresh["id"]))], fresh])
            chunk = chunk[np.argsort(chunk["id"], kind="stable")]
        yield chunk
    if done < len(updates):
        yield updates[done:]


def frame_bytes(table: Table) -> int:
    """Give the bytes of all frames that count."""
    return sum(int(chunk["length"].sum()) for chunk in table.chunks())


def frames_end(table: Table) -> tuple[int, int] | None:
    """Give offset and length of the frame that ends last; None for an empty table."""
    best: tuple[int, int] | None = None
    for chunk in table.chunks():
        row = chunk[int(np.argmax(chunk["offset"] + chunk["length"]))]
        offset, length = int(row["offset"]), int(row["length"])
        if best is None or offset + length > sum(best):
            best = offset, length
    return best
