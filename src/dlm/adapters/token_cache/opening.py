"""A cache folder as it is found: the index put beside what the shards really hold. Reads only."""

from __future__ import annotations

from pathlib import Path

import attrs

from dlm.adapters.token_cache import index
from dlm.adapters.token_cache.records import record_bytes, scan
from dlm.adapters.token_cache.shards import shard_files


@attrs.define
class Opened:
    """What is in a folder.

    Args:
        index: all rows that can be reached; its sizes are those of the files.
        growing: the shard to write on in; None when none ends with a whole record.
        leftovers: files that belong to nothing any more.
    """

    index: index.Index
    growing: int | None
    leftovers: list[Path]


def look_into(folder: Path) -> Opened:
    """Read the index, leave out rows whose bytes are gone, and take in rows that a dead process had no time to index.

    Shards below the index's next number that it does not name were given up by it: they are leftovers.

    Raises:
        OSError: the folder is there and cannot be read.
    """
    kept = index.read(folder)
    found = index.Index() if kept is None else kept
    indexed, found.sizes = found.sizes, {}
    leftovers, torn = [], set()
    for number, path in shard_files(folder / "shards"):
        if number not in indexed and number < found.next_shard and kept is not None:
            leftovers.append(path)
            continue
        found.sizes[number] = path.stat().st_size
        if not _take_in(found, number, path, indexed.get(number, 0)):
            torn.add(number)
    _leave_out_lost(found, indexed)
    found.next_shard = max([found.next_shard, *(number + 1 for number in found.sizes)])
    found.entries.count_live()
    last = max(found.sizes, default=None)
    return Opened(found, None if last in torn else last, leftovers)


def _take_in(found: index.Index, number: int, path: Path, start: int) -> bool:
    """Find rows of a shard behind ``start``; False when the file does not end with a whole record."""
    size = found.sizes[number]
    if size <= start:
        return size == start
    with path.open("rb") as file:
        file.seek(start)
        data = file.read()
    used_at, end = path.stat().st_mtime, start
    for row in scan(data, start):
        if row.key not in found.entries.handles:
            place = (number, row.offset)
            found.entries.add(row.key, place, row.length, row.first, run=found.runs, used_at=used_at)
        end = row.offset + record_bytes(row.length)
    return end == size


def _leave_out_lost(found: index.Index, indexed: dict[int, int]) -> None:
    """Forget rows of shards that are gone or shorter than the index knew them."""
    short = {number for number, size in indexed.items() if found.sizes.get(number, 0) < size}
    if not short:
        return
    entries = found.entries
    for key, handle in list(entries.kept()):
        number = entries.shard[handle]
        end = entries.offset[handle] + record_bytes(entries.length[handle])
        if number in short and end > found.sizes.get(number, 0):
            entries.drop(key)
