"""Appending frames to a corpus: nothing in the corpus changes, and nothing new counts until the index says so."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import BinaryIO

import attrs
import numpy as np

from dlm.adapters.replay.frames import encoder
from dlm.adapters.replay.index_json import Row, seconds
from dlm.adapters.replay.names import CORPUS
from dlm.adapters.replay.shelf import Shelf, Tell
from dlm.adapters.replay.table import RECORD, Records, as_ids, find, ordered, records
from dlm.domain.errors import ReplayError
from dlm.domain.replay import MAX_SNAPSHOT_BYTES, Snapshot
from dlm.domain.text_files import sync_folder

_BATCH = 4096
_BATCH_CHARACTERS = 4 << 20
"""Sections are looked up together, as many as fit: each look-up reads the index once."""


def append(shelf: Shelf, sections: Iterable[Snapshot], *, run_id: int, now: datetime) -> Records:
    """Write a frame for each section to the end of the corpus and flush it; gives the records of the frames, ordered.

    A section that is in the index gets a frame that keeps its content and its first sight. ``sections`` is consumed as
    it comes. When anything fails, the corpus gets its old length back.
    """
    path = shelf.folder / CORPUS
    is_new = not path.exists()
    try:
        with path.open("ab") as file:
            if is_new:
                sync_folder(shelf.folder)
            writer = _Appender(file, encoder(), shelf.corpus_size)
            made = [writer.add(_due(shelf, batch, run_id, now)) for batch in _batches(sections, shelf.tell)]
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            os.truncate(path, shelf.corpus_size)
        raise
    return ordered(np.concatenate([np.empty(0, RECORD), *made]))


@attrs.define
class _Appender:
    """The end of a corpus."""

    file: BinaryIO
    encode: Callable[[Snapshot], bytes]
    offset: int

    def add(self, snapshots: Iterable[Snapshot]) -> Records:
        """Write frames; gives their records."""
        return records(self._rows(snapshots))

    def _rows(self, snapshots: Iterable[Snapshot]) -> Iterator[Row]:
        for snapshot in snapshots:
            frame = self.encode(snapshot)
            self.file.write(frame)
            yield int(snapshot.section_id, 16), self.offset, len(frame), seconds(snapshot.last_seen_at), 1.0
            self.offset += len(frame)


def _due(shelf: Shelf, batch: dict[str, Snapshot], run_id: int, now: datetime) -> Iterator[Snapshot]:
    """Give what to write down about each section of a batch."""
    known = find(shelf.table, as_ids(batch))
    for found in shelf.read(known):
        # One whose frame is lost is written down as if it came for the first time.
        if found is not None:
            yield found[1].seen_again(run_id=run_id, now=now)
            del batch[found[1].section_id]
    for snapshot in batch.values():
        yield snapshot.first_seen(run_id=run_id, now=now)


def _batches(sections: Iterable[Snapshot], tell: Tell) -> Iterator[dict[str, Snapshot]]:
    batch: dict[str, Snapshot] = {}
    characters = 0
    for snapshot in sections:
        if len(snapshot.content.encode()) > MAX_SNAPSHOT_BYTES:
            tell(_too_large(snapshot))
        elif snapshot.section_id not in batch:
            batch[snapshot.section_id] = snapshot
            characters += len(snapshot.content)
        if len(batch) >= _BATCH or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = {}, 0
    if batch:
        yield batch


def _too_large(snapshot: Snapshot) -> ReplayError:
    return ReplayError(
        "replay.too-large",
        f"section {snapshot.section_id} has {len(snapshot.content.encode())} bytes of text; sections of more than "
        f"{MAX_SNAPSHOT_BYTES} are learned, but not remembered once they are removed",
        hint="Split it into several sections to have it remembered.",
    )
