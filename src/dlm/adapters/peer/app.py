"""The answers of a peer server, as an ASGI application."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from email.utils import formatdate
from typing import Literal

import attrs
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dlm.adapters.peer.body import FileBody, pass_over
from dlm.adapters.peer.connection import PeerConnection
from dlm.adapters.peer.served_file import ServedFile
from dlm.adapters.peer.timing import PeerTiming
from dlm.domain.events import Emit, PeerAnswered
from dlm.domain.peer_gate import METHODS, PeerGate, PeerRequest, Served
from dlm.domain.peer_limits import Admit, ByteRange, Refuse, parse_range
from dlm.ports.clock import Clock


@attrs.frozen
class _Reply:
    """Status and headers; ``body`` is None for an answer without one."""

    status: int
    headers: Mapping[str, str]
    body: FileBody | None = None


@attrs.frozen(kw_only=True)
class PeerApp:
    """Answers requests, one on each connection.

    Args:
        files: what is served.
        monotonic: seconds, for the limits of requests.
        fail: takes what an observer raised.
        executor: reads files.
    """

    gate: PeerGate
    files: Mapping[Served, ServedFile]
    timing: PeerTiming
    clock: Clock
    monotonic: Callable[[], float]
    emit: Emit
    fail: Callable[[BaseException], None]
    executor: Executor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and tell the observer when that is done."""
        asked = _asked(scope)
        is_there = await pass_over(receive, self.timing.read_s)
        decision = self._decide(asked) if is_there else Refuse(408)
        try:
            reply = self._reply(asked, decision, Headers(scope=scope))
            await _send(reply, scope, receive, send)
        finally:
            if isinstance(decision, Admit):
                self.gate.release(decision)
        self._tell(asked, reply)

    def _decide(self, asked: PeerRequest) -> Admit | Refuse:
        is_withdrawn = self.files["pack"].is_gone
        return self.gate.decide(asked, now=self.clock.now(), tick=self.monotonic(), is_withdrawn=is_withdrawn)

    def _reply(self, asked: PeerRequest, decision: Admit | Refuse, headers: Headers) -> _Reply:
        if isinstance(decision, Refuse):
            return _Reply(decision.status, _refusal_headers(decision))
        file = self.files[self.gate.what(asked) or "pack"]
        part = _part(headers, file) if asked.method == "GET" else None  # RFC 9110, 14.2: ranges are for GET
        if part == "unsatisfiable":
            return _Reply(416, _headers() | {"Content-Range": f"bytes */{file.size}"})
        span = ByteRange(0, file.size - 1) if part is None else part
        told = _headers() | _about(file, span, is_part=part is not None)
        body = FileBody(file, span, pace=self.timing.pace, executor=self.executor) if asked.method == "GET" else None
        return _Reply(200 if part is None else 206, told, body)

    def _tell(self, asked: PeerRequest, reply: _Reply) -> None:
        event = PeerAnswered(
            method=asked.method[:16],
            path=asked.shown,
            status=reply.status,
            client=asked.client,
            sent_bytes=reply.body.sent if reply.body is not None else 0,
            is_complete=reply.body is None or reply.body.is_complete,
        )
        try:
            self.emit(event)
        except BaseException as exc:  # noqa: BLE001  # it goes to the thread that waits for the server
            self.fail(exc)


async def _send(reply: _Reply, scope: Scope, receive: Receive, send: Send) -> None:
    if reply.body is None:
        await Response(status_code=reply.status, headers=reply.headers)(scope, receive, send)
        return
    connection: PeerConnection = scope["state"]["connection"]
    raw = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in reply.headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": raw})
    await reply.body.send(send, connection)


def _asked(scope: Scope) -> PeerRequest:
    client = scope.get("client")
    return PeerRequest(
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        client=client[0] if client else "",
    )


def _part(headers: Headers, file: ServedFile) -> ByteRange | Literal["unsatisfiable"] | None:
    """Give the range that is asked for; None when it is one of another version of the file."""
    wanted = headers.get("if-range")
    return parse_range(headers.get("range"), file.size) if wanted in (None, file.etag) else None


def _headers() -> dict[str, str]:
    return {
        "Date": formatdate(usegmt=True),
        "Cache-Control": "no-store",
        "Connection": "close",
        "X-Content-Type-Options": "nosniff",
    }


def _about(file: ServedFile, span: ByteRange, *, is_part: bool) -> dict[str, str]:
    told = {
        "Accept-Ranges": "bytes",
        "Content-Length": str(span.length),
        "Content-Type": "application/octet-stream",
        "ETag": file.etag,
    }
    return told | ({"Content-Range": f"bytes {span.first}-{span.last}/{file.size}"} if is_part else {})


def _refusal_headers(refused: Refuse) -> dict[str, str]:
    told = _headers()
    if refused.status == 405:
        told["Allow"] = ", ".join(METHODS)
    if refused.retry_after_s is not None:
        told["Retry-After"] = str(refused.retry_after_s)
    return told
