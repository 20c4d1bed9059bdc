"""Opening ``metrics.sqlite``: for writing, for reading without a trace, and moving a damaged one aside."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from dlm.adapters.sqlite.faults import code_of, corrupt, is_damage, newer, unreadable
from dlm.adapters.sqlite.schema import VERSION, prepare, version_of

WAIT_S = 5.0
"""Patience with another program's write."""

_SIDE_FILES = ("-wal", "-shm")


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open or create the database with all of its tables. The connection may be handed to another thread.

    Raises:
        MetricsError: it is damaged (``metrics.corrupt``), or a newer dlm's.
        sqlite3.Error, OSError: it cannot be opened or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
    try:
        _refuse_newer(connection, path)
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise corrupt(path, verdict)
        prepare(connection)
    except sqlite3.Error as exc:
        connection.close()
        # A plain error here means tables of these names that are not ours to use, such as views.
        if is_damage(exc) or code_of(exc) == sqlite3.SQLITE_ERROR:
            raise corrupt(path, exc) from exc
        raise
    except BaseException:
        connection.close()
        raise
    return connection


def move_aside(path: Path) -> Path:
    """Rename a damaged database, with the files that belong to it, to ``metrics.sqlite.damaged-<n>``."""
    number = 1
    while (target := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(target)
    for suffix in _SIDE_FILES:
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(target.with_name(target.name + suffix))
    return target


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """Open the database for reading inside one snapshot; None when there is none. Nothing is created or changed.

    Raises:
        MetricsError: it cannot be read; also for errors inside the block.
    """
    try:
        connection = _open_for_reading(path)
    except (sqlite3.Error, OSError) as exc:
        raise unreadable(path, exc) from exc
    if connection is None:
        yield None
        return
    with closing(connection):
        try:
            connection.row_factory = sqlite3.Row
            connection.text_factory = _lenient_text
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("BEGIN")
            _refuse_newer(connection, path)
            yield connection
        except (sqlite3.Error, OverflowError) as exc:
            raise unreadable(path, exc) from exc


def _open_for_reading(path: Path) -> sqlite3.Connection | None:
    if not path.exists():
        return None
    if not path.is_file():
        raise OSError(f"{path} is not a file")
    # With nothing in a log beside it the file is whole, and "immutable" keeps SQLite from making one just to read.
    is_in_use = any(_size(path.with_name(path.name + suffix)) for suffix in ("-wal", "-journal"))
    mode = "ro" if is_in_use else "ro&immutable=1"
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=WAIT_S, isolation_level=None)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _refuse_newer(connection: sqlite3.Connection, path: Path) -> None:
    version = version_of(connection)
    if version > VERSION:
        raise newer(path, version)


def _lenient_text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
