"""One row as bytes. A record says all there is to know about itself, so that a lost index can be made anew.

    8 bytes   dlmtoks2
    32        key
    4, 4, 4   number of ids, first supervised, CRC-32 of key, both numbers and ids
    4 × n     ids

Numbers are unsigned and little-endian.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from collections.abc import Iterator, Sequence

import attrs

MAGIC = b"dlmtoks2"
_HEAD = struct.Struct("<8s32sIII")
_CHECKED = struct.Struct("<32sII")
HEAD_BYTES = _HEAD.size
ID_BYTES = 4


@attrs.frozen
class Found:
    """A whole record that was found in a shard."""

    key: bytes
    offset: int
    length: int
    first: int


def record_bytes(length: int) -> int:
    """Give the size of a record of so many ids."""
    return HEAD_BYTES + ID_BYTES * length


def record(key: bytes, ids: Sequence[int], first: int) -> bytes:
    """Give a row as bytes."""
    payload = array("I", list(ids))  # bytes would be taken for raw numbers
    if sys.byteorder == "big":
        payload.byteswap()
    body = payload.tobytes()
    return _HEAD.pack(MAGIC, key, len(payload), first, _checksum(key, len(payload), first, body)) + body


def is_whole(data: bytes, key: bytes, length: int, first: int) -> bool:
    """Tell whether bytes are the record that the index promises."""
    if len(data) != record_bytes(length):
        return False
    magic, *fields, checksum = _HEAD.unpack_from(data)
    body = memoryview(data)[HEAD_BYTES:]
    return magic == MAGIC and fields == [key, length, first] and checksum == _checksum(key, length, first, body)


def ids_of(payload: bytes) -> memoryview:
    """Give ids as a view of unsigned 32-bit numbers."""
    if sys.byteorder == "big":
        swapped = array("I", payload)
        swapped.byteswap()
        return memoryview(swapped)
    return memoryview(payload).cast("I")


def scan(data: bytes, base: int = 0) -> Iterator[Found]:
    """Give the whole records in a stretch of a shard that begins at ``base``; what lies between them is passed over."""
    place = data.find(MAGIC)
    while place >= 0:
        found = _at(data, place)
        if found is None:
            place = data.find(MAGIC, place + 1)
        else:
            yield attrs.evolve(found, offset=base + place)
            place = data.find(MAGIC, place + record_bytes(found.length))


def _at(data: bytes, place: int) -> Found | None:
    if place + HEAD_BYTES > len(data):
        return None
    _, key, length, first, checksum = _HEAD.unpack_from(data, place)
    end = place + record_bytes(length)
    if end > len(data) or checksum != _checksum(key, length, first, memoryview(data)[place + HEAD_BYTES : end]):
        return None
    return Found(key, place, length, first)


def _checksum(key: bytes, length: int, first: int, body: bytes | memoryview) -> int:
    return zlib.crc32(body, zlib.crc32(_CHECKED.pack(key, length, first)))
