"""The files of minisign as texts: what is written is read back, and nothing else passes."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings.crypto_pwhash import nacl_bindings_pick_scrypt_params

from dlm.domain.errors import ConfigError, SignatureError
from dlm.domain.minisign import (
    PublicKey,
    Signature,
    parse_public_key,
    parse_signature,
    public_key_text,
    signature_text,
    trusted_comment,
)
from dlm.domain.minisign_secret import (
    KdfLimits,
    SealedKey,
    check_limits,
    parse_secret_key,
    parts,
    plain_block,
    seal,
    secret_key_text,
    unseal,
)

COMMENTS = st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), max_size=60)
KEY_IDS, KEYS = st.binary(min_size=8, max_size=8), st.binary(min_size=32, max_size=32)
PUBLIC_KEYS = st.builds(PublicKey, key_id=KEY_IDS, key=KEYS, comment=COMMENTS)
SIGNATURES = st.builds(
    Signature,
    prehashed=st.booleans(),
    key_id=KEY_IDS,
    signature=st.binary(min_size=64, max_size=64),
    trusted_comment=COMMENTS,
    global_signature=st.binary(min_size=64, max_size=64),
)
LIMITS = st.builds(KdfLimits, opslimit=st.integers(0, 1 << 24), memlimit=st.integers(1 << 24, 1 << 30))
SEALED = st.one_of(
    st.builds(SealedKey, limits=st.none(), block=st.binary(min_size=104, max_size=104)),
    st.builds(SealedKey, limits=LIMITS, salt=KEYS, block=st.binary(min_size=104, max_size=104)),
)
KEYSTREAM = st.binary(min_size=104, max_size=104)


@given(PUBLIC_KEYS)
def test_public_keys_are_read_back(key: PublicKey) -> None:
    read = parse_public_key(public_key_text(key).encode())
    assert read.raw == key.raw
    assert read.comment == (key.comment or f"minisign public key {key.name}")
    assert parse_public_key(public_key_text(read).encode()) == read


@given(SIGNATURES, COMMENTS)
def test_signatures_are_read_back(signature: Signature, comment: str) -> None:
    assert parse_signature(signature_text(signature, comment=comment).encode()) == signature


@given(SEALED)
def test_secret_keys_are_read_back(key: SealedKey) -> None:
    assert parse_secret_key(secret_key_text(key).encode()) == key


def test_the_known_public_key_has_its_name_and_fingerprint() -> None:
    line = "RWQBAgMEBQYHCAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
    key = parse_public_key(f"untrusted comment: anything\n{line}\n".encode())
    assert key.name == "0807060504030201"
    assert key.fingerprint == hashlib.sha256(base64.b64decode(line)).hexdigest()[:12]
    assert public_key_text(key) == f"untrusted comment: anything\n{line}\n"


@pytest.mark.parametrize(
    ("name", "shown"),
    [("notes.dlm.pack", "notes.dlm.pack"), ("grüße\u3000夏.txt", "grüße\u3000夏.txt"), ("a\tb\nc\x1b", "a?b?c?")],
)
def test_the_trusted_comment_is_that_of_the_program(name: str, shown: str) -> None:
    assert trusted_comment(1_700_000_000, name) == f"timestamp:1700000000\tfile:{shown}\thashed"
    signature = Signature(
        prehashed=True,
        key_id=bytes(8),
        signature=bytes(64),
        trusted_comment=trusted_comment(0, name, "more:x"),
        global_signature=bytes(64),
    )
    assert parse_signature(signature_text(signature).encode()).trusted_comment.endswith(f"file:{shown}\thashed\tmore:x")


@pytest.mark.parametrize("comment", ["a\nb", "a\rb", "a\x00b", "\u202ea", "x" * 1004])
def test_no_comment_is_written_that_could_not_be_read(comment: str) -> None:
    with pytest.raises(SignatureError) as caught:
        public_key_text(PublicKey(key_id=bytes(8), key=bytes(32), comment=comment))
    assert caught.value.code == "sign.comment"
    assert len(caught.value.message) < 200


def test_the_longest_comments_of_the_program_are_written() -> None:
    signature = Signature(
        prehashed=True, key_id=bytes(8), signature=bytes(64), trusted_comment="x" * 8173, global_signature=bytes(64)
    )
    assert parse_signature(signature_text(signature, comment="y" * 1003).encode()) == signature


@given(KEY_IDS, KEYS, KEYS, KEYSTREAM, KEYSTREAM)
def test_only_its_own_keystream_opens_a_block(
    key_id: bytes, seed: bytes, public: bytes, keystream: bytes, other: bytes
) -> None:
    block = plain_block(key_id=key_id, seed=seed, public=public)
    sealed = seal(block, keystream=keystream, salt=bytes(32), limits=KdfLimits())
    assert parts(unseal(sealed, keystream)) == (key_id, seed, public)
    if other != keystream:
        with pytest.raises(SignatureError) as caught:
            unseal(sealed, other)
        assert caught.value.code == "sign.passphrase"


@given(KEY_IDS, KEYS, KEYS)
def test_an_open_block_has_no_salt_limits_and_checksum(key_id: bytes, seed: bytes, public: bytes) -> None:
    block = plain_block(key_id=key_id, seed=seed, public=public)
    text = secret_key_text(seal(block, keystream=None, salt=b"s" * 32, limits=KdfLimits()))
    raw = base64.b64decode(text.splitlines()[1])
    assert raw == b"Ed\0\0B2" + bytes(48) + key_id + seed + public + bytes(32)
    assert parts(unseal(parse_secret_key(text.encode()), None)) == (key_id, seed, public)


def test_an_open_block_with_another_checksum_is_damaged() -> None:
    block = plain_block(key_id=bytes(8), seed=bytes(32), public=bytes(32))
    unseal(SealedKey(limits=None, block=bytes(block)), None)
    block[0] ^= 1
    with pytest.raises(SignatureError) as caught:
        unseal(SealedKey(limits=None, block=bytes(block)), None)
    assert caught.value.code == "sign.damaged-key"


def test_no_secret_is_shown() -> None:
    block = plain_block(key_id=b"k" * 8, seed=b"secret! " * 4, public=bytes(32))
    assert "secret!" not in repr(seal(block, keystream=None, salt=bytes(32), limits=KdfLimits()))


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 40))
def test_scrypt_is_run_as_libsodium_does(opslimit: int, memlimit: int) -> None:
    n_log2, r, p = nacl_bindings_pick_scrypt_params(opslimit, memlimit)
    limits = KdfLimits(opslimit=opslimit, memlimit=memlimit)
    assert limits.scrypt == (2**n_log2, r, p)
    assert limits.memory_bytes >= 128 * r * 2**n_log2


def test_a_new_key_costs_what_the_programs_keys_cost() -> None:
    assert KdfLimits().scrypt == (1 << 20, 8, 1)
    assert (KdfLimits().opslimit, KdfLimits().memlimit) == (33_554_432, 1_073_741_824)
    check_limits(KdfLimits())


@pytest.mark.parametrize(
    ("opslimit", "memlimit", "allowed"),
    [
        (1 << 28, 1 << 31, True),
        ((1 << 28) + 1, 1 << 24, False),
        (1 << 25, (1 << 31) + (1 << 17), False),
        (1 << 25, (1 << 64) - 1, False),
        ((1 << 64) - 1, (1 << 64) - 1, False),
        (1 << 28, 0, False),  # little memory and much work would take 4 GiB
        (1 << 28, 2048, False),
        (0, 0, True),
    ],
)
def test_limits_of_a_key_file_cannot_stop_the_machine(opslimit: int, memlimit: int, allowed: bool) -> None:
    numbers = opslimit.to_bytes(8, "little") + memlimit.to_bytes(8, "little")
    raw = b"EdScB2" + bytes(32) + numbers + bytes(104)
    text = b"untrusted comment: x\n" + base64.b64encode(raw) + b"\n"
    if allowed:
        assert parse_secret_key(text).limits == KdfLimits(opslimit=opslimit, memlimit=memlimit)
    else:
        with pytest.raises(SignatureError) as caught:
            parse_secret_key(text)
        assert caught.value.code == "sign.kdf-limits"


@given(st.binary(max_size=300))
def test_rubbish_is_no_key(data: bytes) -> None:
    with pytest.raises(SignatureError) as caught:
        parse_secret_key(data)
    assert caught.value.code == "sign.damaged-key"
    with pytest.raises(ConfigError):
        parse_public_key(data)


def test_a_public_key_is_no_secret_key_and_the_other_way_round() -> None:
    public = public_key_text(PublicKey(key_id=bytes(8), key=bytes(32))).encode()
    secret = secret_key_text(SealedKey(limits=None, block=bytes(104))).encode()
    with pytest.raises(SignatureError):
        parse_secret_key(public)
    with pytest.raises(ConfigError):
        parse_public_key(secret)
    with pytest.raises(ConfigError):
        parse_signature(public)
