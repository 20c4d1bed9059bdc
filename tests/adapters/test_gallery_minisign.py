"""minisign verification: known vectors, every broken byte, and the minisign program itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.adapters.minisign.verifier import NaclVerifier
from dlm.domain.errors import ConfigError
from dlm.domain.minisign import parse_public_key, parse_signature
from gallery_site import Signer

HELLO = b"hello\n"
PUBLIC = b"untrusted comment: x\nRWQBAgMEBQYHCAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4\n"
SIGNATURE = (
    b"untrusted comment: x\n"
    b"RUQBAgMEBQYHCJW9EkMWxs6buKMtyf9iQstZnl/JVX6bcNnk6YHUtSNV2t+uis8Y6wBHAirrTCY2AaaAft2KdItK60I8DOSfeAk=\n"
    b"trusted comment: timestamp:1700000000\tfile:hello.txt\thashed\n"
    b"cWDXHhywEuf/LDpfnYyl4IoShwCIaVoBosg7LUWaL2JOFzD7w2rHIBToeDh4yT4UcfOxmztkzX/2XqwMjRgICQ==\n"
)
KEY = parse_public_key(PUBLIC)


def test_known_signature() -> None:
    verdict = NaclVerifier().verify(HELLO, SIGNATURE, keys=[KEY], require_prehashed=True)
    assert (verdict.outcome, verdict.signer) == ("valid", "0807060504030201")
    assert verdict.trusted_comment == "timestamp:1700000000\tfile:hello.txt\thashed"


def test_line_ends_of_windows_do_not_matter() -> None:
    verdict = NaclVerifier().verify(HELLO, SIGNATURE.replace(b"\n", b"\r\n"), keys=[KEY])
    assert verdict.outcome == "valid"


def test_the_signer_used_by_these_tests_writes_the_same_bytes() -> None:
    written = Signer().sign(HELLO, comment="timestamp:1700000000\tfile:hello.txt\thashed")
    assert written == SIGNATURE
    assert parse_public_key(Signer().public_key()).key == KEY.key


@given(st.integers(0, len(SIGNATURE) - 1), st.integers(1, 255))
def test_no_changed_byte_of_a_signature_goes_unnoticed(position: int, flip: int) -> None:
    changed = bytearray(SIGNATURE)
    changed[position] ^= flip
    in_untrusted_comment = position < SIGNATURE.index(b"\n")
    verdict = NaclVerifier().verify(HELLO, bytes(changed), keys=[KEY])
    assert verdict.outcome != "valid" or in_untrusted_comment


@given(st.binary(max_size=40).filter(lambda data: data != HELLO))
def test_other_content_is_invalid(data: bytes) -> None:
    assert NaclVerifier().verify(data, SIGNATURE, keys=[KEY]).outcome == "invalid"


def test_a_key_with_another_id_is_unknown() -> None:
    stranger = parse_public_key(Signer(bytes(32), bytes(8)).public_key())
    assert NaclVerifier().verify(HELLO, SIGNATURE, keys=[stranger]).outcome == "unknown-key"
    assert NaclVerifier().verify(HELLO, SIGNATURE, keys=[]).outcome == "unknown-key"


def test_another_key_under_the_same_id_is_invalid() -> None:
    impostor = parse_public_key(Signer(bytes(32)).public_key())
    assert NaclVerifier().verify(HELLO, SIGNATURE, keys=[impostor]).outcome == "invalid"
    assert NaclVerifier().verify(HELLO, SIGNATURE, keys=[impostor, KEY]).outcome == "valid"


def test_the_old_kind_is_accepted_only_where_allowed() -> None:
    signature = Signer().sign(HELLO, prehashed=False)
    assert NaclVerifier().verify(HELLO, signature, keys=[KEY]).outcome == "valid"
    assert NaclVerifier().verify(HELLO, signature, keys=[KEY], require_prehashed=True).outcome == "invalid"


@given(st.binary(max_size=400))
def test_rubbish_is_malformed(data: bytes) -> None:
    assert NaclVerifier().verify(HELLO, data, keys=[KEY]).outcome == "malformed"
    with pytest.raises(ConfigError):
        parse_public_key(data)


@pytest.mark.parametrize(
    "data",
    [
        SIGNATURE + b"\n",
        SIGNATURE.replace(b"RUQB", b"RUQ B"),
        SIGNATURE.replace(b"RUQB", b"RVQB"),
        SIGNATURE.replace(b"trusted comment: timestamp", b"trusted comment: \x1b[2Jtimestamp"),
        SIGNATURE.replace(b"timestamp", b"t" * 9000),
        SIGNATURE.replace(b"untrusted comment: x", b"comment: x"),
    ],
)
def test_nearly_right_is_malformed(data: bytes) -> None:
    with pytest.raises(ConfigError):
        parse_signature(data)


minisign = pytest.mark.skipif(shutil.which("minisign") is None, reason="the program minisign is not on PATH")


@minisign
def test_accepts_what_the_minisign_program_signed(tmp_path: Path) -> None:
    file = tmp_path / "index.json"
    file.write_bytes(b'{"schema": 1}\n')
    run(tmp_path, "-G", "-W", "-p", "k.pub", "-s", "k.key")
    run(tmp_path, "-S", "-s", "k.key", "-m", "index.json")
    key = parse_public_key((tmp_path / "k.pub").read_bytes())
    signature = (tmp_path / "index.json.minisig").read_bytes()
    assert NaclVerifier().verify(file.read_bytes(), signature, keys=[key], require_prehashed=True).outcome == "valid"
    assert NaclVerifier().verify(b"other", signature, keys=[key]).outcome == "invalid"
    # The program writes the id without leading zeros.
    assert key.name.lstrip("0") in (tmp_path / "k.pub").read_text()


@minisign
def test_the_minisign_program_accepts_the_files_of_these_tests(tmp_path: Path) -> None:
    (tmp_path / "hello.txt").write_bytes(HELLO)
    (tmp_path / "k.pub").write_bytes(Signer().public_key())
    (tmp_path / "hello.txt.minisig").write_bytes(Signer().sign(HELLO))
    run(tmp_path, "-V", "-p", "k.pub", "-m", "hello.txt")


def run(folder: Path, *arguments: str) -> None:
    subprocess.run(["minisign", *arguments], cwd=folder, check=True, capture_output=True, timeout=30)
