"""Packs over real connections: ranges, encryption, and how a server ends."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import peer_child
from dlm.adapters.peer import HttpPeerServer, running, server
from dlm.adapters.peer.timing import PeerTiming
from dlm.adapters.system_clock import SystemClock
from dlm.domain.errors import ShareError
from dlm.domain.events import Event, PeerAnswered, ignore
from dlm.testing.clocks import A_MOMENT, FixedClock
from dlm.testing.peer_server_contract import target
from peer_client import DLM_ID, ask, job_of, send, serving, slow_reader, small_connection

CONTENT = os.urandom(3 * 1024 * 1024 + 17)


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("dlm-peer")] == []


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    path = tmp_path / "a.dlm.pack"
    path.write_bytes(CONTENT)
    return path


def test_a_pack_of_several_chunks_arrives_whole(pack: Path) -> None:
    with serving(pack) as peer:
        answer = ask(peer.address, "GET", target(peer))
    assert answer.body == CONTENT
    told = dict(answer.headers)
    assert told.pop("date").endswith(" GMT")
    assert told == {
        "accept-ranges": "bytes",
        "cache-control": "no-store",
        "connection": "close",
        "content-length": str(len(CONTENT)),
        "content-type": "application/octet-stream",
        "etag": f'"{hashlib.sha256(CONTENT).hexdigest()}"',
        "x-content-type-options": "nosniff",
    }


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [("bytes=0-0", 0, 0), ("bytes=1048570-1048590", 1048570, 1048590), ("bytes=-5", len(CONTENT) - 5, None)],
)
def test_a_range(pack: Path, header: str, first: int, last: int | None) -> None:
    last = len(CONTENT) - 1 if last is None else last
    with serving(pack) as peer:
        answer = ask(peer.address, "GET", target(peer), {"Range": header})
    assert (answer.status, answer.body) == (206, CONTENT[first : last + 1])
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(CONTENT)}"
    assert answer.headers["content-length"] == str(last - first + 1)


def test_a_range_of_nothing(pack: Path) -> None:
    with serving(pack) as peer:
        answer = ask(peer.address, "GET", target(peer), {"Range": f"bytes={len(CONTENT)}-"})
    assert (answer.status, answer.body) == (416, b"")
    assert answer.headers["content-range"] == f"bytes */{len(CONTENT)}"


def test_a_download_goes_on_only_while_the_pack_is_the_same(pack: Path) -> None:
    with serving(pack) as peer:
        etag = ask(peer.address, "HEAD", target(peer)).headers["etag"]
        same = ask(peer.address, "GET", target(peer), {"Range": "bytes=5-", "If-Range": etag})
        other = ask(peer.address, "GET", target(peer), {"Range": "bytes=5-", "If-Range": '"other"'})
    assert (same.status, same.body) == (206, CONTENT[5:])
    assert (other.status, other.body) == (200, CONTENT)


def test_head_is_answered_without_ranges_and_without_a_body(pack: Path) -> None:
    with serving(pack) as peer:
        answer = ask(peer.address, "HEAD", target(peer), {"Range": "bytes=1-2"})
    assert (answer.status, answer.headers["content-length"], answer.body) == (200, str(len(CONTENT)), b"")


def test_refusals_say_nothing_but_their_number(pack: Path) -> None:
    with serving(pack) as peer:
        answers = [ask(peer.address, *asked) for asked in (("GET", "/"), ("PUT", f"/{DLM_ID}"), ("GET", f"/{DLM_ID}"))]
    assert [(answer.status, answer.body) for answer in answers] == [(404, b""), (405, b""), (401, b"")]
    assert [answer.headers.get("allow") for answer in answers] == [None, "GET, HEAD", None]
    assert {answer.headers["x-content-type-options"] for answer in answers} == {"nosniff"}


def test_an_empty_pack(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with serving(tmp_path / "empty") as peer:
        assert ask(peer.address, "GET", target(peer)).body == b""
        assert ask(peer.address, "GET", target(peer), {"Range": "bytes=0-"}).status == 416


def test_a_body_that_nobody_asked_for_is_passed_over(pack: Path) -> None:
    with serving(pack) as peer:
        assert ask(peer.address, "POST", target(peer), body=b"x" * 50_000).status == 405
        assert ask(peer.address, "GET", target(peer), {"Expect": "100-continue"}, body=b"x").status == 200


@pytest.mark.parametrize("change", ["replace", "append"])
def test_another_file_in_the_place_of_the_pack_is_not_served(pack: Path, change: str) -> None:
    with serving(pack) as peer:
        if change == "replace":
            other = pack.with_name("other")
            other.write_bytes(CONTENT)
            other.replace(pack)
        else:
            pack.write_bytes(CONTENT + b"x")
        assert ask(peer.address, "GET", target(peer)).status == 410


def test_a_pack_that_shrinks_on_the_way_never_looks_complete(pack: Path) -> None:
    pack.write_bytes(bytes(64 << 20))
    seen: list[Event] = []
    with serving(pack, emit=seen.append) as peer:
        with slow_reader(peer) as sock:
            assert sock.recv(1, socket.MSG_PEEK) == b"H"
            os.truncate(pack, 1024)
            with pytest.raises(http.client.IncompleteRead):
                read_rest(sock)
        wait_for(seen, 1)
    assert [(e.status, e.is_complete) for e in seen if isinstance(e, PeerAnswered)] == [(200, False)]


def test_the_word_of_a_proxy_is_not_believed(pack: Path) -> None:
    seen: list[Event] = []
    with serving(pack, emit=seen.append) as peer:
        ask(peer.address, "GET", "/", {"X-Forwarded-For": "10.9.9.9", "X-Forwarded-Proto": "https"})
    assert [e.client for e in seen if isinstance(e, PeerAnswered)] == ["127.0.0.1"]


def test_an_encrypted_server_has_the_announced_certificate(pack: Path) -> None:
    with serving(pack, clock=SystemClock(), is_encrypted=True) as peer:
        der = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(peer.address))
        assert hashlib.sha256(der).hexdigest() == peer.certificate_sha256
        context = ssl.create_default_context(cadata=der)
        context.check_hostname = False
        client = http.client.HTTPSConnection(*peer.address, context=context, timeout=10)
        client.request("GET", target(peer))
        assert client.getresponse().read() == CONTENT
        client.close()
        with socket.create_connection(peer.address, timeout=10) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert b"HTTP" not in plain.recv(1024)
        assert peer.wait(0) is False


def test_no_two_runs_share_a_certificate(pack: Path) -> None:
    with serving(pack, is_encrypted=True) as one, serving(pack, is_encrypted=True) as two:
        assert one.certificate_sha256 != two.certificate_sha256


@pytest.mark.parametrize("years", [0, 40])
def test_certificates_are_good_while_the_server_runs(years: int) -> None:
    from dlm.adapters.peer.certificate import make_certificate, server_context

    now = A_MOMENT + timedelta(days=365 * years)
    made = make_certificate(seed=bytes(32), now=now, expires=now + timedelta(minutes=15))
    server_context(made)
    assert "key_pem" not in repr(made)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=made.der)
    (told,) = context.get_ca_certs() or [_decoded(made.der)]
    start, end = (ssl.cert_time_to_seconds(str(told[key])) for key in ("notBefore", "notAfter"))
    assert start < now.timestamp() < now.timestamp() + 900 < end
    assert told["subjectAltName"] == (("DNS", "dlm-peer"),)


def _decoded(der: bytes) -> dict[str, object]:
    """Read a certificate that is no authority's."""
    import _ssl
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(ssl.DER_cert_to_PEM_cert(der))
        file.flush()
        found: dict[str, object] = _ssl._test_decode_cert(file.name)  # type: ignore[attr-defined]  # as CPython's tests
        return found


