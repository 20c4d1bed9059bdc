"""The tables of ``metrics.sqlite``: those of ``COMMON`` are shared with other tools, those of ``OWN`` are additions."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

VERSION = 1
"""``user_version`` of the file; 0 in files of tools that set none, whose common tables are the same."""

COMMON: Mapping[str, str] = {
    "runs": "run_id INTEGER PRIMARY KEY, started_at TEXT NOT NULL, ended_at TEXT, adapter_version INTEGER, "
    "phase TEXT, seed INTEGER, status TEXT",
    "steps": "run_id INTEGER NOT NULL REFERENCES runs(run_id), step INTEGER NOT NULL, loss REAL, lr REAL, "
    "grad_norm REAL, tokens_per_sec REAL, peak_vram_mb INTEGER, at TEXT NOT NULL, PRIMARY KEY (run_id, step)",
    "evals": "run_id INTEGER NOT NULL REFERENCES runs(run_id), step INTEGER NOT NULL, val_loss REAL, perplexity REAL, "
    "retention REAL, at TEXT NOT NULL, PRIMARY KEY (run_id, step)",
    "exports": "exported_at TEXT PRIMARY KEY, quant TEXT, merged INTEGER, ollama_name TEXT, size_bytes INTEGER, "
    "duration_s REAL",
    "tokenization": "run_id INTEGER PRIMARY KEY REFERENCES runs(run_id), total_sections INTEGER NOT NULL, "
    "cache_hits INTEGER NOT NULL, cache_misses INTEGER NOT NULL, total_tokenize_seconds REAL NOT NULL, "
    "cache_bytes_after INTEGER NOT NULL, at TEXT NOT NULL",
    "gate_events": "run_id INTEGER NOT NULL REFERENCES runs(run_id), adapter_name TEXT NOT NULL, "
    "mean_weight REAL NOT NULL, sample_count INTEGER NOT NULL, mode TEXT NOT NULL, at TEXT NOT NULL, "
    "PRIMARY KEY (run_id, adapter_name)",
    "preference_mining": "event_id INTEGER PRIMARY KEY AUTOINCREMENT, run_id INTEGER NOT NULL, "
    "judge_name TEXT NOT NULL, sample_count INTEGER NOT NULL, mined_pairs INTEGER NOT NULL, "
    "skipped_prompts INTEGER NOT NULL, write_mode TEXT NOT NULL, at TEXT NOT NULL",
}

OWN: Mapping[str, str] = {
    "run_details": "run_id INTEGER PRIMARY KEY REFERENCES runs(run_id), adapter_name TEXT, steps INTEGER, "
    "seconds REAL, anchor_seconds REAL, tokens INTEGER, peak_memory_mb INTEGER, final_train_loss REAL, "
    "final_val_loss REAL, new INTEGER, unchanged INTEGER, removed INTEGER, stopped TEXT, message TEXT",
    "exams": "run_id INTEGER PRIMARY KEY REFERENCES runs(run_id), own_right INTEGER, own_asked INTEGER, "
    "reworded_right INTEGER, reworded_asked INTEGER, prose_right INTEGER, prose_asked INTEGER, kept_right INTEGER, "
    "kept_asked INTEGER, leaks INTEGER, probes INTEGER, drift REAL, record TEXT NOT NULL",
}

TABLES: Mapping[str, str] = {**COMMON, **OWN}

OF_A_RUN = ("steps", "evals", "tokenization", "gate_events", "run_details", "exams")
"""Tables that refer to ``runs``."""


def prepare(connection: sqlite3.Connection) -> None:
    """Set how the file is written, and make what is missing of its tables."""
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON", "trusted_schema = OFF"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN IMMEDIATE")
    try:
        for table, columns in TABLES.items():
            connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns})")
            _add_columns(connection, table, columns)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def _add_columns(connection: sqlite3.Connection, table: str, columns: str) -> None:
    """Add what an older tool's table lacks."""
    there = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    for column in columns.split(" PRIMARY KEY (")[0].split(", "):
        name, *rest = column.strip(", ").split()
        if name and name not in there and rest:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {name} {rest[0]}")


def version_of(connection: sqlite3.Connection) -> int:
    """Give the file's version."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version
