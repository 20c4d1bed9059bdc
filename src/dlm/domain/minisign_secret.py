"""The secret key file of minisign: layout, checks, and how much work its passphrase may cost. No cryptography here.

A comment line and the base64 of 158 bytes::

    0   2  Ed
    2   2  Sc: the block is encrypted with a scrypt keystream; two zero bytes: it lies open
    4   2  B2: the checksum is BLAKE2b-256
    6  32  salt
    38  8  opslimit, little-endian     how scrypt is to be run; whoever wrote the file chose them
    46  8  memlimit, little-endian
    54 104 block: key id 8, seed 32, public key 32, checksum 32 over Ed, key id, seed and public key

In an open key salt, limits and checksum are zero.
"""

from __future__ import annotations

import hashlib
from typing import NoReturn

import attrs

from dlm.domain.errors import SignatureError
from dlm.domain.minisign_text import (
    MAX_UNTRUSTED_BYTES,
    UNTRUSTED,
    base64_line,
    comment_line,
    read_base64,
    read_comment,
    read_lines,
)

BLOCK_BYTES, SALT_BYTES = 104, 32
MAX_OPSLIMIT = 1 << 28
MAX_MEMLIMIT = 1 << 31
_HEAD, _SCRYPT, _OPEN, _CHECKSUM = b"Ed", b"Sc", bytes(2), b"B2"
_BODY_BYTES, _SUM_BYTES = 72, 32


