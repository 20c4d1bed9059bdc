"""The text files of minisign: public keys and detached signatures, parsed strictly. No cryptography here.

A public key is a comment line and the base64 of ``Ed`` ‖ key id (8 bytes) ‖ Ed25519 public key (32 bytes).
A signature is a comment line, the base64 of algorithm (2) ‖ key id (8) ‖ signature (64), a trusted comment line, and
the base64 of the global signature (64), which covers signature ‖ trusted comment.

Source: the format page of minisign, https://jedisct1.github.io/minisign/.
"""

from __future__ import annotations

import base64
import binascii
from typing import Literal

import attrs

from dlm.domain.errors import ConfigError

Outcome = Literal["valid", "unknown-key", "invalid", "malformed"]

_UNTRUSTED = "untrusted comment: "
_TRUSTED = "trusted comment: "
# The longest comments the minisign program writes.
_MAX_UNTRUSTED_BYTES = 1024
_MAX_TRUSTED_BYTES = 8192


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
        lines = _lines(data, 2)
        comment = _comment(lines[0], _UNTRUSTED, _MAX_UNTRUSTED_BYTES)
        raw = _decode(lines[1], 42)
        if raw[:2] != b"Ed":
            raise ValueError("its algorithm is not Ed25519")
    except ValueError as exc:
        raise ConfigError(
            "minisign.key",
            f"not a minisign public key: {exc}",
            hint="A public key file has two lines: 'untrusted comment: …' and one line of base64.",
        ) from exc
    return PublicKey(key_id=raw[2:10], key=raw[10:], comment=comment)


def parse_signature(data: bytes) -> Signature:
    """Read a ``.minisig`` file. Raises ``ConfigError`` (``minisign.signature``)."""
    try:
        lines = _lines(data, 4)
        _comment(lines[0], _UNTRUSTED, _MAX_UNTRUSTED_BYTES)
        raw = _decode(lines[1], 74)
        if raw[:2] not in (b"Ed", b"ED"):
            raise ValueError("its algorithm is unknown")
        trusted = _comment(lines[2], _TRUSTED, _MAX_TRUSTED_BYTES)
        final = _decode(lines[3], 64)
    except ValueError as exc:
        raise ConfigError("minisign.signature", f"not a minisign signature: {exc}") from exc
    return Signature(
        prehashed=raw[:2] == b"ED",
        key_id=raw[2:10],
        signature=raw[10:],
        trusted_comment=trusted,
        global_signature=final,
    )


def _lines(data: bytes, count: int) -> list[str]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ValueError("it is not UTF-8 text") from exc
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    if len(lines) != count:
        raise ValueError(f"it has {len(lines)} lines instead of {count}")
    return lines


def _comment(line: str, prefix: str, limit: int) -> str:
    text = line.removeprefix(prefix)
    if text == line:
        raise ValueError(f"a line does not begin with '{prefix.strip()}'")
    if len(text.encode()) > limit or not all(char.isprintable() or char == "\t" for char in text):
        raise ValueError(f"the text after '{prefix.strip()}' is too long or not printable")
    return text


def _decode(line: str, size: int) -> bytes:
    try:
        raw = base64.b64decode(line, validate=True)
    except binascii.Error as exc:
        raise ValueError("a line is not base64") from exc
    # A second spelling of the same bytes would let a signature file change without anybody noticing.
    if len(raw) != size or base64.b64encode(raw).decode() != line:
        raise ValueError(f"a line does not hold {size} bytes of base64")
    return raw
