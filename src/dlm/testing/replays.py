"""Removed sections remembered in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime

from dlm.domain.errors import ReplayError
from dlm.domain.replay import MAX_SNAPSHOT_BYTES, Remembered, Snapshot, draw, evicted, retention_slice
from dlm.ports.replay import ReplaySize


class MemoryReplay:
    """Keeps :class:`dlm.ports.replay.ReplayPort`'s promises for as long as it lives. A section takes the bytes of its
    text; nothing of it is ever dead or damaged."""

    def __init__(self) -> None:
        self._corpora: defaultdict[str, dict[str, Snapshot]] = defaultdict(dict)
        self._problems: defaultdict[str, list[ReplayError]] = defaultdict(list)

    def sample(
        self, dlm_id: str, *, current: Collection[str], held: Collection[str] = (), count: int, seed: int, now: datetime
    ) -> tuple[Snapshot, ...]:
        removed = self._removed(dlm_id, {*current, *held})
        drawn = draw((_remembered(item) for item in removed.values()), count=count, seed=seed, now=now)
        return tuple(removed[section_id] for section_id in drawn)

    def slice(self, dlm_id: str, *, current: Collection[str], seed: int) -> tuple[Snapshot, ...]:
        removed = self._removed(dlm_id, current)
        return tuple(removed[section_id] for section_id in retention_slice(removed, seed=seed))

    def read(self, dlm_id: str, ids: Collection[str]) -> tuple[Snapshot, ...]:
        corpus = self._corpora.get(dlm_id, {})
        return tuple(corpus[section_id] for section_id in sorted(set(ids)) if section_id in corpus)

    def size(self, dlm_id: str, *, current: Collection[str]) -> ReplaySize:
        corpus = self._corpora.get(dlm_id, {})
        return ReplaySize(
            sections=len(corpus),
            removed=len(self._removed(dlm_id, current)),
            bytes_on_disk=sum(_remembered(item).size_bytes for item in corpus.values()),
            dead_bytes=0,
        )

    def record(self, dlm_id: str, sections: Iterable[Snapshot], *, run_id: int, now: datetime) -> None:
        corpus = dict(self._corpora[dlm_id])
        met: dict[str, Snapshot] = {}
        for item in self._small_enough(dlm_id, sections):
            met.setdefault(item.section_id, item)
        for item in met.values():
            known = corpus.get(item.section_id)
            again = known and known.seen_again(run_id=run_id, now=now)
            corpus[item.section_id] = again or item.first_seen(run_id=run_id, now=now)
        self._corpora[dlm_id] = corpus

    def evict(self, dlm_id: str, *, current: Collection[str], max_sections: int, max_bytes: int) -> int:
        remembered = [_remembered(item) for item in self._corpora[dlm_id].values()]
        gone = evicted(remembered, current=current, max_sections=max_sections, max_bytes=max_bytes)
        return self._drop(dlm_id, gone)

    def drop(self, dlm_id: str, ids: Collection[str]) -> int:
        return self._drop(dlm_id, [section_id for section_id in set(ids) if section_id in self._corpora[dlm_id]])

    def forget(self, dlm_id: str, *, keep: Collection[str]) -> int:
        return self._drop(dlm_id, self._removed(dlm_id, keep))

    def problems(self, dlm_id: str) -> tuple[ReplayError, ...]:
        return tuple(self._problems.pop(dlm_id, ()))

    def _removed(self, dlm_id: str, without: Collection[str]) -> dict[str, Snapshot]:
        left = set(without)
        return {key: item for key, item in self._corpora.get(dlm_id, {}).items() if key not in left}

    def _drop(self, dlm_id: str, gone: Iterable[str]) -> int:
        ids = list(gone)
        for section_id in ids:
            del self._corpora[dlm_id][section_id]
        return len(ids)

    def _small_enough(self, dlm_id: str, sections: Iterable[Snapshot]) -> Iterator[Snapshot]:
        for item in sections:
            if len(item.content.encode()) <= MAX_SNAPSHOT_BYTES:
                yield item
            else:
                error = ReplayError("replay.too-large", f"{item.section_id} is too large", hint="Split it.")
                self._problems[dlm_id].append(error)


def _remembered(item: Snapshot) -> Remembered:
    return Remembered(item.section_id, item.last_seen_at, 1.0, len(item.content.encode()))
