"""A client that sends exactly what it is told, to peers on this machine; and such a peer."""

from __future__ import annotations

import hashlib
import http.client
import socket
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from dlm.adapters.peer import HttpPeerServer
from dlm.adapters.peer.running import HttpRunningPeer
from dlm.adapters.peer.timing import PeerTiming
from dlm.domain.events import Emit, ignore
from dlm.ports.clock import Clock
from dlm.ports.peer_server import PeerJob, RunningPeer
from dlm.testing.clocks import FixedClock
from dlm.testing.peer_server_contract import target
from dlm.testing.peer_servers import PeerAnswer

DLM_ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def job_of(pack: Path, **options: Any) -> PeerJob:
    """Give the job that serves a file."""
    return PeerJob(dlm_id=DLM_ID, pack=pack, sha256=hashlib.sha256(pack.read_bytes()).hexdigest(), **options)


@contextmanager
def serving(
    pack: Path,
    *,
    timing: PeerTiming | None = None,
    clock: Clock | None = None,
    emit: Emit = ignore,
    **options: Any,
) -> Iterator[HttpRunningPeer]:
    """Serve a file on a free port."""
    server = HttpPeerServer(clock=clock or FixedClock(), timing=timing or PeerTiming())
    with server.bind("127.0.0.1", 0) as bound, bound.start(job_of(pack, **options), emit=emit) as running:
        yield running


def ask(
    address: tuple[str, int], method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> PeerAnswer:
    """Send a request and read the answer."""
    fields = {"Host": "peer", **(headers or {})} | ({"Content-Length": str(len(body))} if body else {})
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return send(address, "\r\n".join(lines).encode("latin-1") + body, method=method)


def send(address: tuple[str, int], data: bytes, *, method: str = "GET") -> PeerAnswer:
    """Send bytes and read the answer to them."""
    with socket.create_connection(address, timeout=20) as sock:
        sock.sendall(data)
        response = http.client.HTTPResponse(sock, method=method)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return PeerAnswer(status=response.status, headers=headers, body=response.read())


@contextmanager
def small_connection(address: tuple[str, int], target: str) -> Iterator[socket.socket]:
    """Send a request over a connection that holds little, and leave the reading to the caller."""
    with socket.socket() as sock:
        sock.settimeout(20)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        sock.connect(address)
        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: peer\r\n\r\n".encode())
        yield sock


def slow_reader(running: RunningPeer) -> AbstractContextManager[socket.socket]:
    """Ask for the pack over a small connection."""
    return small_connection(running.address, target(running))
