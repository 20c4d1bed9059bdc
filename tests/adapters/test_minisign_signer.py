"""One's own key on disk: the published vectors, damage, crashes, permissions, and the minisign program itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dlm.adapters.minisign import signer as signer_module
from dlm.adapters.minisign.signer import MinisignSigner
from dlm.adapters.minisign.verifier import NaclVerifier
from dlm.domain.errors import DiskError, DlmError, SignatureError
from dlm.domain.minisign import parse_public_key, trusted_comment
from dlm.domain.minisign_secret import KdfLimits, SealedKey, parse_secret_key, plain_block, secret_key_text, unseal
from dlm.testing.signer_contract import COMMENT, WORDS, never, saying

FAST = KdfLimits(opslimit=32768, memlimit=1 << 24)
VECTOR_SECRET = (
    "untrusted comment: published test key\n"
    "RWRTY0IyICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8AgAAAAAAAAAAAAAEAAAAAGE3jygUdDhNRq8IFDsazNUb6Fv6LQB4TFnXgpmJn"
    "pW1mTRT7ehuXWubNzIWcfCMHwbQrN/eZEtac2mN+zufODHMHTglukpMTE2C9sEiEjclffOHPszUBKJtA60XwFHDlDmaISETopSQ=\n"
)
VECTOR_PUBLIC = "untrusted comment: x\nRWQBAgMEBQYHCAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4\n"
VECTOR_LINES = (
    "RUQBAgMEBQYHCJW9EkMWxs6buKMtyf9iQstZnl/JVX6bcNnk6YHUtSNV2t+uis8Y6wBHAirrTCY2AaaAft2KdItK60I8DOSfeAk=",
    "cWDXHhywEuf/LDpfnYyl4IoShwCIaVoBosg7LUWaL2JOFzD7w2rHIBToeDh4yT4UcfOxmztkzX/2XqwMjRgICQ==",
)


@pytest.fixture
def signer(home: Path) -> MinisignSigner:
    return MinisignSigner(home=home, limits=FAST)


def refusal(attempt: Callable[[], object]) -> str:
    with pytest.raises(SignatureError) as caught:
        attempt()
    assert caught.value.subject == "sign"
    assert caught.value.hint
    return caught.value.code


def test_the_published_key_makes_the_published_signature(signer: MinisignSigner, tmp_path: Path) -> None:
    signer.secret_path.write_text(VECTOR_SECRET)
    signer.public_path.write_text(VECTOR_PUBLIC)
    file = tmp_path / "hello.txt"
    file.write_bytes(b"hello\n")
    comment = trusted_comment(1_700_000_000, "hello.txt")
    lines = signer.sign_file(file, trusted_comment=comment, ask=saying("test")).splitlines()
    assert (lines[1], lines[3]) == VECTOR_LINES
    assert lines[2] == f"trusted comment: {comment}"
    assert signer.public_key().name == "0807060504030201"
    assert refusal(lambda: signer.sign_bytes(b"", trusted_comment="", ask=saying("tesT"))) == "sign.passphrase"


def test_the_published_block_has_the_published_checksum() -> None:
    public = parse_public_key(VECTOR_PUBLIC.encode())
    block = plain_block(key_id=public.key_id, seed=bytes(range(32)), public=public.key)
    assert block[72:].hex() == "52e868674a23e977a1930031aa07037ce866c02acf5de630430030558e4d07df"


def test_key_files_are_private_from_the_start(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = os.umask(0)
    try:
        signer = MinisignSigner(home=home / "new" / "home", limits=FAST)
        signer.generate(passphrase=WORDS)
    finally:
        os.umask(old)
    assert signer.secret_path.stat().st_mode & 0o777 == 0o600
    assert signer.home.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in signer.home.iterdir()) == ["minisign.key", "minisign.pub"]
    assert not signer.problems()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622, 0o644])
def test_a_secret_that_others_can_read_is_told_and_still_used(signer: MinisignSigner, mode: int) -> None:
    signer.generate(passphrase=None)
    signer.secret_path.chmod(mode)
    (problem,) = signer.problems()
    assert str(signer.secret_path) in problem
    assert "chmod 600" in problem
    assert signer.sign_bytes(b"", trusted_comment="", ask=never)


def test_the_passphrase_is_not_in_the_files_and_two_keys_share_nothing(home: Path) -> None:
    texts = []
    for name in ("a", "b"):
        one = MinisignSigner(home=home / name, limits=FAST)
        one.generate(passphrase=WORDS)
        texts.append(one.secret_path.read_text() + one.public_path.read_text())
    assert all(WORDS not in text for text in texts)
    keys = [parse_secret_key((home / name / "minisign.key").read_bytes()) for name in ("a", "b")]
    assert keys[0].salt != keys[1].salt
    assert keys[0].block != keys[1].block
    assert keys[0].limits == FAST


def test_an_ordinary_key_is_made_with_the_programs_limits(home: Path) -> None:
    assert MinisignSigner(home=home).limits == KdfLimits()


def test_secrets_in_memory_are_overwritten(signer: MinisignSigner, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks: list[bytearray] = []

    def noting(real: Callable[..., bytearray]) -> Callable[..., bytearray]:
        def noted(*arguments: Any, **named: Any) -> bytearray:
            blocks.append(real(*arguments, **named))
            return blocks[-1]

        return noted

    monkeypatch.setattr(signer_module, "plain_block", noting(plain_block))
    monkeypatch.setattr(signer_module, "unseal", noting(unseal))
    signer.generate(passphrase=None)
    with signer.unlock(never) as unlocked:
        assert any(blocks[-1])
        assert blocks[-1][8:40].hex() not in repr(unlocked)
    with pytest.raises(SignatureError):
        signer.sign_bytes(b"", trusted_comment="two\nlines", ask=never)
    assert len(blocks) == 3
    assert not any(any(block) for block in blocks)


def test_halves_that_do_not_belong_together_sign_nothing(signer: MinisignSigner) -> None:
    signer.generate(passphrase=None)
    signer.public_path.write_text(VECTOR_PUBLIC)
    assert refusal(lambda: signer.sign_bytes(b"", trusted_comment="", ask=never)) == "sign.key-mismatch"
    public = parse_public_key(VECTOR_PUBLIC.encode())
    block = plain_block(key_id=public.key_id, seed=bytes(32), public=public.key)
    signer.secret_path.write_text(secret_key_text(SealedKey(limits=None, block=bytes(block))))
    assert refusal(lambda: signer.sign_bytes(b"", trusted_comment="", ask=never)) == "sign.damaged-key"


def test_a_lost_public_half_is_told_from_an_open_key_alone(signer: MinisignSigner) -> None:
    key = signer.generate(passphrase=None)
    signer.public_path.unlink()
    assert signer.public_key().raw == key.raw
    assert signer.sign_bytes(b"", trusted_comment="", ask=never)
    signer.generate(passphrase=WORDS, force=True)
    signer.public_path.unlink()
    assert refusal(signer.public_key) == "sign.no-public-key"


def test_a_public_half_alone_is_no_key(signer: MinisignSigner) -> None:
    signer.public_path.write_text(VECTOR_PUBLIC)
    assert refusal(signer.public_key) == "sign.no-key"
    assert signer.generate(passphrase=None).raw != parse_public_key(VECTOR_PUBLIC.encode()).raw


@pytest.mark.parametrize("name", ["minisign.key", "minisign.pub"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "huge", "binary"])
def test_what_is_no_key_file_is_told_at_once(signer: MinisignSigner, name: str, kind: str) -> None:
    signer.generate(passphrase=None)
    path = signer.home / name
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(b"x" * 10_000_000 if kind == "huge" else bytes(range(256)))
    code = refusal(lambda: signer.sign_bytes(b"", trusted_comment="", ask=never))
    assert code in ("sign.unreadable", "sign.damaged-key")


def test_a_key_one_may_not_read_is_told(signer: MinisignSigner, monkeypatch: pytest.MonkeyPatch) -> None:
    signer.generate(passphrase=None)

    def forbid(*_: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", forbid)
    assert refusal(signer.public_key) == "sign.unreadable"


@pytest.mark.parametrize("raised", [MemoryError(), "nacl"])
def test_a_passphrase_that_cannot_be_checked_is_told(
    signer: MinisignSigner, monkeypatch: pytest.MonkeyPatch, raised: Any
) -> None:
    from nacl import exceptions
    from nacl.pwhash import scrypt

    signer.generate(passphrase=WORDS)

    def fail(*_: Any, **__: Any) -> bytes:
        raise exceptions.RuntimeError("no memory") if raised == "nacl" else raised

    monkeypatch.setattr(scrypt, "kdf", fail)
    assert refusal(lambda: signer.sign_bytes(b"", trusted_comment="", ask=saying(WORDS))) == "sign.kdf-failed"


def test_of_keys_made_at_once_one_is_kept_whole(signer: MinisignSigner) -> None:
    made, refused = [], []
    gate = threading.Barrier(6)

    def make() -> None:
        gate.wait()
        try:
            made.append(signer.generate(passphrase=None))
        except SignatureError as exc:
            refused.append(exc.code)

    threads = [threading.Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == ["sign.key-exists"] * 5
    assert made == [signer.public_key()]
    assert signer.sign_bytes(b"", trusted_comment="", ask=never)
    assert len(list(signer.home.iterdir())) == 2


@pytest.mark.parametrize("force", [False, True])
def test_a_crash_while_a_key_is_made_leaves_no_wrong_pair(
    signer: MinisignSigner, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    old = signer.generate(passphrase=None) if force else None
    steps = 0
    for crash_at in range(1, 40):
        steps = 0

        def step(real: Callable[..., Any], *arguments: Any, at: int = crash_at, **named: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == at:
                raise KeyboardInterrupt
            return real(*arguments, **named)

        with monkeypatch.context() as patch:
            for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink"), (Path, "hardlink_to")):
                real = getattr(owner, name)
                patch.setattr(owner, name, lambda *a, real=real, **k: step(real, *a, **k))
            try:
                signer.generate(passphrase=None, force=force)
            except KeyboardInterrupt:
                pass
            else:
                break
        if signer.secret_path.exists():
            assert signer.sign_bytes(b"", trusted_comment="", ask=never)
            if not force:
                signer.secret_path.unlink()
                signer.public_path.unlink(missing_ok=True)
        else:
            assert not force
    assert steps > 4
    assert old is None or signer.public_key() != old


def test_a_full_disk_is_told_and_leaves_the_old_key(signer: MinisignSigner, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DiskError):
            signer.generate(passphrase=None)
    assert list(signer.home.iterdir()) == []
    signer.generate(passphrase=None)


@pytest.mark.parametrize("there", [False, True])
def test_disks_without_hard_links_keep_keys_too(
    signer: MinisignSigner, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    def refuse(path: Path, _: Path) -> None:
        if there:
            path.write_text("another process was faster")
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    if there:
        assert refusal(lambda: signer.generate(passphrase=None)) == "sign.key-exists"
        assert signer.secret_path.read_text() == "another process was faster"
    else:
        signer.generate(passphrase=None)
        assert signer.sign_bytes(b"", trusted_comment="", ask=never)


def test_a_file_in_the_place_of_the_home_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DlmError) as caught:
        MinisignSigner(home=tmp_path / "file" / "home", limits=FAST).generate(passphrase=None)
    assert caught.value.code


def test_signing_a_large_file_takes_little_memory(signer: MinisignSigner, tmp_path: Path) -> None:
    import tracemalloc

    key = signer.generate(passphrase=None)
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(200 << 20)
    tracemalloc.start()
    try:
        text = signer.sign_file(large, trusted_comment=COMMENT, ask=never)
        assert NaclVerifier().verify_file(large, text.encode(), keys=[key]).outcome == "valid"
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_pipe_is_not_waited_for(signer: MinisignSigner, tmp_path: Path) -> None:
    signer.generate(passphrase=None)
    os.mkfifo(tmp_path / "pipe")
    assert refusal(lambda: signer.sign_file(tmp_path / "pipe", trusted_comment="", ask=never)) == "sign.unreadable"


minisign = pytest.mark.skipif(shutil.which("minisign") is None, reason="the program minisign is not on PATH")


def run(folder: Path, *arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["minisign", *arguments], cwd=folder, input=said, capture_output=True, text=True, timeout=60, check=False
    )


@minisign
def test_the_program_uses_a_key_made_here_and_accepts_its_signatures(signer: MinisignSigner) -> None:
    home, words = signer.home, "Grüße an alle"
    signer.generate(passphrase=words, comment="mine")
    (home / "grüße.pack").write_bytes(b"hello")
    verify = ["-V", "-H", "-p", "minisign.pub", "-m", "grüße.pack"]
    assert run(home, "-S", "-s", "minisign.key", "-m", "grüße.pack", said=f"{words}\n").returncode == 0
    assert run(home, *verify).returncode == 0
    assert run(home, "-S", "-s", "minisign.key", "-m", "grüße.pack", said="no\n").returncode != 0
    assert run(home, "-R", "-s", "minisign.key", "-p", "again.pub", said=f"{words}\n").returncode == 0
    assert parse_public_key((home / "again.pub").read_bytes()).raw == signer.public_key().raw
    comment = trusted_comment(5, "grüße.pack")
    text = signer.sign_file(home / "grüße.pack", trusted_comment=comment, ask=saying(words))
    (home / "grüße.pack.minisig").write_text(text)
    done = run(home, *verify)
    assert (done.returncode, comment in done.stdout) == (0, True)
    (home / "grüße.pack").write_bytes(b"hellO")
    assert run(home, *verify).returncode == 1


@minisign
def test_the_program_uses_an_open_key_made_here(signer: MinisignSigner) -> None:
    key = signer.generate(passphrase=None)
    (signer.home / "f").write_bytes(b"hello")
    assert run(signer.home, "-S", "-W", "-s", "minisign.key", "-m", "f").returncode == 0
    text = (signer.home / "f.minisig").read_bytes()
    assert NaclVerifier().verify(b"hello", text, keys=[key], require_prehashed=True).outcome == "valid"


@minisign
def test_a_key_of_the_program_is_used_here(signer: MinisignSigner) -> None:
    home = signer.home
    assert run(home, "-G", "-W", "-s", "minisign.key", "-p", "minisign.pub").returncode == 0
    assert signer.public_key() == parse_public_key((home / "minisign.pub").read_bytes())
    (home / "f").write_bytes(b"hello")
    (home / "f.minisig").write_text(signer.sign_file(home / "f", trusted_comment="x" * 8173, ask=never))
    assert run(home, "-V", "-p", "minisign.pub", "-m", "f").returncode == 0
    assert run(home, "-S", "-l", "-s", "minisign.key", "-m", "f").returncode == 0
    verifier, keys, old = NaclVerifier(), [signer.public_key()], (home / "f.minisig").read_bytes()
    assert verifier.verify_file(home / "f", old, keys=keys).outcome == "valid"
    assert verifier.verify_file(home / "f", old, keys=keys, require_prehashed=True).outcome == "invalid"
