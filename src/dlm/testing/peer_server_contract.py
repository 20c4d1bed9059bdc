"""What every peer server promises, as tests. Needs pytest.

class TestMyPeerServer(PeerServerContract):
    def server(self, clock):
        return MyPeerServer(clock)

    def ask(self, running, method, target):
        return PeerAnswer(status=…, headers=…, body=…)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from dlm.domain.errors import ShareError
from dlm.domain.events import Emit, Event, PeerAnswered, ignore
from dlm.ports.clock import Clock
from dlm.ports.peer_server import PeerJob, PeerServerPort, RunningPeer
from dlm.testing.clocks import FixedClock
from dlm.testing.peer_servers import PeerAnswer

DLM_ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
HOST = "127.0.0.1"
PACK, SIGNATURE = bytes(range(256)) * 40, b"untrusted comment: signature\n"


class PeerServerContract:
    """Subclass it and write ``server`` and ``ask``."""

    def server(self, clock: Clock) -> PeerServerPort:
        """Give the server under test."""
        raise NotImplementedError("override server")

    def ask(self, running: RunningPeer, method: str, target: str) -> PeerAnswer:
        """Send a request to what runs at ``running.address``. ``OSError`` when nobody answers."""
        raise NotImplementedError("override ask")

    def job(self, folder: Path, *, signed: bool = True, **options: Any) -> PeerJob:
        """Write a pack and its signature; give the job to serve them."""
        pack, signature = folder / "a.dlm.pack", folder / "a.dlm.pack.minisig"
        pack.write_bytes(PACK)
        signature.write_bytes(SIGNATURE)
        digest = hashlib.sha256(PACK).hexdigest()
        return PeerJob(dlm_id=DLM_ID, pack=pack, sha256=digest, signature=signature if signed else None, **options)

    @contextmanager
    def running(self, job: PeerJob, *, clock: Clock | None = None, emit: Emit = ignore) -> Iterator[RunningPeer]:
        """Serve on a free port."""
        with self.server(clock or FixedClock()).bind(HOST, 0) as bound, bound.start(job, emit=emit) as running:
            yield running

    def test_the_address_opens_the_pack(self, tmp_path: Path) -> None:
        job = self.job(tmp_path)
        with self.server(FixedClock()).bind(HOST, 0) as bound, bound.start(job, emit=ignore) as running:
            url = urlsplit(running.url)
            assert (url.scheme, url.hostname, url.port) == ("peer", HOST, bound.address[1])
            assert (url.path, url.fragment) == (f"/{DLM_ID}", f"sha256={job.sha256}")
            assert running.address == bound.address
            assert 0 < bound.address[1] < 65536
            answer = self.ask(running, "GET", target(running))
            assert (answer.status, answer.body) == (200, PACK)
            assert answer.headers["etag"] == f'"{job.sha256}"'

    def test_the_signature_lies_beside_it(self, tmp_path: Path) -> None:
        with self.running(self.job(tmp_path)) as running:
            answer = self.ask(running, "GET", target(running, ".minisig"))
            assert (answer.status, answer.body) == (200, SIGNATURE)

    def test_a_pack_that_is_not_signed_has_none(self, tmp_path: Path) -> None:
        with self.running(self.job(tmp_path, signed=False)) as running:
            assert self.ask(running, "GET", target(running, ".minisig")).status == 404

    def test_head_gives_the_size_alone(self, tmp_path: Path) -> None:
        with self.running(self.job(tmp_path)) as running:
            answer = self.ask(running, "HEAD", target(running))
            assert (answer.status, answer.headers["content-length"], answer.body) == (200, str(len(PACK)), b"")

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/", 404),
            ("POST", "/other?token={token}", 404),
            ("GET", f"/{DLM_ID.lower()}?token={{token}}", 404),
            ("GET", f"/{DLM_ID}/?token={{token}}", 404),
            ("GET", f"/../{DLM_ID}?token={{token}}", 404),
            ("POST", f"/{DLM_ID}", 405),
            ("DELETE", f"/{DLM_ID}?token={{token}}", 405),
            ("GET", f"/{DLM_ID}", 401),
            ("GET", f"/{DLM_ID}?token=", 401),
            ("GET", f"/{DLM_ID}?Token={{token}}", 401),
            ("HEAD", f"/{DLM_ID}.minisig", 401),
            ("GET", f"/{DLM_ID}?token=x", 403),
            ("GET", f"/{DLM_ID}?token={{token}}.minisig", 403),
            ("GET", f"/{DLM_ID}?token={{token}}&token={{token}}", 403),
            ("GET", f"/{DLM_ID}?x=1&token={{token}}&y", 200),
        ],
    )
    def test_statuses(self, method: str, path: str, status: int, tmp_path: Path) -> None:
        with self.running(self.job(tmp_path)) as running:
            token = target(running).partition("token=")[2]
            assert self.ask(running, method, path.format(token=token)).status == status

    def test_a_token_ends(self, tmp_path: Path) -> None:
        clock = FixedClock()
        with self.running(self.job(tmp_path, ttl_s=60), clock=clock) as running:
            clock.advance(59)
            assert clock.now() < running.expires
            assert self.ask(running, "GET", target(running)).status == 200
            clock.advance(1)
            assert clock.now() == running.expires
            assert self.ask(running, "GET", target(running)).status == 403

    def test_tokens_of_another_run_do_not_open_it(self, tmp_path: Path) -> None:
        server, job = self.server(FixedClock()), self.job(tmp_path)
        with server.bind(HOST, 0) as bound, bound.start(job, emit=ignore) as first:
            old = target(first)
            with server.bind(HOST, 0) as other, other.start(job, emit=ignore) as second:
                assert self.ask(second, "GET", old).status == 403
                assert self.ask(second, "GET", target(second)).status == 200

    def test_a_pack_that_was_removed_is_gone_for_those_who_may_know(self, tmp_path: Path) -> None:
        job = self.job(tmp_path)
        with self.running(job) as running:
            job.pack.unlink()
            assert self.ask(running, "GET", f"/{DLM_ID}?token=x").status == 403
            assert self.ask(running, "GET", target(running)).status == 410

    def test_too_many_requests_are_told_when_to_come_back(self, tmp_path: Path) -> None:
        with self.running(self.job(tmp_path, rate_limit=2)) as running:
            answers = [self.ask(running, "GET", target(running)) for _ in range(3)]
            assert [answer.status for answer in answers] == [200, 200, 429]
            assert 1 <= int(answers[-1].headers["retry-after"]) <= 60

    def test_each_request_is_told_without_its_token(self, tmp_path: Path) -> None:
        seen: list[Event] = []
        with self.running(self.job(tmp_path), emit=seen.append) as running:
            token = target(running).partition("token=")[2]
            self.ask(running, "GET", target(running))
            self.ask(running, "PUT", f"/{DLM_ID}%3Ftoken={token}")
            self.ask(running, "GET", f"/{token}")
        told = [(e.method, e.path, e.status, e.client) for e in seen if isinstance(e, PeerAnswered)]
        assert told[:2] == [("GET", f"/{DLM_ID}", 200, HOST), ("PUT", f"/{DLM_ID}…", 404, HOST)]
        assert len(told) == 3
        assert token not in repr(seen)

    def test_what_an_observer_raises_stops_the_server_and_comes_back(self, tmp_path: Path) -> None:
        def fail(_: Event) -> None:
            raise LookupError("observer")

        with self.server(FixedClock()).bind(HOST, 0) as bound:
            running = bound.start(self.job(tmp_path), emit=fail)
            self.ask(running, "GET", target(running))
            with pytest.raises(LookupError, match="observer"):
                running.wait(10)

    def test_stopping_ends_it_and_frees_the_port(self, tmp_path: Path) -> None:
        server, job = self.server(FixedClock()), self.job(tmp_path)
        with server.bind(HOST, 0) as bound:
            running = bound.start(job, emit=ignore)
            assert running.wait(0.01) is False
            running.stop()
            assert running.wait() is True
            running.stop()
            with pytest.raises(OSError):
                self.ask(running, "GET", target(running))
            with server.bind(HOST, bound.address[1]) as again:
                assert again.address == bound.address

    def test_leaving_the_port_stops_what_runs_on_it(self, tmp_path: Path) -> None:
        with self.server(FixedClock()).bind(HOST, 0) as bound:
            running = bound.start(self.job(tmp_path), emit=ignore)
        assert running.wait(0.01) is True

    def test_a_taken_port_is_refused(self) -> None:
        server = self.server(FixedClock())
        with server.bind(HOST, 0) as bound:
            with pytest.raises(ShareError) as caught:
                server.bind(HOST, bound.address[1])
            assert caught.value.code == "serve.port"
        server.bind(HOST, bound.address[1]).close()

    @pytest.mark.parametrize("name", ["a.dlm.pack", "a.dlm.pack.minisig"])
    def test_what_is_not_there_cannot_be_served(self, name: str, tmp_path: Path) -> None:
        job = self.job(tmp_path)
        (tmp_path / name).unlink()
        with self.server(FixedClock()).bind(HOST, 0) as bound:
            with pytest.raises(ShareError, match=name) as caught:
                bound.start(job, emit=ignore)
            assert caught.value.code == "serve.unreadable"

    @pytest.mark.parametrize("options", [{"ttl_s": 0}, {"max_concurrency": 0}, {"rate_limit": -1}])
    def test_limits_leave_room_for_something(self, options: dict[str, Any], tmp_path: Path) -> None:
        with pytest.raises(ShareError) as caught:
            self.job(tmp_path, **options)
        assert caught.value.code == "serve.limits"

    def test_an_encrypted_address_names_the_certificate(self, tmp_path: Path) -> None:
        with self.running(self.job(tmp_path, is_encrypted=True)) as running:
            assert len(running.certificate_sha256 or "") == 64
            assert f"&tls={running.certificate_sha256}#" in running.url


def target(running: RunningPeer, suffix: str = "") -> str:
    """Give path and query of a running server's address, with ``suffix`` after the path."""
    url = urlsplit(running.url)
    return f"{url.path}{suffix}?token={url.query.partition('token=')[2].partition('&')[0]}"
