"""A replay corpus of any size, made at once: frames as another tool could have written them, laid out by numpy."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from dlm.adapters.replay.draft import write_draft
from dlm.adapters.replay.frames import MAGIC, plain_bytes
from dlm.adapters.replay.index_json import seconds
from dlm.adapters.replay.table import CHUNK, RECORD, Records
from dlm.domain.replay import Snapshot

DAY_S = 86_400
STRIDE = (1 << 64) // 1_000_003
"""Ids are the multiples of this, so that they come in order and fill the whole range."""


def make_corpus(folder: Path, count: int, newest: datetime) -> None:
    """Write ``count`` sections, each a day of a year older than ``newest``, with both forms of the index."""
    folder.mkdir(parents=True)
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    snapshot = Snapshot(
        section_id="0" * 16, type="prose", content="What was written. " * 4, first_seen_at=moment, last_seen_at=moment
    )
    plain = plain_bytes(snapshot)
    # RFC 8878: single segment, one byte of content size, one raw block that is the last.
    header = MAGIC + bytes([0x20, len(plain)]) + (len(plain) << 3 | 1).to_bytes(3, "little")
    frame = np.frombuffer(header + plain, np.uint8)
    place = (header + plain).index(b"0" * 16)
    with (folder / "corpus.zst").open("wb") as file:
        for ids in _ids(count):
            frames = np.tile(frame, (len(ids), 1))
            digits = (ids[:, None] >> np.arange(60, -4, -4, dtype=np.uint64)) & np.uint64(15)
            frames[:, place : place + 16] = np.frombuffer(b"0123456789abcdef", np.uint8)[digits]
            file.write(frames.data)
    write_draft(folder, _records(count, len(frame), seconds(newest))).publish()


def _ids(count: int) -> Iterator[np.ndarray[tuple[int], np.dtype[np.uint64]]]:
    for start in range(0, count, CHUNK):
        yield np.arange(start, min(start + CHUNK, count), dtype=np.uint64) * np.uint64(STRIDE)


def _records(count: int, length: int, newest_s: int) -> Iterator[Records]:
    offset = 0
    for ids in _ids(count):
        chunk = np.empty(len(ids), RECORD)
        chunk["id"], chunk["length"], chunk["weight"] = ids, length, 1.0
        chunk["offset"] = offset + np.arange(len(ids)) * length
        chunk["added"] = newest_s - np.arange(len(ids)) % 365 * DAY_S
        offset += len(ids) * length
        yield chunk
