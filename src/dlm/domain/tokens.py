"""Rows as token ids in memory."""

from __future__ import annotations

from array import array
from collections.abc import Sequence


class MemoryTokens:
    """Token ids of a document that fits into memory: 4 bytes each. Implements ``TokenStore`` without a disk.

    A row is found again within the same run only, and that is counted neither as hit nor as miss: nothing was cached.
    """

    def __init__(self) -> None:
        self._handles: dict[str, int] = {}
        self._rows: list[tuple[array[int], int]] = []

    def find(self, key: str) -> int | None:
        """Give the handle of a row that was added."""
        return self._handles.get(key)

    def add(self, key: str, ids: Sequence[int], first_supervised: int) -> int:
        """Keep a row."""
        if key in self._handles:
            return self._handles[key]
        self._handles[key] = len(self._rows)
        self._rows.append((array("I", list(ids)), first_supervised))  # bytes would be taken for raw numbers
        return len(self._rows) - 1

    def length(self, handle: int) -> int:
        """Give the number of ids of a row."""
        return len(self._rows[handle][0])

    def read(self, handle: int, start: int = 0, stop: int | None = None) -> tuple[memoryview, int]:
        """Give ids of a row and where its supervised part begins."""
        ids, first = self._rows[handle]
        return memoryview(ids)[start:stop], first
