"""One remembered section as bytes."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO
from typing import Any

import attrs
import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.adapters.replay.frames import MAGIC, DamagedFrame, decode, encoder, frames_in, plain_bytes, read_at, zstd
from dlm.domain.json_record import in_seconds
from dlm.domain.replay import MAX_SNAPSHOT_BYTES, SNAPSHOT_TYPES, Snapshot

A_TIME = datetime(2026, 4, 23, 18, 42, 11, tzinfo=UTC)
HELLO = Snapshot(
    section_id="0123456789abcdef",
    type="prose",
    content="Hello",
    first_seen_at=A_TIME,
    last_seen_at=A_TIME,
    runs_seen=(1,),
)
VECTOR = bytes.fromhex(
    "a767636f6e74656e746548656c6c6f6a6175746f5f6d696e6564f46a73656374696f6e5f6964703031323334353637383961626364"
    "65666c6c6173745f7365656e5f6174c074323032362d30342d32335431383a34323a31315a6c73656374696f6e5f74797065657072"
    "6f73656d66697273745f7365656e5f6174c074323032362d30342d32335431383a34323a31315a72747261696e696e675f72756e73"
    "5f7365656e8101"
)

moments = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5))]))
snapshots = st.builds(
    Snapshot,
    section_id=st.text("0123456789abcdef", min_size=16, max_size=16),
    type=st.sampled_from(SNAPSHOT_TYPES),
    content=st.text(),
    first_seen_at=moments,
    last_seen_at=moments,
    runs_seen=st.sets(st.integers(1, 2**40)).map(lambda runs: tuple(sorted(runs))),
    auto_mined=st.booleans(),
)


def map_of(**changes: Any) -> bytes:
    """Give a compressed map with some values changed, or taken out when None."""
    value = {**cbor2.loads(VECTOR), **changes}
    return bytes(zstd().compress(cbor2.dumps({key: item for key, item in value.items() if item is not None})))


def test_the_bytes_are_those_of_the_format() -> None:
    assert len(VECTOR) == 166
    assert plain_bytes(HELLO) == VECTOR


def test_a_frame_says_its_size_and_carries_a_checksum() -> None:
    frame = encoder()(HELLO)
    assert frame.startswith(MAGIC)
    assert frame[4] & 0b100, "content checksum flag (RFC 8878, 3.1.1.1.1)"
    assert zstd().get_frame_info(frame).decompressed_size == 166
    assert zstd().get_frame_size(frame) == len(frame)


@given(snapshots)
def test_a_snapshot_comes_back_to_the_second(snapshot: Snapshot) -> None:
    expected = attrs.evolve(
        snapshot,
        first_seen_at=in_seconds(snapshot.first_seen_at),
        last_seen_at=in_seconds(snapshot.last_seen_at),
    )
    assert decode(encoder()(snapshot)) == expected
    keys = list(cbor2.loads(plain_bytes(snapshot)))
    assert keys == sorted(keys, key=lambda key: (len(key), key))


def test_frames_of_other_tools_are_read() -> None:
    value = cbor2.loads(VECTOR)
    backwards = cbor2.dumps({key: value[key] for key in reversed(value)} | {"extra": [1]})
    plain = {zstd().CompressionParameter.checksum_flag: 0, zstd().CompressionParameter.content_size_flag: 0}
    assert decode(zstd().compress(backwards, options=plain)) == HELLO
    assert decode(zstd().compress(VECTOR)) == HELLO


@pytest.mark.parametrize("at", range(138))
def test_any_flipped_byte_is_seen_or_harmless(at: int) -> None:
    frame = bytearray(encoder()(HELLO))
    assert len(frame) == 138
    frame[at] ^= 0x41
    with suppress(DamagedFrame):
        assert decode(bytes(frame)) == HELLO, "a changed frame is never read as something else"


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        MAGIC,
        encoder()(HELLO)[:-1],
        encoder()(HELLO) + b"x",
        zstd().compress(b""),
        zstd().compress(b"\xff" * 9),
        zstd().compress(b"\x81" * 100_000 + b"\x00"),
        zstd().compress(b"\xd8\x1c" * 50_000 + b"\x00"),
        zstd().compress(b"\x9b" + b"\xff" * 8),
        zstd().compress(cbor2.dumps([1])),
        map_of(content=None),
        map_of(content=b"Hello"),
        map_of(section_id="0123456789ABCDEF"),
        map_of(section_id="../../../etc/pas"),
        map_of(section_type="image"),
        map_of(last_seen_at="2026-04-23T18:42:11Z"),
        map_of(training_runs_seen=[True]),
        map_of(training_runs_seen="1"),
        map_of(auto_mined=0),
        map_of(first_seen_at=cbor2.CBORTag(1, 1e300)),
    ],
    ids=lambda frame: f"{len(frame)} bytes {frame[:24].hex()}",
)
def test_what_is_not_such_a_frame_is_refused(frame: bytes) -> None:
    with pytest.raises(DamagedFrame):
        decode(frame)


def test_a_bomb_is_refused_before_it_goes_off() -> None:
    zeros = bytes(MAX_SNAPSHOT_BYTES + (2 << 20))
    unsaid = {zstd().CompressionParameter.content_size_flag: 0}
    for bomb in (zstd().compress(zeros), zstd().compress(zeros, options=unsaid)):
        assert len(bomb) < 10_000
        with pytest.raises(DamagedFrame, match="unfold"):
            decode(bomb)


@given(st.lists(st.one_of(snapshots, st.binary(max_size=40), st.just(MAGIC * 3)), max_size=8))
def test_whole_frames_are_found_among_garbage(parts: list[Snapshot | bytes]) -> None:
    encode, corpus, expected = encoder(), b"", []
    for part in parts:
        data = part if isinstance(part, bytes) else encode(part)
        if isinstance(part, Snapshot):
            expected.append((len(corpus), len(data), part.content))
        corpus += data
    found = [(at, size, snapshot.content) for at, size, snapshot in frames_in(BytesIO(corpus))]
    assert found == expected


def test_frames_across_the_window_are_found() -> None:
    encode = encoder()
    texts = ["".join(random.Random(number).choices("abcdefghijklmnop", k=60_000)) for number in range(90)]
    frames = [encode(attrs.evolve(HELLO, section_id=f"{n:016x}", content=text)) for n, text in enumerate(texts)]
    corpus = b"garbage".join(frames)
    assert len(corpus) > 2 << 20
    assert [snapshot.content for _, _, snapshot in frames_in(BytesIO(corpus))] == texts


def test_a_frame_is_read_where_it_is_and_nowhere_else() -> None:
    frame = encoder()(HELLO)
    file = BytesIO(b"x" * 7 + frame)
    assert read_at(file, 7 + len(frame), 7, len(frame), HELLO.section_id) == (frame, HELLO)
    for offset, length, section_id, told in (
        (7, len(frame), "f" * 16, "about section 0123456789abcdef"),
        (8, len(frame), HELLO.section_id, "beyond the end"),
        (1 << 70, 10, HELLO.section_id, "beyond the end"),
        (7, 1 << 50, HELLO.section_id, "no frame is"),
        (7, 0, HELLO.section_id, "no frame is"),
        (7, len(frame) - 1, HELLO.section_id, "length"),
    ):
        with pytest.raises(DamagedFrame, match=told):
            read_at(file, 7 + len(frame), offset, length, section_id)
