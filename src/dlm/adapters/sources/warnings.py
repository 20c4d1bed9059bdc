"""Warnings of one scan: each kind told a few times, then counted."""

from __future__ import annotations

from collections import Counter

MOST_OF_A_KIND = 20
"""A tree in another encoding has thousands of files to warn about; nobody reads further."""


class Warnings:
    """Collects sentences in the order they came."""

    def __init__(self) -> None:
        self._told: list[str] = []
        self._count: Counter[str] = Counter()

    def add(self, kind: str, sentence: str) -> None:
        """Keep a sentence; beyond the first few of its kind only the number counts."""
        self._count[kind] += 1
        if self._count[kind] <= MOST_OF_A_KIND:
            self._told.append(sentence)

    def all(self) -> tuple[str, ...]:
        """Give all sentences, and one for each kind that was cut short."""
        cut = (count - MOST_OF_A_KIND for count in self._count.values())
        return (*self._told, *(f"{left} more warnings like those above are not listed" for left in cut if left > 0))
