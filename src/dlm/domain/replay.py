"""Sections a document once had: which of them are read again, which are kept back to be measured, which are let go."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import attrs

SnapshotType = Literal["prose", "instruction", "preference"]


@attrs.frozen(kw_only=True)
class Snapshot:
    """A section as it was when the document held it.

    Args:
        content: the section's text below its fence and marks.
        last_seen_at: start of the last run whose document held it.
        runs_seen: ids of the runs whose document held it, ascending.
    """

    section_id: str
    type: SnapshotType
    content: str
    first_seen_at: datetime
    last_seen_at: datetime
    runs_seen: tuple[int, ...] = ()
    auto_mined: bool = False


DEFAULT_MAX_SECTIONS = 10_000
DEFAULT_MAX_BYTES = 2**30


def replay_count(n_new: int) -> int:
    """Give how many removed sections to draw."""
    return max(32, 2 * n_new)
