"""A client that sends exactly what it is told, to peers on this machine."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping

from dlm.testing.peer_servers import PeerAnswer


def ask(
    address: tuple[str, int], method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> PeerAnswer:
    """Send a request and read the answer."""
    lines = [
        f"{method} {target} HTTP/1.1",
        "Host: peer",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return send(address, "\r\n".join((*lines, "", "")).encode("latin-1") + body, method=method)


def send(address: tuple[str, int], data: bytes, *, method: str = "GET") -> PeerAnswer:
    """Send bytes and read the answer to them."""
    with socket.create_connection(address, timeout=20) as sock:
        sock.sendall(data)
        response = http.client.HTTPResponse(sock, method=method)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return PeerAnswer(status=response.status, headers=headers, body=response.read())