@attrs.frozen(kw_only=True)
class KdfLimits:
    """How much work a passphrase costs. The defaults are minisign's own: about 1 GiB of memory and a few seconds.

    Args:
        opslimit: upper bound of operations.
        memlimit: upper bound of memory in bytes.
    """

    opslimit: int = 1 << 25
    memlimit: int = 1 << 30

    @property
    def scrypt(self) -> tuple[int, int, int]:
        """N, r and p as libsodium picks them."""
        opslimit = max(self.opslimit, 32768)
        bound_by_work = opslimit < self.memlimit // 32
        highest = opslimit // 32 if bound_by_work else self.memlimit // 1024
        n = 2
        while n <= highest // 2:
            n *= 2
        p = 1 if bound_by_work else min(opslimit // 4 // n, (1 << 30) - 1) // 8
        return n, 8, p

    @property
    def memory_bytes(self) -> int:
        """Memory that scrypt really takes. A tiny memlimit with a high opslimit takes far more than it says."""
        n, r, p = self.scrypt
        return 128 * r * (n + p)


@attrs.frozen(kw_only=True)
class SealedKey:
    """A secret key as it lies on disk.

    Args:
        limits: None when the block lies open.
        block: 104 bytes, encrypted if there are limits.
    """

    limits: KdfLimits | None
    salt: bytes = bytes(SALT_BYTES)
    block: bytes = attrs.field(repr=False)

    @property
    def is_encrypted(self) -> bool:
        return self.limits is not None


def parse_secret_key(data: bytes) -> SealedKey:
    """Read a secret key file.

    Raises:
        SignatureError: ``sign.damaged-key``: it is none. ``sign.kdf-limits``: its passphrase would cost more than a
            key may: the limits come from the file and could stop the machine.
    """
    try:
        lines = read_lines(data, 2)
        read_comment(lines[0], UNTRUSTED, MAX_UNTRUSTED_BYTES)
        raw = read_base64(lines[1], 158)
        kdf = raw[2:4]
        if raw[:2] != _HEAD or kdf not in (_SCRYPT, _OPEN) or raw[4:6] != _CHECKSUM:
            raise ValueError("its algorithms are unknown")
    except ValueError as exc:
        damaged(str(exc), exc)
    if kdf == _OPEN:
        return SealedKey(limits=None, block=raw[54:])
    limits = KdfLimits(opslimit=int.from_bytes(raw[38:46], "little"), memlimit=int.from_bytes(raw[46:54], "little"))
    check_limits(limits)
    return SealedKey(limits=limits, salt=raw[6:38], block=raw[54:])


def secret_key_text(key: SealedKey) -> str:
    """Give the text of a secret key file."""
    kind = "minisign encrypted secret key" if key.is_encrypted else "minisign secret key, not encrypted"
    limits = key.limits or KdfLimits(opslimit=0, memlimit=0)
    numbers = [limits.opslimit.to_bytes(8, "little"), limits.memlimit.to_bytes(8, "little")]
    kdf = _SCRYPT if key.is_encrypted else _OPEN
    return comment_line(UNTRUSTED, kind) + base64_line(_HEAD, kdf, _CHECKSUM, key.salt, *numbers, key.block)


def check_limits(limits: KdfLimits) -> None:
    """Raises ``SignatureError`` (``sign.kdf-limits``) when a passphrase would cost more than 2 GiB or 2²⁸ steps."""
    if limits.opslimit <= MAX_OPSLIMIT and max(limits.memlimit, limits.memory_bytes) <= MAX_MEMLIMIT + (1 << 16):
        return
    raise SignatureError(
        "sign.kdf-limits",
        f"the key file asks for {limits.opslimit} steps and {max(limits.memlimit, limits.memory_bytes) >> 20} MiB of "
        f"memory to check its passphrase; at most {MAX_OPSLIMIT} and {MAX_MEMLIMIT >> 20} are allowed",
        subject="sign",
        hint="If you did not make this key so, do not use it. Otherwise make a new one.",
    )


def plain_block(*, key_id: bytes, seed: bytes, public: bytes) -> bytearray:
    """Give the block of a key with its checksum, not encrypted yet. Overwrite it after use."""
    body = bytearray(key_id + seed + public)
    return body + _checksum(body)


def seal(block: bytearray, *, keystream: bytes | None, salt: bytes, limits: KdfLimits) -> SealedKey:
    """Encrypt a plain block with 104 bytes of keystream; with None it lies open."""
    if keystream is None:
        return SealedKey(limits=None, block=bytes(block[:_BODY_BYTES]) + bytes(_SUM_BYTES))
    return SealedKey(limits=limits, salt=salt, block=bytes(_xor(block, keystream)))


def unseal(key: SealedKey, keystream: bytes | None) -> bytearray:
    """Give the plain block. Overwrite it after use.

    Args:
        keystream: of the passphrase; None for a key that lies open.

    Raises:
        SignatureError: ``sign.passphrase``: the checksum does not fit, so the passphrase was another one.
            ``sign.damaged-key``: the checksum of an open key does not fit.
    """
    block = bytearray(key.block) if keystream is None else _xor(key.block, keystream)
    found = bytes(block[_BODY_BYTES:])
    if found == _checksum(block[:_BODY_BYTES]) or (keystream is None and not any(found)):
        return block
    if keystream is None:
        damaged("its checksum does not fit", None)
    raise SignatureError(
        "sign.passphrase",
        "the passphrase does not open the key",
        subject="sign",
        hint="Try again. A forgotten passphrase cannot be recovered; make a new key then.",
    )


def parts(block: bytearray) -> tuple[bytes, bytes, bytes]:
    """Give key id, seed and public key of a plain block."""
    return bytes(block[:8]), bytes(block[8:40]), bytes(block[40:72])


def damaged(why: str, cause: Exception | None) -> NoReturn:
    """Raises ``SignatureError`` (``sign.damaged-key``)."""
    raise SignatureError(
        "sign.damaged-key",
        f"not a usable minisign secret key: {why}",
        subject="sign",
        hint="Put back a backup of the file, or make a new key.",
    ) from cause


def _checksum(body: bytearray) -> bytes:
    return hashlib.blake2b(_HEAD + body, digest_size=_SUM_BYTES).digest()


def _xor(block: bytes | bytearray, keystream: bytes) -> bytearray:
    return bytearray(left ^ right for left, right in zip(block, keystream, strict=True))
