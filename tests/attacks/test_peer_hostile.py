"""Strangers at a peer server: slow ones, loud ones, and a thousand at once."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from dlm.adapters.peer.timing import PeerTiming
from dlm.domain.events import Event, PeerAnswered
from dlm.domain.peer_limits import Pace
from dlm.ports.peer_server import RunningPeer
from dlm.testing.peer_server_contract import target
from peer_client import DLM_ID, ask, send, serving, slow_reader

HASTY = PeerTiming(read_s=0.2, pace=Pace(write_s=0.2, grace_s=60))
PULLS = 1000


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    path = tmp_path / "a.dlm.pack"
    path.write_bytes(b"pack" * 1000)
    return path


@pytest.fixture
def _many_files() -> Iterator[None]:
    """Both ends of a thousand connections are in this process."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096) if hard > 0 else 4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connected(peer: RunningPeer, data: bytes = b"") -> socket.socket:
    sock = socket.create_connection(peer.address, timeout=10)
    sock.sendall(data)
    return sock


def is_cut_off(sock: socket.socket) -> bool:
    """Wait until the other side ends the connection, without having answered."""
    with sock:
        try:
            return sock.recv(1024) == b""
        except ConnectionError:
            return True


async def pull(peer: RunningPeer) -> tuple[int, bytes, bytes]:
    """Give status, headers and body."""
    reader, writer = await asyncio.open_connection(*peer.address)
    writer.write(f"GET {target(peer)} HTTP/1.1\r\nHost: peer\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), head.lower(), body


async def pull_all(peer: RunningPeer) -> list[tuple[int, bytes, bytes]]:
    return await asyncio.gather(*(pull(peer) for _ in range(PULLS)))


@pytest.mark.usefixtures("_many_files")
@pytest.mark.parametrize(("rate_limit", "timing"), [(100, None), (PULLS, None), (PULLS, PeerTiming(connections=16))])
def test_a_thousand_pulls_at_once_are_all_answered(pack: Path, rate_limit: int, timing: PeerTiming | None) -> None:
    seen: list[Event] = []
    with serving(pack, timing=timing, emit=seen.append, max_concurrency=PULLS, rate_limit=rate_limit) as peer:
        answers = asyncio.run(pull_all(peer))
    assert Counter(status for status, _, _ in answers) == Counter({200: rate_limit, 429: PULLS - rate_limit})
    assert {body for status, _, body in answers if status == 200} == {pack.read_bytes()}
    assert all((b"\r\nretry-after: " in head, body) == (True, b"") for status, head, body in answers if status == 429)
    assert len(seen) == PULLS


def test_no_more_downloads_run_at_once_than_allowed(pack: Path) -> None:
    pack.write_bytes(bytes(16 << 20))
    seen: list[Event] = []
    with serving(pack, emit=seen.append, max_concurrency=2) as peer:
        with slow_reader(peer) as first, slow_reader(peer) as second:
            assert first.recv(12) + second.recv(12) == b"HTTP/1.1 200" * 2
            refused = ask(peer.address, "GET", target(peer))
            assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        deadline = time.monotonic() + 10
        while ask(peer.address, "HEAD", target(peer)).status != 200:  # their slots come back when they leave
            assert time.monotonic() < deadline
            time.sleep(0.05)
    downloads = [e for e in seen if isinstance(e, PeerAnswered) and (e.method, e.status) == ("GET", 200)]
    assert [download.is_complete for download in downloads] == [False, False]


@pytest.mark.parametrize(
    "pace", [Pace(write_s=0.2, grace_s=60), Pace(write_s=60, grace_s=0.2, min_bytes_per_s=1 << 30)]
)
def test_slow_readers_lose_their_slot(pack: Path, pace: Pace) -> None:
    pack.write_bytes(bytes(16 << 20))
    seen: list[Event] = []
    with serving(pack, timing=PeerTiming(pace=pace), emit=seen.append, max_concurrency=1) as peer:
        with slow_reader(peer) as sock:
            deadline = time.monotonic() + 10
            while not seen:  # it reads, a little at a time
                assert time.monotonic() < deadline
                sock.recv(64)
                time.sleep(0.02)
        assert ask(peer.address, "HEAD", target(peer)).status == 200
    (told,) = (event for event in seen if isinstance(event, PeerAnswered) and event.method == "GET")
    assert (told.status, told.is_complete) == (200, False)
    assert told.sent_bytes < 16 << 20


def test_a_reader_who_never_takes_the_end_is_cut_off(pack: Path) -> None:
    pack.write_bytes(bytes(200 << 10))
    seen: list[Event] = []
    with serving(pack, timing=HASTY, emit=seen.append) as peer:
        # The server's own buffer holds what the system's does not.
        peer._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        with slow_reader(peer):
            started = time.monotonic()
            while not seen:
                time.sleep(0.01)
            peer.stop()
            assert time.monotonic() - started < 3


@pytest.mark.parametrize("data", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: peer\r\nX: "])
def test_headers_that_do_not_come_in_time(pack: Path, data: bytes) -> None:
    with serving(pack, timing=HASTY) as peer:
        assert is_cut_off(connected(peer, data))


def test_dripping_headers_do_not_buy_time(pack: Path) -> None:
    with serving(pack, timing=HASTY) as peer, connected(peer, b"GET / HTTP/1.1\r\n") as sock:
        started = time.monotonic()
        with pytest.raises(ConnectionError):
            drip(sock)
        assert time.monotonic() - started < 3


def drip(sock: socket.socket) -> None:
    for number in range(500):
        sock.sendall(b"X-%d: y\r\n" % number)
        time.sleep(0.02)


def test_a_handshake_that_does_not_come_in_time(pack: Path) -> None:
    with serving(pack, timing=attrs.evolve(HASTY, connections=1), is_encrypted=True) as peer:
        assert is_cut_off(connected(peer, b"\x16\x03\x01"))
        assert ssl.get_server_certificate(peer.address, timeout=5)


def test_a_body_that_does_not_come_in_time(pack: Path) -> None:
    with serving(pack, timing=HASTY) as peer:
        data = f"POST {target(peer)} HTTP/1.1\r\nHost: peer\r\nContent-Length: 9\r\n\r\nx".encode()
        assert send(peer.address, data).status == 408


def test_silent_connections_only_delay_others(pack: Path) -> None:
    timing = PeerTiming(read_s=0.3, connections=3)
    with serving(pack, timing=timing) as peer:
        silent = [connected(peer) for _ in range(3)]
        assert ask(peer.address, "GET", target(peer)).status == 200
        assert all(is_cut_off(sock) for sock in silent)


@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 100,
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: peer\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: peer\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: peer\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: peer\r\n folded\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused_in_a_few_words(pack: Path, data: bytes) -> None:
    with serving(pack) as peer:
        with connected(peer) as sock:
            try:
                sock.sendall(data)
                answer = sock.recv(4096)
            except ConnectionError:  # cut off while it still sent
                answer = b""
        assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 404"))
        assert len(answer) < 300
        assert ask(peer.address, "GET", target(peer)).status == 200


@pytest.mark.parametrize("data", [b"GET /" + b"a" * 20_000, b"GET / HTTP/1.1\r\nHost: peer\r\n" + b"X: y\r\n" * 3_000])
def test_headers_that_are_too_long_are_refused_at_once(pack: Path, data: bytes) -> None:
    with serving(pack) as peer, connected(peer, data) as sock:
        started = time.monotonic()
        assert sock.recv(4096).startswith(b"HTTP/1.1 400")
        assert time.monotonic() - started < 5


def test_headers_of_an_ordinary_size_are_fine(pack: Path) -> None:
    with serving(pack) as peer:
        assert ask(peer.address, "GET", target(peer), {f"X-{number}": "y" * 100 for number in range(50)}).status == 200


def test_one_request_on_each_connection(pack: Path) -> None:
    with serving(pack) as peer:
        one = f"GET {target(peer)} HTTP/1.1\r\nHost: peer\r\n\r\n".encode()
        with connected(peer, one * 3) as sock:
            data = b""
            try:
                while piece := sock.recv(1 << 20):
                    data += piece
            except ConnectionResetError:  # the other two lay there unread
                pass
        assert data.count(b"HTTP/1.1 200") <= 1


def test_upgrades_are_passed_over(pack: Path) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "x"}
    with serving(pack) as peer:
        assert ask(peer.address, "GET", "/", headers).status == 404


def test_guessing_is_slowed_down_and_does_not_lock_out_who_knows(pack: Path) -> None:
    with serving(pack) as peer:
        guesses = [ask(peer.address, "GET", f"/{DLM_ID}?token=guess{number}") for number in range(61)]
        assert [guess.status for guess in guesses] == [403] * 60 + [429]
        assert int(guesses[-1].headers["retry-after"]) > 50
        assert ask(peer.address, "GET", target(peer)).body == pack.read_bytes()


def test_a_digest_of_what_was_sent_is_that_of_the_address(pack: Path) -> None:
    with serving(pack) as peer:
        body = ask(peer.address, "GET", target(peer)).body
        assert peer.url.endswith(f"#sha256={hashlib.sha256(body).hexdigest()}")
