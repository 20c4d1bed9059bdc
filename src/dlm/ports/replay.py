"""Remembering sections that a document once had."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Protocol

import attrs

from dlm.domain.errors import ReplayError
from dlm.domain.replay import Snapshot


@attrs.frozen(kw_only=True)
class ReplaySize:
    """How much is remembered.

    Args:
        removed: sections outside the document asked about.
        bytes_on_disk: of everything kept for it.
        dead_bytes: of what no longer counts and is given back when there is enough of it.
    """

    sections: int
    removed: int
    bytes_on_disk: int
    dead_bytes: int


class ReplayPort(Protocol):
    """The replay corpus of each store. Reading creates nothing and takes memory for what it gives, not for the corpus.

    ``current`` is the set of section ids of the document as it is now; ids of sections that are not remembered are
    allowed everywhere. Writing methods are for the holder of the store's writer lock; each is atomic: after a crash the
    corpus is as before or as after.

    Damage never stands in the way of what is whole: a section that cannot be read is left out, a damaged index is made
    anew, and ``problems`` tells of both.

    Raises ``ReplayError``: ``replay.not-a-file`` when links or devices stand where files should; ``DiskError`` when
    there is no room; ``StoreError`` when the disk cannot be read.
    """

    def sample(
        self, dlm_id: str, *, current: Collection[str], held: Collection[str] = (), count: int, seed: int, now: datetime
    ) -> tuple[Snapshot, ...]:
        """Draw up to ``count`` sections that are neither in ``current`` nor in ``held``, recent ones more often, in
        the order of ids. The same call on the same corpus gives the same sections."""
        ...

    def slice(self, dlm_id: str, *, current: Collection[str], seed: int) -> tuple[Snapshot, ...]:
        """Give the retention slice: a twentieth of the sections not in ``current``, at least one where there are any,
        the same ones for a seed as long as nothing comes or goes, and few others when something does."""
        ...

    def read(self, dlm_id: str, ids: Collection[str]) -> tuple[Snapshot, ...]:
        """Give the remembered ones of these sections, in the order of ids."""
        ...

    def size(self, dlm_id: str, *, current: Collection[str]) -> ReplaySize: ...

    def record(self, dlm_id: str, sections: Iterable[Snapshot], *, run_id: int, now: datetime) -> None:
        """Remember that a run's document held these sections, consumed as they come.

        New ones are added as seen first and last at ``now``, in this run. Known ones keep their content and first
        sight; they were seen last at ``now``, or later already, and in this run, too. An id that comes twice counts
        once. A section of more than 64 MiB is left out, and ``problems`` tells so.
        """
        ...

    def evict(self, dlm_id: str, *, current: Collection[str], max_sections: int, max_bytes: int) -> int:
        """Let the sections go that were seen longest ago until both limits hold, never one of ``current``; gives how
        many went. Space is given back when more than half of the corpus is dead."""
        ...

    def drop(self, dlm_id: str, ids: Collection[str]) -> int:
        """Let these sections go; gives how many were there. Space is given back as after ``evict``."""
        ...

    def forget(self, dlm_id: str, *, keep: Collection[str]) -> int:
        """Drop every section that is not in ``keep``, and its bytes from the disk; gives how many went."""
        ...

    def problems(self, dlm_id: str) -> tuple[ReplayError, ...]:
        """Give what was found damaged or left out since this was last asked, oldest first, and forget it."""
        ...
