"""The text files of minisign: public keys and detached signatures, read strictly and written. No cryptography here.

A public key is a comment line and the base64 of ``Ed`` ‖ key id (8 bytes) ‖ Ed25519 public key (32 bytes).
A signature is a comment line, the base64 of algorithm (2) ‖ key id (8) ‖ signature (64), a trusted comment line, and
the base64 of the global signature (64), which covers signature ‖ trusted comment.

Source: the format page of minisign, https://jedisct1.github.io/minisign/.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Literal

import attrs

from dlm.domain.errors import ConfigError
from dlm.domain.minisign_text import (
    MAX_TRUSTED_BYTES,
    MAX_UNTRUSTED_BYTES,
    TRUSTED,
    UNTRUSTED,
    base64_line,
    comment_line,
    in_one_line,
    read_base64,
    read_comment,
    read_lines,
)

Outcome = Literal["valid", "unknown-key", "invalid", "malformed"]

MAX_LEGACY_BYTES = 1 << 30
"""The old form needs the whole file in memory; the minisign program refuses it above this size too."""
_PLAIN, _PREHASHED = b"Ed", b"ED"


@attrs.frozen(kw_only=True)
class PublicKey:
    """An Ed25519 public key with its id (8 bytes as stored in the file)."""

    key_id: bytes
    key: bytes
    comment: str = ""

    @property
    def name(self) -> str:
        """The id as people see it: 16 upper-case hex digits of the little-endian number."""
        return key_name(self.key_id)

    @property
    def raw(self) -> bytes:
        """The 42 bytes of the file's base64: what makes two keys the same, whatever their comments say."""
        return _PLAIN + self.key_id + self.key

    @property
    def fingerprint(self) -> str:
        """12 hex digits of the SHA-256 of :attr:`raw`."""
        return hashlib.sha256(self.raw).hexdigest()[:12]


@attrs.frozen(kw_only=True)
class Signature:
    """A detached signature. ``prehashed`` says that BLAKE2b-512 of the file was signed, not the file itself."""

    prehashed: bool
    key_id: bytes
    signature: bytes
    trusted_comment: str
    global_signature: bytes


@attrs.frozen(kw_only=True)
class Verdict:
    """What checking a signature found.

    Args:
        outcome: ``valid``; ``unknown-key`` when none of the offered keys has the signer's id; ``invalid`` when one has
            and the signature does not fit; ``malformed`` when the signature file cannot be read.
        signer: the signer's key id as 16 hex digits, None when malformed.
        trusted_comment: only when valid.
        reason: one sentence part, for messages.
    """

    outcome: Outcome
    reason: str
    signer: str | None = None
    trusted_comment: str | None = None


def key_name(key_id: bytes) -> str:
    """Give 8 key id bytes as 16 upper-case hex digits of the little-endian 64-bit number."""
    return f"{int.from_bytes(key_id, 'little'):016X}"


def parse_public_key(data: bytes) -> PublicKey:
    """Read a ``.pub`` file. Raises ``ConfigError`` (``minisign.key``)."""
    try:
        lines = read_lines(data, 2)
        comment = read_comment(lines[0], UNTRUSTED, MAX_UNTRUSTED_BYTES)
        raw = read_base64(lines[1], 42)
        if raw[:2] != _PLAIN:
            raise ValueError("its algorithm is not Ed25519")
    except ValueError as exc:
        raise ConfigError(
            "minisign.key",
            f"not a minisign public key: {exc}",
            hint="A public key file has two lines: 'untrusted comment: …' and one line of base64.",
        ) from exc
    return PublicKey(key_id=raw[2:10], key=raw[10:], comment=comment)


def public_key_text(key: PublicKey) -> str:
    """Give the text of a ``.pub`` file. A key without a comment gets the program's usual one.

    Raises:
        SignatureError: ``sign.comment``.
    """
    return comment_line(UNTRUSTED, key.comment or f"minisign public key {key.name}") + base64_line(key.raw)


