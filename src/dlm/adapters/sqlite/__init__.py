"""The metrics of a store in one SQLite file."""

from dlm.adapters.sqlite.metrics import SqliteMetrics

__all__ = ["SqliteMetrics"]
