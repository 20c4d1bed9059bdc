"""Decisions that carry their reason."""

from __future__ import annotations

from typing import Generic, TypeVar

import attrs

T = TypeVar("T")


@attrs.frozen
class Choice(Generic[T]):
    """A value that was decided, and why. Printed by ``doctor``, ``--verbose`` and the run report."""

    value: T
    reason: str

    def __str__(self) -> str:
        return f"{self.value} ({self.reason})"
