"""One connection of a peer server, and all of them: uvicorn's protocol, with the patience it lacks."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from dlm.adapters.peer.timing import PeerTiming

_BUFFER_BYTES = 256 * 1024
_RETRY_S = 0.1
_POLL_S = 0.02

LOG = logging.getLogger("dlm.peer")
LOG.addHandler(logging.NullHandler())
"""What strangers send must not fill anybody's terminal: heard by those who set logging up, and by nobody else."""


class PeerConnection(H11Protocol):
    """Ends when the headers are not there in time, or when the end of an answer is not read in time.

    Requests find their connection in ``scope["state"]["connection"]``. ``is_lost``: the other side has gone, or was
    cut off.
    """

    def __init__(self, config: Config, state: ServerState, *, timing: PeerTiming, on_lost: Callable[[], None]) -> None:
        super().__init__(config, state, {"connection": self})
        # The request line holds the token. Switched off here, because uvicorn's own switch is for the whole process.
        self.access_log = False
        self.logger = LOG
        self.is_lost = False
        self._timing = timing
        self._on_lost = on_lost
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a request came and its answer has not left."""
        return self.cycle is not None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=_BUFFER_BYTES)
        self._abort_after(self._timing.read_s)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._cancel_timer()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._abort_after(self._timing.pace.write_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._cancel_timer()
        super().connection_lost(exc)
        self._on_lost()

    def abort(self) -> None:
        """Cut the connection off; what was not sent is thrown away."""
        self.transport.abort()

    def _abort_after(self, seconds: float) -> None:
        self._cancel_timer()
        self._timer = self.loop.call_later(seconds, self.abort)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class PeerConnections:
    """Accepts connections, at most ``timing.connections`` at once."""

    def __init__(
        self, listener: socket.socket, app: Any, *, timing: PeerTiming, context: ssl.SSLContext | None
    ) -> None:
        self._listener = listener
        self._timing = timing
        self._context = context
        self._config = _config(app, timing)
        self._state = ServerState()
        self._room = asyncio.Semaphore(timing.connections)
        self._joining: set[asyncio.Task[None]] = set()

    async def accept(self) -> None:
        """Accept until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._room.acquire()
            try:
                connected, _ = await loop.sock_accept(self._listener)
            except OSError:  # gone again, or no file descriptors left: the next may do better
                self._room.release()
                await asyncio.sleep(_RETRY_S)
                continue
            task = loop.create_task(self._join(connected))
            self._joining.add(task)
            task.add_done_callback(self._joining.discard)

    async def finish(self, seconds: float, is_urgent: asyncio.Event) -> None:
        """Let running answers leave, for so long and until ``is_urgent``; then cut everything off."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while any(connection.is_busy for connection in self._open()):
            left = deadline - loop.time()
            if left <= 0 or is_urgent.is_set():
                break
            await asyncio.sleep(min(_POLL_S, left))

    async def close(self) -> None:
        """Cut everything off."""
        for task in list(self._joining):
            task.cancel()
        for connection in self._open():
            connection.abort()
        tasks = [*self._joining, *self._state.tasks]
        if tasks:
            await asyncio.wait(tasks)
        await asyncio.sleep(0)  # transports say goodbye in the next round

    def _open(self) -> list[PeerConnection]:
        return [connection for connection in self._state.connections if isinstance(connection, PeerConnection)]

    async def _join(self, connected: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        patience = None if self._context is None else self._timing.read_s
        try:
            await loop.connect_accepted_socket(
                lambda: PeerConnection(self._config, self._state, timing=self._timing, on_lost=self._room.release),
                connected,
                ssl=self._context,
                ssl_handshake_timeout=patience,
                ssl_shutdown_timeout=patience,
            )
        except (OSError, ssl.SSLError):  # no TLS, or not in time
            connected.close()
            self._room.release()


def _config(app: Any, timing: PeerTiming) -> Config:
    """Give uvicorn's settings: no logging set up, no word of a proxy believed, nothing but HTTP."""
    config = Config(
        app,
        interface="asgi3",
        http=PeerConnection,
        ws="none",
        lifespan="off",
        log_config=None,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        h11_max_incomplete_event_size=timing.header_bytes,
    )
    config.load()
    # At its finest log level uvicorn would wrap the application and write down every request, token and all.
    config.loaded_app = app
    return config
