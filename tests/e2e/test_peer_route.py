"""A pack served here and pulled here, over the real server and the real client."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from dlm.adapters.peer import HttpPeerServer
from dlm.adapters.share import PeerShare
from dlm.adapters.system_clock import SystemClock
from dlm.domain.errors import ShareError
from dlm.domain.events import ignore
from dlm.domain.share import Address, parse_address
from dlm.ports.peer_server import PeerJob, RunningPeer
from dlm.testing.share_contract import PACK, SIGNATURE, parcel

ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


@pytest.fixture(params=[False, True], ids=["plain", "encrypted"])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningPeer]:
    sent = parcel(tmp_path)
    job = PeerJob(
        dlm_id=ID,
        pack=sent.pack,
        sha256=hashlib.sha256(PACK).hexdigest(),
        signature=sent.signature,
        is_encrypted=request.param,
    )
    with HttpPeerServer(clock=SystemClock()).bind("127.0.0.1", 0).start(job, emit=ignore) as running:
        yield running


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


def address(text: str) -> Address:
    return parse_address(text, exists=lambda _: False)


def test_the_printed_address_brings_pack_and_signature(running: RunningPeer, into: Path) -> None:
    fetched = PeerShare().pull(address(running.url), into, emit=ignore)
    assert fetched.signature is not None
    assert (fetched.pack.read_bytes(), fetched.signature.read_bytes()) == (PACK, SIGNATURE)


def test_a_damaged_token_is_refused(running: RunningPeer, into: Path) -> None:
    with pytest.raises(ShareError) as caught:
        PeerShare().pull(address(running.url.replace("?token=", "?token=A")), into, emit=ignore)
    assert (caught.value.code, list(into.iterdir())) == ("share.refused", [])


def test_a_server_that_has_stopped_is_out_of_reach(
    running: RunningPeer, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlm.domain.transfer._FIRST_WAIT_S", 0.01)
    running.stop()
    with pytest.raises(ShareError) as caught:
        PeerShare().pull(address(running.url), into, emit=ignore)
    assert caught.value.code == "share.unreachable"