def test_a_server_for_everybody_names_this_machine(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_EVERYWHERE", ("127.0.0.1",))
    for own, shown in (("10.0.0.7", "peer://10.0.0.7:"), (None, "peer://<address>:")):
        bound = HttpPeerServer(clock=FixedClock(), own_address=lambda own=own: own).bind("127.0.0.1", 0)  # type: ignore[misc]
        with bound, bound.start(job_of(pack), emit=ignore) as peer:
            assert peer.url.startswith(shown)


def test_the_web_server_is_loaded_when_one_is_started() -> None:
    loaded = "import sys, dlm.adapters.peer; print({'uvicorn', 'starlette', 'ssl', 'asyncio'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", loaded], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


def test_a_machine_without_a_network_has_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert server.lan_address() is None  # tests have no network
    monkeypatch.setattr(socket.socket, "connect", lambda *_: None)
    assert server.lan_address() is None


def test_the_newer_protocol(pack: Path) -> None:
    try:
        bound = HttpPeerServer(clock=FixedClock()).bind("::1", 0)
    except ShareError:
        pytest.skip("this machine has no IPv6")
    with bound, bound.start(job_of(pack), emit=ignore) as peer:
        assert peer.url.startswith(f"peer://[::1]:{bound.address[1]}/")
        assert ask(peer.address, "GET", target(peer)).body == CONTENT


