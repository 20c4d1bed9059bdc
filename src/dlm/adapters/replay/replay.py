"""The replay corpus in a document's store."""

from __future__ import annotations

import os
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import chain
from pathlib import Path

import numpy as np

from dlm.adapters.replay import choices
from dlm.adapters.replay.draft import Draft, write_draft
from dlm.adapters.replay.names import CORPUS, DAMAGED_INDEX, FOLDER, INDEX, NEW_CORPUS, TABLE, reading, writing
from dlm.adapters.replay.recorder import append
from dlm.adapters.replay.shelf import Shelf, mend, opened
from dlm.adapters.replay.table import Ids, Records, Table, as_ids, find, frame_bytes, merged, select
from dlm.adapters.replay.tidy import write_tidied
from dlm.domain.errors import ReplayError
from dlm.domain.replay import Snapshot
from dlm.domain.text_files import sync_folder
from dlm.ports.replay import ReplaySize

_KEPT_PROBLEMS = 100


class FileReplay:
    """Keeps :class:`dlm.ports.replay.ReplayPort`'s promises in the folder ``replay`` of each store.

    Args:
        locate: gives the folder of a document's store.
    """

    def __init__(self, locate: Callable[[str], Path]) -> None:
        self._locate = locate
        self._problems: defaultdict[str, deque[ReplayError]] = defaultdict(lambda: deque(maxlen=_KEPT_PROBLEMS))

    def problems(self, dlm_id: str) -> tuple[ReplayError, ...]:
        """Give what was found damaged since this was last asked, and got around; the last hundred at most."""
        return tuple(self._problems.pop(dlm_id, ()))

    def sample(
        self, dlm_id: str, *, current: Collection[str], held: Collection[str] = (), count: int, seed: int, now: datetime
    ) -> tuple[Snapshot, ...]:
        """Draw up to ``count`` sections that are neither current nor held, in the order of ids."""
        with self._reading(dlm_id) as shelf:
            if shelf is None:
                return ()
            candidates = select(shelf.table, as_ids(chain(current, held)), inside=False)
            return _said(shelf, choices.draw(candidates, count=count, seed=seed, now=now))

    def slice(self, dlm_id: str, *, current: Collection[str], seed: int) -> tuple[Snapshot, ...]:
        """Give the retention slice, in the order of its keys."""
        with self._reading(dlm_id) as shelf:
            if shelf is None:
                return ()
            ids = choices.retained(shelf.table, as_ids(current), seed=seed)
            by_id = {said.section_id: said for said in _said(shelf, find(shelf.table, _sorted(ids)))}
            wanted = (f"{number:016x}" for number in ids.tolist())
            return tuple(by_id[section_id] for section_id in wanted if section_id in by_id)

    def read(self, dlm_id: str, ids: Collection[str]) -> tuple[Snapshot, ...]:
        """Give the remembered ones of these sections, in the order of ids."""
        with self._reading(dlm_id) as shelf:
            return () if shelf is None else _said(shelf, find(shelf.table, as_ids(ids)))

    def size(self, dlm_id: str, *, current: Collection[str]) -> ReplaySize:
        """Count what is remembered and what it takes."""
        with self._reading(dlm_id) as shelf:
            if shelf is None:
                return ReplaySize(sections=0, removed=0, bytes_on_disk=0, dead_bytes=0)
            removed = sum(len(chunk) for chunk in select(shelf.table, as_ids(current), inside=False))
            return ReplaySize(
                sections=shelf.table.count,
                removed=removed,
                bytes_on_disk=_bytes_on_disk(shelf.folder),
                dead_bytes=max(0, shelf.corpus_size - frame_bytes(shelf.table)),
            )

    def record(self, dlm_id: str, sections: Iterable[Snapshot], *, run_id: int, now: datetime) -> None:
        """Append frames, then make them count by replacing the index."""
        waiting = iter(sections)
        first = next(waiting, None)
        if first is None:
            return
        with self._writing(dlm_id) as folder:
            with self._shelf(dlm_id, folder) as shelf:
                updates = append(shelf, chain([first], waiting), run_id=run_id, now=now)
                draft = write_draft(folder, merged(shelf.table, updates)) if len(updates) else None
            if draft is not None:
                draft.publish()
            self._tidy_if_due(dlm_id, folder)

    def evict(self, dlm_id: str, *, current: Collection[str], max_sections: int, max_bytes: int) -> int:
        """Let sections go until both limits hold. ``max_bytes`` is about the frames that count; the file is tidied when
        it is larger, or when more than half of it is dead."""

        def chosen(table: Table) -> Ids:
            return choices.evicted(table, as_ids(current), max_sections=max_sections, max_bytes=max_bytes)

        return self._let_go(dlm_id, chosen, max_bytes=max_bytes)

    def drop(self, dlm_id: str, ids: Collection[str]) -> int:
        """Let these sections go."""
        return self._let_go(dlm_id, lambda table: np.unique(find(table, as_ids(ids))["id"]))

    def _let_go(self, dlm_id: str, chosen: Callable[[Table], Ids], *, max_bytes: int | None = None) -> int:
        """Take sections out of the index; gives how many went."""
        if not self._is_there(dlm_id):
            return 0
        with self._writing(dlm_id) as folder:
            with self._shelf(dlm_id, folder) as shelf:
                gone = chosen(shelf.table)
                draft = write_draft(folder, select(shelf.table, gone, inside=False)) if len(gone) else None
            if draft is not None:
                draft.publish()
            self._tidy_if_due(dlm_id, folder, max_bytes=max_bytes)
        return len(gone)

    def forget(self, dlm_id: str, *, keep: Collection[str]) -> int:
        """Drop what is not in ``keep``, and write the corpus anew so that none of its bytes stays."""
        if not self._is_there(dlm_id):
            return 0
        with self._writing(dlm_id) as folder:
            kept = as_ids(keep)
            with self._shelf(dlm_id, folder) as shelf:
                gone = sum(len(chunk) for chunk in select(shelf.table, kept, inside=False))
                is_dirty = gone or shelf.corpus_size != frame_bytes(shelf.table)
                draft = write_tidied(shelf, select(shelf.table, kept, inside=True)) if is_dirty else None
            if draft is not None:
                draft.publish_with_new_corpus()
            (folder / DAMAGED_INDEX).unlink(missing_ok=True)
            sync_folder(folder)
        return gone

    def _tidy_if_due(self, dlm_id: str, folder: Path, *, max_bytes: int | None = None) -> None:
        """Write the corpus anew without dead frames when they are more than half of it, or keep it over the limit."""
        draft: Draft | None = None
        with self._shelf(dlm_id, folder) as shelf:
            live, size = frame_bytes(shelf.table), shelf.corpus_size
            is_over = max_bytes is not None and live <= max_bytes < size
            if 2 * live < size or is_over:
                draft = write_tidied(shelf, shelf.table.chunks())
        if draft is not None:
            draft.publish_with_new_corpus()

    @contextmanager
    def _reading(self, dlm_id: str) -> Iterator[Shelf | None]:
        folder = self._folder(dlm_id)
        with reading(folder), opened(folder, self._problems[dlm_id].append) as shelf:
            yield shelf

    @contextmanager
    def _writing(self, dlm_id: str) -> Iterator[Path]:
        folder = self._folder(dlm_id)
        with writing(folder):
            mend(folder, self._problems[dlm_id].append)
            yield folder

    @contextmanager
    def _shelf(self, dlm_id: str, folder: Path) -> Iterator[Shelf]:
        with opened(folder, self._problems[dlm_id].append) as shelf:
            assert shelf is not None
            yield shelf

    def _folder(self, dlm_id: str) -> Path:
        return self._locate(dlm_id) / FOLDER

    def _is_there(self, dlm_id: str) -> bool:
        return os.path.lexists(self._folder(dlm_id))


def _said(shelf: Shelf, records: Records) -> tuple[Snapshot, ...]:
    return tuple(found[1] for found in shelf.read(records) if found is not None)


def _sorted(ids: Ids) -> Ids:
    return as_ids(f"{number:016x}" for number in ids.tolist())


def _bytes_on_disk(folder: Path) -> int:
    total = 0
    for name in (CORPUS, NEW_CORPUS, INDEX, TABLE, DAMAGED_INDEX):
        if os.path.lexists(folder / name):
            total += (folder / name).lstat().st_size
    return total
