"""Ports taken for serving packs."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

import attrs

from dlm.adapters.peer.timing import PeerTiming
from dlm.domain.errors import ShareError
from dlm.domain.events import Emit
from dlm.ports.clock import Clock
from dlm.ports.peer_server import DEFAULT_PORT, PeerJob

if TYPE_CHECKING:
    from dlm.adapters.peer.running import HttpRunningPeer

_BACKLOG = 2048
_LAST_PORT = 65535


def lan_address() -> str | None:
    """Give this machine's address in its network; None when it has none. Nothing is sent: UDP only picks a route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address for examples (RFC 5737), behind every router
        except OSError:
            return None
        address = str(probe.getsockname()[0])
    return None if address.startswith(("0.", "127.")) else address


@attrs.frozen(kw_only=True)
class HttpPeerServer:
    """Implements ``PeerServerPort`` on uvicorn and starlette.

    Args:
        monotonic: seconds, for the limits of requests.
        own_address: asked for this machine's address in the network.
    """

    clock: Clock
    timing: PeerTiming = attrs.field(factory=PeerTiming)
    monotonic: Callable[[], float] = time.monotonic
    own_address: Callable[[], str | None] = lan_address

    def bind(self, host: str, port: int = DEFAULT_PORT) -> HttpBoundPeer:
        """Take a port. See ``PeerServerPort``."""
        if not 0 <= port <= _LAST_PORT:
            raise _unbound(host, port, "there is no such port")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            return HttpBoundPeer(self, socket.create_server((host, port), family=family, backlog=_BACKLOG))
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE:
                raise _taken(host, port) from exc
            raise _unbound(host, port, exc.strerror or str(exc)) from exc


class HttpBoundPeer:
    """Implements ``BoundPeer``."""

    def __init__(self, server: HttpPeerServer, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        self.address: tuple[str, int] = (host, port)
        self._server = server
        self._listener = listener
        self._running: HttpRunningPeer | None = None

    def start(self, job: PeerJob, *, emit: Emit) -> HttpRunningPeer:
        """Serve a pack. See ``BoundPeer``."""
        from dlm.adapters.peer.running import HttpRunningPeer

        if self._running is not None:
            raise ShareError("serve.failed", f"port {self.address[1]} serves a pack already")
        self._running = HttpRunningPeer(self._server, self._listener, job, emit)
        return self._running

    def close(self) -> None:
        """Free the port."""
        if self._running is not None:
            self._running.stop()
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _taken(host: str, port: int) -> ShareError:
    return ShareError(
        "serve.port",
        f"port {port} of {host} is taken by another program",
        hint="Choose another one with --port, or --port 0 for any that is free.",
    )


def _unbound(host: str, port: int, why: str) -> ShareError:
    return ShareError(
        "serve.bind", f"dlm cannot listen at {host}, port {port}: {why}", hint="Choose another port with --port."
    )
