"""Both forms of the index, written aside in one go and put in place in an order that a crash cannot spoil."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import attrs

from dlm.adapters.replay.index_json import IndexWriter
from dlm.adapters.replay.names import CORPUS, INDEX, NEW_CORPUS, NEW_INDEX, TABLE, temporary
from dlm.adapters.replay.table import ArrayTable, Records, TableWriter
from dlm.domain.text_files import sync_folder


@attrs.frozen
class Draft:
    """An index that is whole, on disk, and not in place yet."""

    folder: Path
    index: Path
    table: Path

    def publish(self) -> None:
        """Make it the index of the corpus as it is. From the first rename on the new one counts."""
        self._retire_table()
        self._move(self.index, INDEX)
        self._move(self.table, TABLE)

    def publish_with_new_corpus(self) -> None:
        """Make it the index of ``corpus.zst.new`` and put both in place.

        The rename to ``index.json.new`` decides. Before it the old pair counts and what is new is swept; after it the
        new pair counts, wherever its halves stand, and :func:`roll_forward` completes the move.
        """
        sync_folder(self.folder)
        self._retire_table()
        self._move(self.index, NEW_INDEX)
        roll_forward(self.folder)
        self._move(self.table, TABLE)

    def discard(self) -> None:
        """Remove it."""
        self.index.unlink(missing_ok=True)
        self.table.unlink(missing_ok=True)

    def _retire_table(self) -> None:
        # Two indices written in the same tick of the clock can agree in size and time; no table outlives its own.
        (self.folder / TABLE).unlink(missing_ok=True)
        sync_folder(self.folder)

    def _move(self, path: Path, name: str) -> None:
        path.replace(self.folder / name)
        sync_folder(self.folder)


def write_draft(folder: Path, chunks: Iterable[Records]) -> Draft:
    """Write records (in order) as ``index.json`` and ``index.bin`` under temporary names, flushed."""
    draft = Draft(folder, temporary(folder, INDEX), temporary(folder, TABLE))
    try:
        with draft.table.open("xb") as table_file:
            table = TableWriter(table_file)
            with draft.index.open("xb") as index_file:
                index = IndexWriter(index_file)
                for chunk in (part for whole in chunks for part in ArrayTable(whole).chunks()):
                    index.add(chunk)
                    table.add(chunk)
                index.finish()
                index_file.flush()
                os.fsync(index_file.fileno())
            written = draft.index.stat()
            table.finish(written.st_size, written.st_mtime_ns)
            table_file.flush()
            os.fsync(table_file.fileno())
    except BaseException:
        draft.discard()
        raise
    return draft


def roll_forward(folder: Path) -> None:
    """Complete a move that was decided, or clear away one that was not."""
    if not (folder / NEW_INDEX).exists():
        (folder / NEW_CORPUS).unlink(missing_ok=True)
        return
    if (folder / NEW_CORPUS).exists():
        (folder / NEW_CORPUS).replace(folder / CORPUS)
        sync_folder(folder)
    (folder / NEW_INDEX).replace(folder / INDEX)
    sync_folder(folder)
