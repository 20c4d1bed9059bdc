"""Operating-system errors become ours at the edge of each operation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dlm.domain.errors import StoreError
from dlm.domain.text_files import disk_error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Translate errors of an operation that changes something at or under ``path``."""
    try:
        yield
    except OSError as exc:
        raise disk_error(exc, path) from exc


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Translate errors of an operation that only looks at ``path``."""
    try:
        yield
    except OSError as exc:
        raise StoreError(
            "store.unreadable",
            f"{path} cannot be read: {exc.strerror or exc}",
            hint="Check the permissions of the folder and that its disk is present.",
        ) from exc


def read_text(path: Path) -> str | None:
    """Give the text of a small file, without a leading byte-order mark; None when there is no such file.

    Raises:
        StoreError: it cannot be read, or is not UTF-8.
    """
    with reading(path):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as exc:
        raise StoreError(
            "store.not-text",
            f"{path} is not UTF-8 text: byte {exc.start} cannot be read",
            hint="The file was damaged. Put back a backup of it, or move it aside.",
        ) from exc
