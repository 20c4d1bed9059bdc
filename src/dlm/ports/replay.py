"""Remembering sections that a document once had."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Protocol

import attrs

from dlm.domain.replay import Snapshot


@attrs.frozen(kw_only=True)
class ReplaySize:
    """How much is remembered. ``removed`` counts sections outside the document asked about."""

    sections: int
    removed: int
    bytes_on_disk: int
    dead_bytes: int


class ReplayPort(Protocol):
    """The replay corpus of each store. Reading creates nothing and takes memory for what it gives, not for the corpus.

    ``current`` is the set of section ids of the document as it is now. Writing methods are for the holder of the
    store's writer lock; each is atomic: after a crash the corpus is as before or as after.

    Raises ``ReplayError``: ``replay.corrupt`` for a damaged corpus or index, with what to do; ``DiskError``.
    """

    def sample(
        self, dlm_id: str, *, current: Collection[str], held: Collection[str] = (), count: int, seed: int, now: datetime
    ) -> tuple[Snapshot, ...]:
        """Draw up to ``count`` sections that are not in ``current`` nor ``held``, recent ones more often."""
        ...

    def slice(self, dlm_id: str, *, current: Collection[str], seed: int) -> tuple[Snapshot, ...]:
        """Give the retention slice: a twentieth of the sections not in ``current``, at least one where there are any,
        always the same ones for a seed as long as they are there."""
        ...

    def size(self, dlm_id: str, *, current: Collection[str]) -> ReplaySize: ...

    def record(self, dlm_id: str, sections: Iterable[Snapshot], *, run_id: int, now: datetime) -> None:
        """Remember that a run's document held these sections: new ones are added, known ones seen again."""
        ...

    def evict(self, dlm_id: str, *, current: Collection[str], max_sections: int, max_bytes: int) -> int:
        """Let the sections go that were seen longest ago until both limits hold, never one of ``current``; gives how
        many went. Space is given back when more than half of the corpus is dead."""
        ...

    def forget(self, dlm_id: str, *, keep: Collection[str]) -> int:
        """Drop every section that is not in ``keep`` and its bytes; gives how many went."""
        ...
