"""``index.bin``: the entries as they were when the last run ended.

    8 bytes  dlmtkix2
    4 × 4    rows, shards, number of the next shard, runs so far
    12 × s   number and size of each shard
    columns  keys (32 bytes each), shard, offset, length, first supervised, run, time of use
    4        CRC-32 of all before

Numbers are little-endian. The index is only a snapshot: rows that were written after it are found in the shards.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from pathlib import Path

import attrs

from dlm.adapters.token_cache.entries import Entries

NAME = "index.bin"
_MAGIC = b"dlmtkix2"
_HEAD = struct.Struct("<8sIIII")
_SHARD = struct.Struct("<IQ")
_KEY_BYTES = 32
_COLUMNS = (("shard", "I"), ("offset", "Q"), ("length", "I"), ("first", "I"), ("run", "I"), ("used_at", "d"))


@attrs.define
class Index:
    """What ``index.bin`` holds; ``sizes`` are those of the shards when it was written."""

    entries: Entries = attrs.field(factory=Entries)
    sizes: dict[int, int] = attrs.field(factory=dict)
    next_shard: int = 1
    runs: int = 0


def to_bytes(index: Index) -> bytes:
    """Give the file's content; passing rows are left out."""
    entries = index.entries
    kept = list(entries.kept())
    parts = [_HEAD.pack(_MAGIC, len(kept), len(index.sizes), index.next_shard, index.runs)]
    parts += [_SHARD.pack(number, size) for number, size in sorted(index.sizes.items())]
    parts.append(b"".join([key for key, _ in kept]))
    for name, code in _COLUMNS:
        column = getattr(entries, name)
        parts.append(_little(array(code, [column[handle] for _, handle in kept])).tobytes())
    body = b"".join(parts)
    return body + zlib.crc32(body).to_bytes(4, "little")


def from_bytes(data: bytes) -> Index | None:
    """Read the file's content; None when it is not an index, or a damaged one."""
    if len(data) < _HEAD.size + 4 or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        return None
    magic, rows, shards, next_shard, runs = _HEAD.unpack_from(data)
    width = _KEY_BYTES + sum(array(code).itemsize for _, code in _COLUMNS)
    if magic != _MAGIC or len(data) != _HEAD.size + shards * _SHARD.size + rows * width + 4:
        return None
    place = _HEAD.size + shards * _SHARD.size
    sizes = dict(_SHARD.iter_unpack(data[_HEAD.size : place]))
    keys = (data[place + at * _KEY_BYTES : place + (at + 1) * _KEY_BYTES] for at in range(rows))
    entries = Entries(handles={key: handle for handle, key in enumerate(keys)})
    place += rows * _KEY_BYTES
    for name, code in _COLUMNS:
        column = array(code)
        column.frombytes(data[place : place + rows * column.itemsize])
        place += rows * column.itemsize
        setattr(entries, name, _little(column))
    entries.count_live()
    return Index(entries, sizes, next_shard, runs)


def read(folder: Path) -> Index | None:
    """Read the index of a cache folder; None when there is none that can be read."""
    try:
        return from_bytes((folder / NAME).read_bytes())
    except OSError:
        return None


def _little(column: array) -> array:  # type: ignore[type-arg]  # int and float arrays alike
    if sys.byteorder == "big":
        column.byteswap()
    return column
