"""Keeping importance matrices between exports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import attrs

from dlm.domain.importance import ImportanceKey


@attrs.frozen(kw_only=True)
class KeptImportance:
    """A matrix that is kept: a file in llama.cpp's GGUF form, its lower-case hex digest, and the pieces of text that
    it was made from."""

    path: Path
    sha256: str
    chunks: int


class ImportanceCachePort(Protocol):
    """The importance matrices of a home, shared by its documents. Threads and processes may share it.

    Damage is never an error: a matrix that is not what was written is made again.

    Raises ``DiskError`` when a new matrix cannot be written, and whatever ``build`` raises; nothing is kept then.
    """

    def get(self, key: ImportanceKey, build: Callable[[Path], int]) -> KeptImportance | None:
        """Give the matrix of a key; made by ``build`` when there is none.

        ``build`` writes the file it is given and tells how many pieces of text it had. With fewer than two it writes
        nothing; None is given then, and nothing is kept. Of several that want the same matrix at once, one builds and
        the others wait for it.
        """
        ...
