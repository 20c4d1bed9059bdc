"""What every way of sharing packs promises, as tests. Needs pytest.

class TestMyShare(ShareContract):
    @pytest.fixture
    def share(self):
        return MyShare()

    @pytest.fixture
    def place(self):
        return …
"""

from __future__ import annotations

import random
from pathlib import Path

import attrs
import pytest

from dlm.domain.errors import ShareError
from dlm.domain.events import Event, Note, Progress, ignore
from dlm.domain.share import PACK_NAME, Address
from dlm.ports.share import Parcel, SharePort

PACK = b"\x28\xb5\x2f\xfd" + random.Random(0).randbytes(2_500_000)
SIGNATURE = b"untrusted comment: x\nAAAA\ntrusted comment: y\nBBBB\n"


def parcel(folder: Path, pack: bytes = PACK, signature: bytes | None = SIGNATURE) -> Parcel:
    """Write a pack and its signature into ``folder`` and give them as a parcel."""
    path = folder / "notes.dlm.pack"
    path.write_bytes(pack)
    if signature is None:
        return Parcel(pack=path, card="# card\n")
    beside = folder / "notes.dlm.pack.minisig"
    beside.write_bytes(signature)
    return Parcel(pack=path, signature=beside, card="# card\n")


class ShareContract:
    """Subclass it and give a ``share``, and a ``place`` for it where nothing is yet."""

    deletes = True
    """Whether the place can take an earlier signature away."""

    @pytest.fixture
    def share(self) -> SharePort:
        """Give the way under test."""
        raise NotImplementedError("override the share fixture")

    @pytest.fixture
    def place(self) -> Address:
        """Give a place that is empty."""
        raise NotImplementedError("override the place fixture")

    @pytest.fixture
    def into(self, tmp_path: Path) -> Path:
        """Give an empty folder to fetch into."""
        folder = tmp_path / "into"
        folder.mkdir()
        return folder

    def test_it_takes_addresses_of_its_kind(self, share: SharePort, place: Address) -> None:
        assert share.kind == place.kind

    def test_pack_and_signature_come_back_as_they_were(
        self, share: SharePort, place: Address, tmp_path: Path, into: Path
    ) -> None:
        where = share.push(parcel(tmp_path), place, emit=ignore)
        assert "?" not in where
        fetched = share.pull(place, into, emit=ignore)
        assert (fetched.pack.name, fetched.pack.read_bytes()) == (PACK_NAME, PACK)
        assert fetched.signature is not None
        assert (fetched.signature.read_bytes(), fetched.signature_problem) == (SIGNATURE, None)
        assert set(into.iterdir()) == {fetched.pack, fetched.signature}

    def test_an_unsigned_pack_has_no_signature_and_no_problem(
        self, share: SharePort, place: Address, tmp_path: Path, into: Path
    ) -> None:
        share.push(parcel(tmp_path, signature=None), place, emit=ignore)
        fetched = share.pull(place, into, emit=ignore)
        assert (fetched.signature, fetched.signature_problem) == (None, None)
        assert list(into.iterdir()) == [fetched.pack]

    def test_a_later_pack_replaces_an_earlier_one(
        self, share: SharePort, place: Address, tmp_path: Path, into: Path
    ) -> None:
        for pack, signature in ((PACK, SIGNATURE), (PACK[:9], b"new")):
            share.push(parcel(tmp_path, pack, signature), place, emit=ignore)
        fetched = share.pull(place, into, emit=ignore)
        assert fetched.signature is not None
        assert (fetched.pack.read_bytes(), fetched.signature.read_bytes()) == (PACK[:9], b"new")

    def test_an_earlier_signature_does_not_stay_with_an_unsigned_pack(
        self, share: SharePort, place: Address, tmp_path: Path, into: Path
    ) -> None:
        share.push(parcel(tmp_path), place, emit=ignore)
        share.push(parcel(tmp_path, PACK[:9], signature=None), place, emit=ignore)
        fetched = share.pull(place, into, emit=ignore)
        assert fetched.pack.read_bytes() == PACK[:9]
        assert (fetched.signature is None) is self.deletes

    def test_a_place_without_a_pack(self, share: SharePort, place: Address, into: Path) -> None:
        with pytest.raises(ShareError) as caught:
            share.pull(place, into, emit=ignore)
        assert (caught.value.code, list(into.iterdir())) == ("share.missing", [])

    def test_bytes_are_told_up_to_the_last(self, share: SharePort, place: Address, tmp_path: Path, into: Path) -> None:
        for work, stage in (
            (lambda emit: share.push(parcel(tmp_path), place, emit=emit), "upload"),
            (lambda emit: share.pull(place, into, emit=emit), "download"),
        ):
            events: list[Event] = []
            work(events.append)
            told = [event for event in events if isinstance(event, Progress)]
            assert told[-1] == Progress(stage=stage, done=len(PACK), total=len(PACK), unit="B")
            assert [event.done for event in told] == sorted(event.done for event in told)

    def test_a_warning_is_told_first(self, share: SharePort, place: Address, tmp_path: Path, into: Path) -> None:
        place = attrs.evolve(place, warning="be careful")
        events: list[Event] = []
        share.push(parcel(tmp_path), place, emit=events.append)
        assert events[0] == Note(subject="share", message="be careful", severity="warning")
        events.clear()
        share.pull(place, into, emit=events.append)
        assert events[0] == Note(subject="share", message="be careful", severity="warning")

    def test_an_observer_that_fails_ends_a_push(
        self, share: SharePort, place: Address, tmp_path: Path, into: Path
    ) -> None:
        with pytest.raises(ValueError, match="enough"):
            share.push(parcel(tmp_path), place, emit=_failing)

    def test_an_observer_that_fails_ends_a_pull_and_leaves_nothing(
        self, share: SharePort, place: Address, tmp_path: Path, into: Path
    ) -> None:
        share.push(parcel(tmp_path), place, emit=ignore)
        for failing in (_failing, _failing_at_the_end):
            with pytest.raises(ValueError, match="enough"):
                share.pull(place, into, emit=failing)
            assert list(into.iterdir()) == []


def _failing(_: Event) -> None:
    raise ValueError("enough")


def _failing_at_the_end(event: Event) -> None:
    if isinstance(event, Progress) and event.done == event.total:
        raise ValueError("enough")
