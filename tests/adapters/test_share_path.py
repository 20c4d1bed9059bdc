"""Packs in files and folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dlm.adapters.share.path import PathShare
from dlm.domain.errors import ShareError, StoreError
from dlm.domain.events import Event, ignore
from dlm.domain.share import Address, parse_address
from dlm.domain.transfer import TransferLimits
from dlm.ports.share import Fetched
from dlm.testing.share_contract import PACK, SIGNATURE, parcel


def address(text: object) -> Address:
    return parse_address(str(text), exists=lambda _: True)


def pull(source: Path, tmp_path: Path, limits: TransferLimits | None = None) -> Fetched:
    (tmp_path / "into").mkdir()
    return PathShare(**({"limits": limits} if limits else {})).pull(address(source), tmp_path / "into", emit=ignore)


def push(tmp_path: Path, to: object, *, signed: bool = True) -> str:
    (tmp_path / "from").mkdir(exist_ok=True)
    sent = parcel(tmp_path / "from", signature=SIGNATURE if signed else None)
    return PathShare().push(sent, address(to), emit=ignore)


def code_of(tmp_path: Path, to: object) -> str:
    with pytest.raises(ShareError) as caught:
        push(tmp_path, to)
    return caught.value.code


def test_into_a_folder_that_is_there_or_ends_in_a_slash(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    assert push(tmp_path, tmp_path / "there") == str(tmp_path / "there" / "notes.dlm.pack")
    push(tmp_path, f"{tmp_path}/new/er/")
    for folder in (tmp_path / "there", tmp_path / "new" / "er"):
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
            "notes.dlm.pack": PACK,
            "notes.dlm.pack.minisig": SIGNATURE,
        }


def test_the_home_folder_has_its_usual_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    push(tmp_path, "~/x.pack")
    assert (tmp_path / "x.pack").read_bytes() == PACK


def test_a_folder_that_is_not_there_is_not_invented(tmp_path: Path) -> None:
    assert code_of(tmp_path, tmp_path / "missing" / "x.pack") == "share.no-folder"


def test_a_file_that_is_no_pack_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.dlm").write_text("a year of work")
    assert code_of(tmp_path, tmp_path / "notes.dlm") == "share.not-a-pack"
    assert (tmp_path / "notes.dlm").read_text() == "a year of work"
    (tmp_path / "empty").touch()
    push(tmp_path, tmp_path / "empty")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_a_device_or_pipe_is_neither_replaced_nor_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert code_of(tmp_path, tmp_path / "pipe") == "share.not-a-file"
    with pytest.raises(ShareError, match="is no file"):
        pull(tmp_path / "pipe", tmp_path)


def test_a_pack_onto_itself_keeps_it_and_its_signature(tmp_path: Path) -> None:
    sent = parcel(tmp_path)
    PathShare().push(parcel(tmp_path, signature=None), address(sent.pack), emit=ignore)
    assert {path.name for path in tmp_path.iterdir()} == {"notes.dlm.pack", "notes.dlm.pack.minisig"}


def test_the_signature_is_there_before_the_pack(tmp_path: Path) -> None:
    seen: list[set[str]] = []
    (tmp_path / "out").mkdir()

    def look(_: Event) -> None:
        seen.append({path.name for path in (tmp_path / "out").iterdir() if ".tmp." not in path.name})

    PathShare().push(parcel(tmp_path), address(tmp_path / "out"), emit=look)
    assert seen[0] == {"notes.dlm.pack.minisig"}


def test_a_copy_is_no_link(tmp_path: Path) -> None:
    sent = parcel(tmp_path)
    fetched = pull(sent.pack, tmp_path)
    assert not fetched.pack.is_symlink()
    assert fetched.pack.stat().st_ino != sent.pack.stat().st_ino
    sent.pack.write_bytes(b"changed")
    assert fetched.pack.read_bytes() == PACK


def test_a_folder_is_no_pack(tmp_path: Path) -> None:
    with pytest.raises(ShareError) as caught:
        pull(tmp_path, tmp_path)
    assert caught.value.code == "share.not-a-file"


def test_too_large_a_pack_is_not_copied(tmp_path: Path) -> None:
    with pytest.raises(ShareError) as caught:
        pull(parcel(tmp_path).pack, tmp_path, TransferLimits(pack_bytes=len(PACK) - 1))
    assert (caught.value.code, list((tmp_path / "into").iterdir())) == ("share.too-large", [])


@pytest.mark.parametrize("kind", ["folder", "long"])
def test_a_signature_that_cannot_be_one_is_a_problem(tmp_path: Path, kind: str) -> None:
    sent = parcel(tmp_path, signature=None)
    beside = tmp_path / "notes.dlm.pack.minisig"
    beside.mkdir() if kind == "folder" else beside.write_bytes(b"x" * 9000)
    fetched = pull(sent.pack, tmp_path)
    assert fetched.signature is None
    assert str(beside) in str(fetched.signature_problem)


def test_a_disk_error_leaves_the_earlier_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push(tmp_path, tmp_path / "x.pack")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError) as caught:
        push(tmp_path, tmp_path / "x.pack")
    assert caught.value.code == "disk.full"
    assert (tmp_path / "x.pack").read_bytes() == PACK
    assert not [path for path in tmp_path.iterdir() if ".tmp." in path.name]
