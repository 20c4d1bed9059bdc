"""A replay folder opened: a corpus and the index that fits it, whatever a crash or a bad disk left there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import attrs

from dlm.adapters.replay.draft import roll_forward, write_draft
from dlm.adapters.replay.frames import DamagedFrame, decode, frames_in, read_at
from dlm.adapters.replay.index_json import DamagedIndex, Row, read_index, seconds
from dlm.adapters.replay.names import (
    CORPUS,
    DAMAGED_INDEX,
    INDEX,
    NEW_CORPUS,
    NEW_INDEX,
    TABLE,
    check_folder,
    corrupt,
    make_folder,
    open_regular,
    sweep,
)
from dlm.adapters.replay.table import (
    ArrayTable,
    Records,
    Table,
    as_text,
    frames_end,
    open_table,
    records,
)
from dlm.domain.errors import ReplayError, StoreError
from dlm.domain.replay import Snapshot
from dlm.domain.text_files import sync_folder

Tell = Callable[[ReplayError], None]
Found = tuple[bytes, Snapshot]
"""A frame and what it says."""

_TRIES = 100


@attrs.frozen
class Shelf:
    """A corpus and its index, held open: what a writer puts in their place meanwhile does not change what is read.

    Args:
        corpus: None when there is no corpus.
        is_index_damaged: the index had to be made anew from the frames.
    """

    folder: Path
    corpus: BinaryIO | None
    corpus_size: int
    table: Table
    is_index_damaged: bool
    tell: Tell

    def read(self, chunk: Records) -> Iterator[Found | None]:
        """Give the frames of some records, one for one and in their order; None where one is lost. Those that are not
        where the index says are looked for in the whole corpus; lost ones are told about once."""
        lost, first = 0, ""
        places: dict[str, tuple[int, int]] | None = None
        for row in chunk:
            section_id, place = as_text(row["id"]), (int(row["offset"]), int(row["length"]))
            found, reason = self._read_one(section_id, place)
            if found is None:
                places = self._places(chunk) if places is None else places
                found, _ = self._read_one(section_id, places.get(section_id))
            if found is None:
                lost, first = lost + 1, first or reason
            yield found
        if lost:
            self.tell(self._lost(lost, first))

    def _read_one(self, section_id: str, place: tuple[int, int] | None) -> tuple[Found | None, str]:
        if self.corpus is None or place is None:
            return None, f"section {section_id}: there is no such file"
        try:
            return read_at(self.corpus, self.corpus_size, *place, section_id), ""
        except DamagedFrame as exc:
            return None, f"the frame of section {section_id} at byte {place[0]}: {exc}"

    def _places(self, chunk: Records) -> dict[str, tuple[int, int]]:
        """Look through the corpus for the last whole frame of each of these sections."""
        wanted = {as_text(number) for number in chunk["id"]}
        return {said.section_id: (at, size) for at, size, said in self.frames() if said.section_id in wanted}

    def frames(self) -> Iterator[tuple[int, int, Snapshot]]:
        """Give every whole frame of the corpus, dead ones included."""
        return frames_in(self.corpus) if self.corpus is not None else iter(())

    def _lost(self, count: int, first: str) -> ReplayError:
        others = f"; {count - 1} more cannot be read either" if count > 1 else ""
        return corrupt(
            self.folder / CORPUS,
            first + others,
            "Nothing needs to be done: everything else is used, and the damaged part goes when the file is tidied. "
            "A backup of the folder brings the section back.",
        )


@contextmanager
def opened(folder: Path, tell: Tell) -> Iterator[Shelf | None]:
    """Open a replay folder for reading, creating nothing; None when there is none.

    Raises:
        ReplayError: the folder or a file in it is a link or a device.
        StoreError: writers replace the files faster than they can be opened.
    """
    if not check_folder(folder):
        yield None
        return
    for _ in range(_TRIES):
        before = _state(folder)
        with ExitStack() as files:
            corpus, index, table = (_enter(files, path) for path in _names(folder))
            if _state(folder) == before:
                yield _shelf(folder, corpus, index, table, tell)
                return
    raise StoreError("store.io", f"{folder} keeps changing", hint="Wait for the other dlm to finish and try again.")


def _enter(files: ExitStack, path: Path) -> BinaryIO | None:
    file = open_regular(path)
    return files.enter_context(file) if file is not None else None


def _names(folder: Path) -> tuple[Path, Path, Path]:
    """Give the corpus, the index and the table that count. See ``Draft.publish_with_new_corpus``."""
    is_moving = (folder / NEW_INDEX).exists()
    corpus = NEW_CORPUS if is_moving and (folder / NEW_CORPUS).exists() else CORPUS
    return folder / corpus, folder / (NEW_INDEX if is_moving else INDEX), folder / TABLE


def _state(folder: Path) -> tuple[object, ...]:
    """Give what changes whenever another pair of files counts."""
    state: list[object] = []
    for name in (CORPUS, NEW_CORPUS, INDEX, NEW_INDEX):
        try:
            found = (folder / name).lstat()
            # The corpus grows at its end, which changes nothing for those who hold an index.
            grows = name in (CORPUS, NEW_CORPUS)
            state.append((found.st_ino, None if grows else (found.st_size, found.st_mtime_ns)))
        except FileNotFoundError:
            state.append(None)
    return tuple(state)


def _shelf(folder: Path, corpus: BinaryIO | None, index: BinaryIO | None, table: BinaryIO | None, tell: Tell) -> Shelf:
    size = corpus.seek(0, 2) if corpus is not None else 0
    found, reason = _table(index, table, size)
    if found is None:
        tell(_unreadable(folder, reason))
        found = ArrayTable(records(_rows(corpus)))
    return Shelf(folder, corpus, size, found, bool(reason), tell)


def _table(index: BinaryIO | None, table: BinaryIO | None, corpus_size: int) -> tuple[Table | None, str]:
    if index is None:
        return (None, "it is not there") if corpus_size else (ArrayTable(records(())), "")
    size, mtime_ns = _size_and_time(index)
    quick = open_table(table, size, mtime_ns) if table is not None else None
    if quick is not None:
        return quick, ""
    try:
        return ArrayTable(read_index(index)), ""
    except DamagedIndex as exc:
        return None, str(exc)


def _size_and_time(file: BinaryIO) -> tuple[int, int]:
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns


def _rows(corpus: BinaryIO | None) -> Iterator[Row]:
    for offset, length, snapshot in frames_in(corpus) if corpus is not None else ():
        yield int(snapshot.section_id, 16), offset, length, seconds(snapshot.last_seen_at), 1.0


def _unreadable(folder: Path, reason: str) -> ReplayError:
    return corrupt(
        folder / INDEX,
        f"{reason}; the list of remembered sections was made anew from {CORPUS}",
        f"Nothing needs to be done. The next training writes it again and keeps the old one as {DAMAGED_INDEX}.",
    )


def mend(folder: Path, tell: Tell) -> None:
    """Make a replay folder ready for its writer: finish or undo what a dead one began, rewrite a damaged index, cut off
    a tail that no index names. Creates the folder with an empty index when there is none.

    Raises:
        ReplayError: the folder or a file in it is a link or a device.
    """
    if not check_folder(folder):
        make_folder(folder)
    roll_forward(folder)
    sweep(folder)
    with opened(folder, tell) as shelf:
        assert shelf is not None
        end = _end_to_keep(shelf)
        needs_index = shelf.is_index_damaged or not (folder / INDEX).exists()
        draft = write_draft(folder, shelf.table.chunks()) if needs_index else None
    if draft is not None:
        if (folder / INDEX).exists():
            (folder / INDEX).replace(folder / DAMAGED_INDEX)
            sync_folder(folder)
        draft.publish()
    if end is not None:
        with (folder / CORPUS).open("r+b") as file:
            file.truncate(end)


def _end_to_keep(shelf: Shelf) -> int | None:
    """Give where a torn tail begins; None when there is none, or when the index is not to be trusted with that."""
    last = frames_end(shelf.table)
    if last is None:
        return 0 if shelf.corpus_size and not shelf.is_index_damaged else None
    end = sum(last)
    if end >= shelf.corpus_size or shelf.corpus is None or shelf.is_index_damaged:
        return None
    try:
        shelf.corpus.seek(last[0])
        decode(shelf.corpus.read(last[1]))
    except DamagedFrame:
        return None
    return end
