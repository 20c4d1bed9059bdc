"""One remembered section as bytes: a canonical CBOR map in a zstd frame of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from types import ModuleType
from typing import Any, BinaryIO

from dlm.domain.json_record import in_seconds
from dlm.domain.replay import MAX_SNAPSHOT_BYTES, Snapshot

MAGIC = b"\x28\xb5\x2f\xfd"
"""What a zstd frame begins with (RFC 8878, 3.1.1). It is not valid UTF-8, so no section's text can contain it."""

MAX_PLAIN = MAX_SNAPSHOT_BYTES + (1 << 20)
"""Room for the names, times and runs around the longest text."""

MAX_FRAME = MAX_PLAIN + (1 << 20)
"""What cannot be compressed grows by less than a 250th."""

_LEVEL = 3
_WINDOW_LOG = 27
"""The largest window a frame may ask for, 128 MiB: the library's own limit, stated."""

_STEP = 1 << 20


class DamagedFrame(Exception):  # noqa: N818  # a state that is handled, never shown as it is
    """Bytes that are not the frame they should be; the message says why."""


def zstd() -> ModuleType:
    """Give the zstd module: the standard library's from Python 3.14 on, before that its backport."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def plain_bytes(snapshot: Snapshot) -> bytes:
    """Give the canonical CBOR map of a snapshot: keys by length, then by bytes."""
    import cbor2

    return cbor2.dumps(
        {
            "content": snapshot.content,
            "auto_mined": snapshot.auto_mined,
            "section_id": snapshot.section_id,
            "last_seen_at": in_seconds(snapshot.last_seen_at),
            "section_type": snapshot.type,
            "first_seen_at": in_seconds(snapshot.first_seen_at),
            "training_runs_seen": list(snapshot.runs_seen),
        },
        canonical=True,
    )


def encoder() -> Callable[[Snapshot], bytes]:
    """Give a function that makes frames: level 3, with content size and checksum."""
    module = zstd()
    options = {
        module.CompressionParameter.compression_level: _LEVEL,
        module.CompressionParameter.content_size_flag: 1,
        module.CompressionParameter.checksum_flag: 1,
    }
    compressor = module.ZstdCompressor(options=options)

    def encode(snapshot: Snapshot) -> bytes:
        frame: bytes = compressor.compress(plain_bytes(snapshot), module.ZstdCompressor.FLUSH_FRAME)
        return frame

    return encode


def decode(frame: bytes | memoryview) -> Snapshot:
    """Give the snapshot in one whole frame. Other orders of keys, a missing checksum and extra keys are read too.

    Raises:
        DamagedFrame: not a frame, a wrong checksum, too large, or not such a map.
    """
    return _snapshot(_cbor(_decompressed(frame)))


def _decompressed(frame: bytes | memoryview) -> bytes:
    module = zstd()
    options = {module.DecompressionParameter.window_log_max: _WINDOW_LOG}
    try:
        declared = module.get_frame_info(frame).decompressed_size
        if declared is not None and declared > MAX_PLAIN:
            raise DamagedFrame(f"it claims to unfold to {declared} bytes, more than any section that is remembered")
        decompressor = module.ZstdDecompressor(options=options)
        data: bytes = decompressor.decompress(frame, MAX_PLAIN + 1)
    except module.ZstdError as exc:
        raise DamagedFrame(str(exc)) from exc
    if len(data) > MAX_PLAIN:
        raise DamagedFrame("it unfolds to more than any section that is remembered")
    if not decompressor.eof or decompressor.unused_data:
        raise DamagedFrame("its length is not that of one frame")
    return data


def _cbor(data: bytes) -> dict[Any, Any]:
    import cbor2

    try:
        value = cbor2.loads(data)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError, EOFError, MemoryError) as exc:
        raise DamagedFrame(f"not CBOR: {exc}"[:200]) from exc
    if not isinstance(value, dict):
        raise DamagedFrame("not a CBOR map")
    return value


def _snapshot(value: dict[Any, Any]) -> Snapshot:
    def get(key: str, kind: type) -> Any:
        found = value.get(key)
        if not isinstance(found, kind):
            raise DamagedFrame(f"{key} is missing or of the wrong kind")
        return found

    runs = get("training_runs_seen", list | tuple)  # type: ignore[arg-type]  # a union is fine for isinstance
    if not all(type(run) is int for run in runs):
        raise DamagedFrame("training_runs_seen holds something else than numbers")
    try:
        return Snapshot(
            section_id=get("section_id", str),
            type=get("section_type", str),
            content=get("content", str),
            first_seen_at=in_seconds(get("first_seen_at", datetime)),
            last_seen_at=in_seconds(get("last_seen_at", datetime)),
            runs_seen=tuple(sorted(set(runs))),
            auto_mined=get("auto_mined", bool),
        )
    except (ValueError, OverflowError) as exc:
        raise DamagedFrame(str(exc)) from exc


def read_at(file: BinaryIO, size: int, offset: int, length: int, section_id: str) -> tuple[bytes, Snapshot]:
    """Give the frame of ``length`` bytes at ``offset`` in a file of ``size`` bytes, and what it says.

    Raises:
        DamagedFrame: it is not there, cannot be decoded, or is about another section.
    """
    if not len(MAGIC) < length <= MAX_FRAME:
        raise DamagedFrame(f"no frame is {length} bytes long")
    frame = b""
    if offset + length <= size:  # the system refuses to seek to absurd places
        file.seek(offset)
        frame = file.read(length)
    if len(frame) < length:
        raise DamagedFrame("it reaches beyond the end of the file")
    snapshot = decode(frame)
    if snapshot.section_id != section_id:
        raise DamagedFrame(f"it is about section {snapshot.section_id}")
    return frame, snapshot


def frames_in(file: BinaryIO) -> Iterator[tuple[int, int, Snapshot]]:
    """Find every whole frame of a corpus, whatever lies between them: its offset, its length and what it says.

    Holds a window of the file in memory, 1 MiB unless a frame is larger.
    """
    window, start, at = b"", 0, 0
    file.seek(0)
    while True:
        at = window.find(MAGIC, at)
        frame = _whole_frame(window, at) if at >= 0 else None
        if frame is not None:
            yield start + at, frame[0], frame[1]
            at += frame[0]
            continue
        keep = at if at >= 0 else max(0, len(window) - len(MAGIC) + 1)
        more = file.read(_read_ahead(len(window) - keep)) if _may_grow(len(window) - keep, at) else b""
        if more:
            window, start, at = window[keep:] + more, start + keep, 0
        elif at >= 0:
            at += len(MAGIC)
        else:
            return


def _may_grow(kept: int, at: int) -> bool:
    return at < 0 or kept < MAX_FRAME


def _read_ahead(kept: int) -> int:
    return max(_STEP, kept)


def _whole_frame(window: bytes, at: int) -> tuple[int, Snapshot] | None:
    module = zstd()
    view = memoryview(window)[at : at + MAX_FRAME]
    try:
        length: int = module.get_frame_size(view)
        return length, decode(view[:length])
    except (module.ZstdError, DamagedFrame):
        return None
