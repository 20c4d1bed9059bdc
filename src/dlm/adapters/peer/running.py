"""The thread that serves a pack. In a thread of its own it works in notebooks, beside their event loop."""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from dlm.adapters.peer.app import PeerApp
from dlm.adapters.peer.certificate import Certificate, make_certificate, server_context
from dlm.adapters.peer.connection import LOG, PeerConnections
from dlm.adapters.peer.served_file import ServedFile, served_pack, served_signature
from dlm.domain.errors import ShareError
from dlm.domain.events import Emit
from dlm.domain.peer_gate import PeerGate, Served
from dlm.domain.peer_token import NONCE_BYTES, SECRET_BYTES, issue_token, peer_url
from dlm.ports.peer_server import PeerJob

if TYPE_CHECKING:
    from dlm.adapters.peer.server import HttpPeerServer

_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  # only compared with
_UNKNOWN_ADDRESS = "<address>"
_READERS = 4
_WAIT_S = 0.1
"""How soon Ctrl-C is heard where it does not interrupt a wait: on Windows, and where another thread gets the signal."""


class HttpRunningPeer:
    """Implements ``RunningPeer``. Owns the listening socket from now on."""

    def __init__(self, server: HttpPeerServer, listener: socket.socket, job: PeerJob, emit: Emit) -> None:
        files: dict[Served, ServedFile] = {"pack": served_pack(job.pack, job.sha256)}
        if job.signature is not None:
            files["signature"] = served_signature(job.signature)
        now = server.clock.now()
        self.expires = (now + timedelta(seconds=job.ttl_s)).replace(microsecond=0)
        self._certificate: Certificate | None = None
        if job.is_encrypted:
            self._certificate = make_certificate(seed=secrets.token_bytes(32), now=now, expires=self.expires)
        self.certificate_sha256 = self._certificate.sha256 if self._certificate else None
        host, port = listener.getsockname()[:2]
        self.address: tuple[str, int] = (host, port)
        secret = secrets.token_bytes(SECRET_BYTES)
        self.url = self._url(server, job, secret)
        self._server = server
        self._listener = listener
        self._emit = emit
        self._files = files
        self._gate = PeerGate(
            job.dlm_id,
            secret=secret,
            is_signed=job.signature is not None,
            max_concurrency=job.max_concurrency,
            rate_limit=job.rate_limit,
        )
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self._is_stopping = False
        self._ready, self._done = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="dlm-peer", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._done.is_set():
            self._raise_failure()

    def _url(self, server: HttpPeerServer, job: PeerJob, secret: bytes) -> str:
        host, port = self.address
        if host in _EVERYWHERE:
            host = server.own_address() or _UNKNOWN_ADDRESS
        nonce = secrets.token_bytes(NONCE_BYTES)
        token = issue_token(job.dlm_id, secret=secret, nonce=nonce, expires=self.expires)
        return peer_url(host, port, job.dlm_id, token, sha256=job.sha256, tls=self.certificate_sha256)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the server has stopped. See ``RunningPeer``."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._done.is_set():
            left = _WAIT_S if deadline is None else min(_WAIT_S, deadline - time.monotonic())
            if left <= 0:
                return False
            self._done.wait(left)
        self._raise_failure()
        return True

    def stop(self) -> None:
        """End all tokens and stop. See ``RunningPeer``."""
        with self._lock:
            is_urgent, self._is_stopping = self._is_stopping, True
        self._in_loop(self._urgent.set if is_urgent else self._close)
        if threading.current_thread() is not self._thread:
            self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(self._serve())
        except Exception as exc:  # noqa: BLE001  # it goes to the thread that waits
            failed = ShareError("serve.failed", f"the peer server stopped: {str(exc) or type(exc).__name__}")
            failed.__cause__ = exc
            self._failure = self._failure or failed
        finally:
            self._listener.close()
            self._done.set()
            self._ready.set()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_note_fault)
        self._loop = loop
        self._closing, self._urgent = asyncio.Event(), asyncio.Event()
        self._listener.setblocking(False)
        context = server_context(self._certificate) if self._certificate is not None else None
        with ThreadPoolExecutor(_READERS, thread_name_prefix="dlm-peer-read") as executor:
            connections = PeerConnections(
                self._listener, self._app(executor), timing=self._server.timing, context=context
            )
            accepting = loop.create_task(connections.accept())
            closing = loop.create_task(self._closing.wait())
            self._ready.set()
            try:
                await asyncio.wait((accepting, closing), return_when=asyncio.FIRST_COMPLETED)
                await connections.finish(self._server.timing.finish_s, self._urgent)
            finally:
                closing.cancel()
                accepting.cancel()
                await connections.close()
        if accepting.done() and not accepting.cancelled():
            accepting.result()

    def _app(self, executor: ThreadPoolExecutor) -> PeerApp:
        return PeerApp(
            gate=self._gate,
            files=self._files,
            timing=self._server.timing,
            clock=self._server.clock,
            monotonic=self._server.monotonic,
            emit=self._emit,
            fail=self._fail,
            executor=executor,
        )

    def _close(self) -> None:
        self._gate.close()
        self._closing.set()

    def _fail(self, exc: BaseException) -> None:
        self._failure = self._failure or exc
        self._close()

    def _in_loop(self, call: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop is closed: the server has stopped by itself
            self._done.wait()

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure


def _note_fault(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Take what asyncio would print: broken handshakes, for example, which strangers can cause at will."""
    LOG.debug("%s", context.get("message"), exc_info=context.get("exception"))