def test_a_server_that_cannot_begin_says_so(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise OSError("no room for the key")

    monkeypatch.setattr(running, "server_context", fail)
    with (
        HttpPeerServer(clock=FixedClock()).bind("127.0.0.1", 0) as bound,
        pytest.raises(ShareError, match="no room for the key") as caught,
    ):
        bound.start(job_of(pack, is_encrypted=True), emit=ignore)
    assert caught.value.code == "serve.failed"


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 0), ("127.0.0.1", 70_000), ("127.0.0.1", -1)])
def test_an_address_that_cannot_be_had(host: str, port: int) -> None:
    with pytest.raises(ShareError) as caught:
        HttpPeerServer(clock=FixedClock()).bind(host, port)
    assert caught.value.code == "serve.bind"


def test_a_port_serves_one_pack(pack: Path) -> None:
    with HttpPeerServer(clock=FixedClock()).bind("127.0.0.1", 0) as bound:
        bound.start(job_of(pack), emit=ignore)
        with pytest.raises(ShareError, match="already"):
            bound.start(job_of(pack), emit=ignore)


def test_who_connects_before_the_start_waits(pack: Path) -> None:
    bound = HttpPeerServer(clock=FixedClock()).bind("127.0.0.1", 0)
    with bound, socket.create_connection(bound.address, timeout=10) as early:
        early.sendall(b"GET / HTTP/1.1\r\nHost: peer\r\n\r\n")
        with bound.start(job_of(pack), emit=ignore):
            assert early.recv(100).startswith(b"HTTP/1.1 404")


