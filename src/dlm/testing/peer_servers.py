"""Packs served without a network."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import timedelta
from types import TracebackType
from typing import Self

import attrs

from dlm.domain.errors import ShareError
from dlm.domain.events import Emit, PeerAnswered
from dlm.domain.peer_gate import PeerGate, PeerRequest
from dlm.domain.peer_limits import Refuse
from dlm.domain.peer_token import issue_token, peer_url
from dlm.ports.clock import Clock
from dlm.ports.peer_server import DEFAULT_PORT, PeerJob
from dlm.testing.clocks import FixedClock

A_CERTIFICATE = "c0" * 32


@attrs.frozen(kw_only=True)
class PeerAnswer:
    """What came back. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = b""


class FakePeerServer:
    """Implements ``PeerServerPort``; who wants to be answered calls ``FakeRunningPeer.answer``.

    ``taken`` are the ports of this machine that are in use; ``running`` what was started, in order.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or FixedClock()
        self.taken: set[int] = set()
        self.running: list[FakeRunningPeer] = []

    def bind(self, host: str, port: int = DEFAULT_PORT) -> FakeBoundPeer:
        if port in self.taken:
            raise ShareError("serve.port", f"port {port} of {host} is taken by another program")
        port = port or max(self.taken, default=50_000) + 1
        self.taken.add(port)
        return FakeBoundPeer(self, (host, port))


class FakeBoundPeer:
    """Implements ``BoundPeer``."""

    def __init__(self, server: FakePeerServer, address: tuple[str, int]) -> None:
        self.address = address
        self._server = server
        self._running: FakeRunningPeer | None = None

    def start(self, job: PeerJob, *, emit: Emit) -> FakeRunningPeer:
        for path in filter(None, (job.pack, job.signature)):
            if not path.is_file():
                raise ShareError("serve.unreadable", f"{path.name} cannot be served")
        self._running = FakeRunningPeer(self._server, self.address, job, emit)
        self._server.running.append(self._running)
        return self._running

    def close(self) -> None:
        self._server.taken.discard(self.address[1])
        if self._running is not None:
            self._running.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class FakeRunningPeer:
    """Implements ``RunningPeer``."""

    def __init__(self, server: FakePeerServer, address: tuple[str, int], job: PeerJob, emit: Emit) -> None:
        count = len(server.running)
        secret, nonce = count.to_bytes(32, "big"), count.to_bytes(12, "big")
        self.address = address
        self.expires = (server.clock.now() + timedelta(seconds=job.ttl_s)).replace(microsecond=0)
        self.certificate_sha256 = A_CERTIFICATE if job.is_encrypted else None
        token = issue_token(job.dlm_id, secret=secret, nonce=nonce, expires=self.expires)
        self.url = peer_url(*address, job.dlm_id, token, sha256=job.sha256, tls=self.certificate_sha256)
        self.job = job
        self._server = server
        self._emit = emit
        self._failure: BaseException | None = None
        self._stopped = threading.Event()
        self._gate = PeerGate(
            job.dlm_id,
            secret=secret,
            is_signed=job.signature is not None,
            max_concurrency=job.max_concurrency,
            rate_limit=job.rate_limit,
        )

    def answer(self, method: str, target: str, client: str = "127.0.0.1") -> PeerAnswer:
        """Answer ``GET /path?query``, as the real server would."""
        if self._stopped.is_set():
            raise ConnectionRefusedError
        path, _, query = target.partition("?")
        asked = PeerRequest(method=method, path=path, query=query, client=client)
        answer = self._answer(asked)
        try:
            self._emit(PeerAnswered(method=method, path=asked.shown, status=answer.status, client=client))
        except Exception as exc:  # noqa: BLE001  # it goes to whoever waits
            self._failure = exc
            self._stopped.set()
        return answer

    def wait(self, timeout_s: float | None = None) -> bool:
        is_stopped = self._stopped.wait(timeout_s)
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        return is_stopped

    def stop(self) -> None:
        self._server.taken.discard(self.address[1])
        self._stopped.set()
        self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _answer(self, asked: PeerRequest) -> PeerAnswer:
        now = self._server.clock.now()
        is_gone = lambda: not self.job.pack.exists()  # noqa: E731
        decision = self._gate.decide(asked, now=now, tick=now.timestamp(), is_withdrawn=is_gone)
        if isinstance(decision, Refuse):
            retry = decision.retry_after_s
            return PeerAnswer(status=decision.status, headers={"retry-after": str(retry)} if retry else {})
        self._gate.release(decision)
        is_pack = self._gate.what(asked) == "pack"
        content = (self.job.pack if is_pack else self.job.signature or self.job.pack).read_bytes()
        headers = {"content-length": str(len(content))} | ({"etag": f'"{self.job.sha256}"'} if is_pack else {})
        return PeerAnswer(status=200, headers=headers, body=content if asked.method == "GET" else b"")
