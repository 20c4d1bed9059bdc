"""Serving packs over HTTP and without a network keeps the same promises."""

from __future__ import annotations

from dlm.adapters.peer import HttpPeerServer
from dlm.ports.clock import Clock
from dlm.ports.peer_server import PeerServerPort, RunningPeer
from dlm.testing.peer_server_contract import PeerServerContract
from dlm.testing.peer_servers import FakePeerServer, FakeRunningPeer, PeerAnswer
from peer_client import ask


class TestHttpPeerServer(PeerServerContract):
    def server(self, clock: Clock) -> PeerServerPort:
        return HttpPeerServer(clock=clock)

    def ask(self, running: RunningPeer, method: str, target: str) -> PeerAnswer:
        return ask(running.address, method, target)


class TestFakePeerServer(PeerServerContract):
    def server(self, clock: Clock) -> PeerServerPort:
        return FakePeerServer(clock)

    def ask(self, running: RunningPeer, method: str, target: str) -> PeerAnswer:
        assert isinstance(running, FakeRunningPeer)
        return running.answer(method, target)
