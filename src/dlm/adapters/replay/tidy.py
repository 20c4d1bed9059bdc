"""Writing a corpus anew with only the frames that count."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from dlm.adapters.replay.draft import Draft, write_draft
from dlm.adapters.replay.names import NEW_CORPUS
from dlm.adapters.replay.shelf import Shelf
from dlm.adapters.replay.table import Records


def write_tidied(shelf: Shelf, chunks: Iterable[Records]) -> Draft:
    """Copy the frames of ``chunks``, each checked, to ``corpus.zst.new`` and draft the index of it.

    Frames that are lost are left out; readers of ``shelf`` were told about them.
    """
    path = shelf.folder / NEW_CORPUS
    try:
        with path.open("xb") as file:
            draft = write_draft(shelf.folder, _copied(shelf, chunks, file))
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return draft


def _copied(shelf: Shelf, chunks: Iterable[Records], file: BinaryIO) -> Iterator[Records]:
    offset = 0
    for chunk in chunks:
        moved, is_whole = chunk.copy(), np.ones(len(chunk), np.bool_)
        for place, found in enumerate(shelf.read(chunk)):
            if found is None:
                is_whole[place] = False
                continue
            file.write(found[0])
            moved["offset"][place], moved["length"][place] = offset, len(found[0])
            offset += len(found[0])
        yield moved[is_whole]
