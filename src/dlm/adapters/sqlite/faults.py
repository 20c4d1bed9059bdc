"""What SQLite and the file system complain about, in our words."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from dlm.adapters.sqlite.schema import VERSION
from dlm.domain.errors import MetricsError

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)
_HINTS = {
    sqlite3.SQLITE_FULL: "Free some space on the disk and run it again.",
    sqlite3.SQLITE_BUSY: "Another program is writing to it. Close that one and run it again.",
    sqlite3.SQLITE_LOCKED: "Another program is writing to it. Close that one and run it again.",
}


def code_of(exc: Exception) -> int:
    """Give SQLite's primary result code; 0 when there is none."""
    return int(getattr(exc, "sqlite_errorcode", 0)) & 0xFF


def is_damage(exc: Exception) -> bool:
    """Tell whether the file itself is at fault: not a database, or a broken one."""
    return code_of(exc) in _DAMAGED


def corrupt(path: Path, reason: object) -> MetricsError:
    """Tell that the file cannot be used."""
    return MetricsError(
        "metrics.corrupt",
        f"{path} is damaged or not a metrics database: {reason}",
        hint=f"Move it aside: mv '{path}' '{path}.old'. Documents, adapters and logs do not depend on it.",
    )


def newer(path: Path, version: int) -> MetricsError:
    """Tell that a later dlm wrote the file."""
    return MetricsError(
        "metrics.newer",
        f"{path} has version {version}; this dlm knows version {VERSION}",
        hint="Update dlm, or move the file aside.",
    )


def unwritable(path: Path, exc: Exception) -> MetricsError:
    """Tell that something could not be written."""
    if is_damage(exc):
        return corrupt(path, exc)
    hint = _HINTS.get(code_of(exc), "Check that its folder is there and that you may write to it.")
    return MetricsError("metrics.unwritable", f"{path} cannot be written: {exc}", hint=hint)


def unreadable(path: Path, exc: Exception) -> MetricsError:
    """Tell that something could not be read."""
    # What is no operational trouble, such as a table without its columns, is trouble with the content.
    if is_damage(exc) or code_of(exc) == sqlite3.SQLITE_ERROR:
        return corrupt(path, exc)
    hint = _HINTS.get(code_of(exc), "Check the permissions of the file and its folder.")
    return MetricsError("metrics.unreadable", f"{path} cannot be read: {exc}", hint=hint)
