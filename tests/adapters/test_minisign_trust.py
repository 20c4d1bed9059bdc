"""The folder of trusted keys: what people put there, what strangers might, and what is never overwritten."""

from __future__ import annotations

import os
from pathlib import Path

import attrs
import pytest

from dlm.adapters.minisign.signer import MinisignSigner
from dlm.adapters.minisign.trust import TrustFolder
from dlm.domain.errors import DiskError, DlmError, SignatureError
from dlm.domain.minisign import PublicKey, parse_public_key, public_key_text
from dlm.testing.signer_contract import ANNA, BERT, code_of


@pytest.fixture
def trust(home: Path) -> TrustFolder:
    return TrustFolder(home=home)


def trusted(trust: TrustFolder) -> list[PublicKey]:
    found = trust.trusted()
    return [kept.key for kept in found]


def test_files_are_private_and_keys_as_given(trust: TrustFolder) -> None:
    old = os.umask(0)
    try:
        kept = trust.trust(ANNA, label="anna")
    finally:
        os.umask(old)
    assert kept.path == trust.folder / f"anna-{ANNA.fingerprint}.pub"
    assert kept.path.read_text() == public_key_text(ANNA)
    assert kept.path.stat().st_mode & 0o777 == 0o600
    assert trust.folder.stat().st_mode & 0o777 == 0o700
    assert list(trust.folder.iterdir()) == [kept.path]


def test_keys_that_people_put_there_are_trusted(trust: TrustFolder, home: Path) -> None:
    MinisignSigner(home=home).generate(passphrase=None)
    trust.folder.mkdir()
    text = (home / "minisign.pub").read_text()
    (trust.folder / "a friend.pub").write_text(text.replace("\n", "\r\n"))
    (trust.folder / "notes.txt").write_text("not looked at")
    (found,) = trust.trusted()
    assert found.key == parse_public_key(text.encode())
    assert found.path.name == "a friend.pub"
    assert trust.problems() == ()


def test_what_is_no_key_is_named_and_passed_over(trust: TrustFolder, tmp_path: Path) -> None:
    trust.trust(BERT, label="bert")
    outside = tmp_path / "outside.pub"
    outside.write_text(public_key_text(ANNA))
    (trust.folder / "a-link.pub").symlink_to(outside)
    (trust.folder / "b-loop.pub").symlink_to("b-loop.pub")
    os.mkfifo(trust.folder / "c-pipe.pub")
    (trust.folder / "d-folder.pub").mkdir()
    (trust.folder / "e-huge.pub").write_bytes(b"untrusted comment: " + b"x" * 5_000_000)
    (trust.folder / "f-empty.pub").touch()
    (trust.folder / "g-binary.pub").write_bytes(bytes(range(256)))
    (trust.folder / "h-two.pub").write_text(public_key_text(ANNA) * 2)
    assert trusted(trust) == [BERT]
    problems = trust.problems()
    assert [Path(problem.split(" ")[0]).name[0] for problem in problems] == list("abcdefgh")
    assert "larger than 4096 bytes" in problems[4]
    assert all(len(problem) < 400 for problem in problems)


@pytest.mark.parametrize("what", ["folder", "file"])
def test_keys_that_others_could_change_are_told(trust: TrustFolder, what: str) -> None:
    kept = trust.trust(ANNA)
    kept.path.chmod(0o644)
    assert trust.problems() == ()
    path = trust.folder if what == "folder" else kept.path
    path.chmod(0o775)
    (problem,) = trust.problems()
    assert problem.startswith(f"{path} can be changed by others")


@pytest.mark.parametrize("there", ["other key", "rubbish", "dangling link", "folder"])
def test_nothing_is_ever_overwritten(trust: TrustFolder, there: str, tmp_path: Path) -> None:
    trust.folder.mkdir()
    path = trust.folder / f"anna-{ANNA.fingerprint}.pub"
    target = tmp_path / "target"
    if there == "dangling link":
        path.symlink_to(target)
    elif there == "folder":
        path.mkdir()
    else:
        path.write_text(public_key_text(BERT) if there == "other key" else "x")
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(SignatureError) as caught:
        trust.trust(ANNA, label="anna")
    assert code_of(caught) == ("sign.key-file-taken", "keys")
    assert (path.read_bytes() if path.is_file() else None) == before
    assert not target.exists()
    assert len(list(trust.folder.iterdir())) == 1


def test_a_key_that_another_process_has_just_kept_is_found(trust: TrustFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = trust.trust(ANNA)
    with monkeypatch.context() as patch:
        patch.setattr(TrustFolder, "_paths", lambda _: [])
        assert trust.trust(ANNA) == kept


def test_revoking_removes_every_file_that_holds_the_key(trust: TrustFolder) -> None:
    trust.trust(ANNA)
    trust.trust(BERT)
    (trust.folder / "copy.pub").write_text(public_key_text(attrs.evolve(ANNA, comment="another comment")))
    assert len(trust.trusted()) == 2
    trust.revoke(ANNA.fingerprint)
    assert trusted(trust) == [BERT]
    assert len(list(trust.folder.iterdir())) == 1


def test_ids_are_taken_as_the_minisign_program_shows_them(trust: TrustFolder) -> None:
    key = attrs.evolve(ANNA, key_id=bytes.fromhex("efcdab0000000000"))
    kept = trust.trust(key)
    assert key.name == "0000000000ABCDEF"
    assert trust.revoke("abcdef") == kept
    trust.trust(key)
    assert trust.revoke(key.fingerprint.upper()).key == key


def test_full_and_forbidden_disks_are_told(trust: TrustFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    trust.trust(BERT)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DiskError):
            trust.trust(ANNA)
        with pytest.raises(DiskError):
            trust.revoke(BERT.fingerprint)
    assert trusted(trust) in ([BERT], [])

    def forbid(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", forbid)
    with pytest.raises(SignatureError) as caught:
        trust.trusted()
    assert code_of(caught) == ("sign.unreadable", "keys")


def test_a_file_in_the_place_of_the_folder_is_told(trust: TrustFolder) -> None:
    trust.folder.write_text("x")
    for attempt in (trust.trusted, trust.problems, lambda: trust.trust(ANNA)):
        with pytest.raises(DlmError):
            attempt()
