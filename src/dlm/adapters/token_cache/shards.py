"""Numbered files that only grow: many records each. Not safe for threads; whoever holds them takes turns.

Records are read at their place with plain reads: unlike a memory map that neither counts as the process's memory nor
kills it when a file is cut short under its hands.
"""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

_NAME = re.compile(r"(\d{8})\.tokens")
_OPEN_FILES = 64
"""Files open at once; macOS lets a process have 256."""


def shard_path(folder: Path, number: int) -> Path:
    """Give the path of a shard."""
    return folder / f"{number:08d}.tokens"


def shard_files(folder: Path) -> Iterator[tuple[int, Path]]:
    """Give number and path of each shard in a folder, in order; links and anything else are passed over."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - a listing of names, no objects
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        match = _NAME.fullmatch(name)
        path = folder / name
        if match and path.is_file() and not path.is_symlink():
            yield int(match[1]), path


class Shards:
    """The shards of one folder.

    Args:
        sizes: bytes of those that are there already.
        growing: the one to write on in; None begins a new one.
        next_number: of the next new one.
        limit: bytes from which a new one is begun; a single record may be longer.
    """

    def __init__(
        self, folder: Path, *, limit: int, sizes: dict[int, int] | None = None, growing: int | None = None,
        next_number: int = 1,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.sizes = {} if sizes is None else sizes
        self.next_number = next_number
        self._limit = limit
        self._growing = growing
        self._writer: IO[bytes] | None = None
        self._readers: OrderedDict[int, IO[bytes]] = OrderedDict()
        self._unsynced: set[int] = set()

    @property
    def total(self) -> int:
        """Bytes of all shards."""
        return sum(self.sizes.values())

    def append(self, data: bytes) -> tuple[int, int]:
        """Write a record at the end; gives its shard and offset.

        Raises:
            OSError: it could not be written whole; what was written is cut off again.
        """
        number, file = self._room_for(len(data))
        offset = self.sizes[number]
        view = memoryview(data)
        try:
            while view:
                view = view[file.write(view) :]
        except OSError:
            self.roll_over()
            with suppress(OSError):
                os.truncate(shard_path(self.folder, number), offset)
            raise
        self.sizes[number] = offset + len(data)
        self._unsynced.add(number)
        return number, offset

    def read(self, number: int, offset: int, size: int) -> bytes:
        """Give bytes of a shard; fewer where it ends.

        Raises:
            OSError: it cannot be read.
        """
        file = self._reader(number)
        file.seek(offset)
        parts = []
        while size > 0 and (part := file.read(size)):
            parts.append(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def roll_over(self) -> None:
        """Begin a new shard with the next record."""
        if self._writer is not None:
            self._writer.close()
        self._writer = self._growing = None

    def remove(self, number: int) -> None:
        """Delete a shard."""
        if number == self._growing:
            self.roll_over()
        if (reader := self._readers.pop(number, None)) is not None:
            reader.close()
        shard_path(self.folder, number).unlink(missing_ok=True)
        self.sizes.pop(number, None)
        self._unsynced.discard(number)

    def sync(self) -> None:
        """Flush what was written to the disk."""
        for number in sorted(self._unsynced):
            with shard_path(self.folder, number).open("r+b") as file:
                os.fsync(file.fileno())
        self._unsynced.clear()

    def close(self) -> None:
        """Close all files."""
        self.roll_over()
        while self._readers:
            self._readers.popitem()[1].close()

    def _room_for(self, size: int) -> tuple[int, IO[bytes]]:
        """Give the shard to write to, open for appending."""
        number = self._growing
        if number is not None and self.sizes[number] and self.sizes[number] + size > self._limit:
            self.roll_over()
            number = None
        if number is None:
            number = self._begin()
        if self._writer is None:
            self._writer = shard_path(self.folder, number).open("ab", buffering=0)
        return number, self._writer

    def _begin(self) -> int:
        number = self.next_number
        self.folder.mkdir(exist_ok=True)
        with shard_path(self.folder, number).open("xb"):
            pass
        self.next_number += 1
        self._growing = number
        self.sizes[number] = 0
        return number

    def _reader(self, number: int) -> IO[bytes]:
        file = self._readers.get(number)
        if file is None:
            file = self._readers[number] = shard_path(self.folder, number).open("rb", buffering=0)
            if len(self._readers) > _OPEN_FILES:
                self._readers.popitem(last=False)[1].close()
        self._readers.move_to_end(number)
        return file


class MemoryShards:
    """Where records go when no disk takes them."""

    def __init__(self) -> None:
        self._records: list[bytes] = []

    def append(self, data: bytes) -> tuple[int, int]:
        """Keep a record; each is a shard of its own."""
        self._records.append(data)
        return len(self._records) - 1, 0

    def read(self, number: int, offset: int, size: int) -> bytes:
        """Give bytes of a record."""
        return self._records[number][offset : offset + size]

    def close(self) -> None:
        """Let go of them."""
        self._records.clear()