def parse_signature(data: bytes) -> Signature:
    """Read a ``.minisig`` file. Raises ``ConfigError`` (``minisign.signature``)."""
    try:
        lines = read_lines(data, 4)
        read_comment(lines[0], UNTRUSTED, MAX_UNTRUSTED_BYTES)
        raw = read_base64(lines[1], 74)
        if raw[:2] not in (_PLAIN, _PREHASHED):
            raise ValueError("its algorithm is unknown")
        trusted = read_comment(lines[2], TRUSTED, MAX_TRUSTED_BYTES)
        final = read_base64(lines[3], 64)
    except ValueError as exc:
        raise ConfigError("minisign.signature", f"not a minisign signature: {exc}") from exc
    return Signature(
        prehashed=raw[:2] == _PREHASHED,
        key_id=raw[2:10],
        signature=raw[10:],
        trusted_comment=trusted,
        global_signature=final,
    )


def signature_text(signature: Signature, *, comment: str = "signature from dlm") -> str:
    """Give the text of a ``.minisig`` file. Raises ``SignatureError`` (``sign.comment``)."""
    return "".join(
        [
            comment_line(UNTRUSTED, comment),
            base64_line(_PREHASHED if signature.prehashed else _PLAIN, signature.key_id, signature.signature),
            comment_line(TRUSTED, signature.trusted_comment),
            base64_line(signature.global_signature),
        ]
    )


def trusted_comment(unix_s: int, file_name: str, *extras: str) -> str:
    """Give what minisign says of a file it signs, in fields divided by tabs: when, its name, that it was hashed.

    Args:
        unix_s: seconds since 1970.
        extras: further ``name:value`` fields.
    """
    return "\t".join([f"timestamp:{unix_s}", f"file:{in_one_line(file_name)}", "hashed", *extras])


def sign(message: bytes, *, key_id: bytes, trusted_comment: str, sign_bytes: Callable[[bytes], bytes]) -> str:
    """Give the text of a ``.minisig`` file over something whose BLAKE2b-512 is ``message``.

    Args:
        sign_bytes: gives the 64 bytes of an Ed25519 signature.

    Raises:
        SignatureError: ``sign.comment``.
    """
    comment_line(TRUSTED, trusted_comment)  # nothing is signed that could not be written down
    signature = sign_bytes(message)
    final = sign_bytes(signature + trusted_comment.encode())
    return signature_text(
        Signature(
            prehashed=True,
            key_id=key_id,
            signature=signature,
            trusted_comment=trusted_comment,
            global_signature=final,
        )
    )


def check_signature(
    signature: bytes,
    keys: Sequence[PublicKey],
    *,
    require_prehashed: bool,
    message: Callable[[bool], bytes | None],
    fits: Callable[[bytes, bytes, bytes], bool],
) -> Verdict:
    """Give the verdict on ``signature``, the text of a ``.minisig`` file.

    Args:
        message: gives what was signed: with True the BLAKE2b-512 of the file, with False the file itself, None when
            that is too large. Asked only when the signature is one that could fit.
        fits: tells whether a key (32 bytes) made the signature (64 bytes) over a message, in the order key, message,
            signature.
    """
    try:
        parsed = parse_signature(signature)
    except ConfigError as exc:
        return Verdict(outcome="malformed", reason=exc.message)
    signer = key_name(parsed.key_id)
    candidates = [key for key in keys if key.key_id == parsed.key_id]
    if not candidates:
        return Verdict(outcome="unknown-key", reason=f"signed by {signer}, a key not trusted here", signer=signer)
    signed = message(parsed.prehashed) if parsed.prehashed or not require_prehashed else None
    if signed is None:
        return Verdict(outcome="invalid", reason="the signature is of the old, not pre-hashed kind", signer=signer)
    comment = parsed.signature + parsed.trusted_comment.encode()
    if not any(
        fits(key.key, signed, parsed.signature) and fits(key.key, comment, parsed.global_signature)
        for key in candidates
    ):
        return Verdict(outcome="invalid", reason=f"the signature does not fit the key {signer}", signer=signer)
    return Verdict(outcome="valid", reason=f"signed by {signer}", signer=signer, trusted_comment=parsed.trusted_comment)