def test_it_works_beside_a_running_event_loop(pack: Path) -> None:
    async def notebook() -> bytes:
        with serving(pack) as peer:
            return (await asyncio.to_thread(ask, peer.address, "GET", target(peer))).body

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert asyncio.run(notebook()) == CONTENT
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_logs_hold_no_token_and_stay_as_they_are(pack: Path, caplog: pytest.LogCaptureFixture) -> None:
    access = logging.getLogger("uvicorn.access")
    before = access.propagate, list(access.handlers), access.level
    for name in (None, "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "asyncio", "dlm.peer"):
        caplog.set_level(1, logger=name)
    with serving(pack) as peer:
        token = target(peer).partition("token=")[2]
        assert ask(peer.address, "GET", target(peer)).status == 200
        ask(peer.address, "GET", target(peer)[:-2])
        send(peer.address, f"GET {target(peer)} HTTP/9\r\n\r\n".encode())
    assert "Invalid HTTP request" in caplog.text
    assert token[:40] not in caplog.text
    caplog.clear()
    caplog.set_level(logging.NOTSET, logger="uvicorn.access")
    assert (access.propagate, list(access.handlers)) == before[:2]


def test_a_running_download_may_finish_while_others_hear_that_it_is_over(pack: Path) -> None:
    pack.write_bytes(bytes(16 << 20))
    seen: list[Event] = []
    with serving(pack, emit=seen.append) as peer, slow_reader(peer) as sock:
        first = sock.recv(1024)
        stopping = threading.Thread(target=peer.stop)
        stopping.start()
        while ask(peer.address, "HEAD", target(peer)).status != 410:
            time.sleep(0.01)
        assert stopping.is_alive()
        size = len(first)
        while piece := sock.recv(1 << 20):
            size += len(piece)
        stopping.join(10)
        assert size > 16 << 20
    wait_for(seen, 2)
    (download,) = (e for e in seen if isinstance(e, PeerAnswered) and e.method == "GET")
    assert download.is_complete


@pytest.mark.parametrize("how", ["late", "twice", "interrupted"])
def test_a_download_that_does_not_finish_is_cut_off(pack: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pack.write_bytes(bytes(16 << 20))
    timing = PeerTiming(finish_s=0.2 if how == "late" else 60)
    started = time.monotonic()
    with serving(pack, timing=timing) as peer, slow_reader(peer) as sock:
        sock.recv(1024)
        if how == "late":
            peer.stop()
        elif how == "twice":
            stopping = threading.Thread(target=peer.stop)
            stopping.start()
            peer.stop()
            peer.stop()
            stopping.join(10)
        else:
            with monkeypatch.context() as patch:
                patch.setattr(peer, "wait", _interrupt)
                with pytest.raises(KeyboardInterrupt):
                    peer.stop()
    assert time.monotonic() - started < 5
    assert peer.wait(0)


def _interrupt(timeout_s: float | None = None) -> bool:
    raise KeyboardInterrupt


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one program")
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_lets_a_download_finish_and_a_second_one_does_not(pack: Path, times: int) -> None:
    pack.write_bytes(bytes(16 << 20))
    command = [sys.executable, peer_child.__file__, str(pack)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        url = urlsplit(child.stdout.readline().strip())
        address, asked = (str(url.hostname), url.port or 0), f"{url.path}?{url.query}"
        with small_connection(address, asked) as sock:
            assert sock.recv(1, socket.MSG_PEEK) == b"H"
            child.send_signal(signal.SIGINT)
            while ask(address, "HEAD", asked).status != 410:
                time.sleep(0.01)
            if times == 2:
                child.send_signal(signal.SIGINT)
                assert child.wait(5) == 130
            else:
                assert read_rest(sock) == bytes(16 << 20)
        assert child.wait(5) == 130


def test_idle_connections_do_not_hold_up_the_end(pack: Path) -> None:
    with serving(pack) as peer, socket.create_connection(peer.address, timeout=10) as idle:
        idle.sendall(b"GET / HT")
        time.sleep(0.05)
        started = time.monotonic()
        peer.stop()
        assert time.monotonic() - started < 1


def test_an_observer_may_stop_the_server(pack: Path) -> None:
    with HttpPeerServer(clock=FixedClock()).bind("127.0.0.1", 0) as bound:
        peer = bound.start(job_of(pack), emit=lambda _: peer.stop())
        assert ask(peer.address, "GET", target(peer)).body == CONTENT
        assert peer.wait(10) is True


def read_rest(sock: socket.socket) -> bytes:
    """Read the answer to the end. Raises ``IncompleteRead`` when it is cut off, with a reset or without."""
    response = http.client.HTTPResponse(sock)
    response.begin()
    try:
        return response.read()
    except ConnectionError as exc:
        raise http.client.IncompleteRead(b"") from exc


def wait_for(seen: list[Event], count: int) -> None:
    deadline = time.monotonic() + 10
    while len(seen) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(seen) >= count
