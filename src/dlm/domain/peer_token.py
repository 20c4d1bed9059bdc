"""Tokens that let a peer fetch a pack, and the address they travel in. No randomness and no clock here.

A token is the unpadded base64url of nonce (12 bytes) ‖ length of the expiry (2, big-endian) ‖ expiry (ASCII, ISO 8601
with offset) ‖ HMAC-SHA256 (32). The MAC covers ``dlm_id ‖ 00 ‖ expiry ‖ 00 ‖ nonce``; its key lives only in the serving
process.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from datetime import UTC, datetime
from typing import Literal

import attrs

NONCE_BYTES, SECRET_BYTES = 12, 32

TokenFault = Literal["malformed", "forged", "expired"]

_MAC_BYTES = 32
_HEAD_BYTES = NONCE_BYTES + 2
# The longest expiry is 32 bytes, with microseconds and an offset; a token of more is refused before it is decoded.
_MAX_CHARACTERS = 128


@attrs.frozen(kw_only=True)
class PeerToken:
    """A token that holds. ``nonce`` tells tokens apart and is no secret."""

    nonce: bytes
    expires: datetime


def issue_token(dlm_id: str, *, secret: bytes, nonce: bytes, expires: datetime) -> str:
    """Give the token that opens ``dlm_id`` until ``expires``, which is cut to whole seconds.

    Args:
        secret: 32 random bytes of this process.
        nonce: 12 random bytes of this token.
    """
    expiry = expires.astimezone(UTC).isoformat(timespec="seconds").encode("ascii")
    return _encode(nonce + len(expiry).to_bytes(2, "big") + expiry + _mac(dlm_id, expiry, nonce, secret))


def read_token(text: str, dlm_id: str, *, secret: bytes, now: datetime) -> PeerToken | TokenFault:
    """Check a token: its form, then its MAC in constant time, then whether it still holds at ``now``."""
    raw = _decode(text)
    if raw is None or len(raw) < _HEAD_BYTES + _MAC_BYTES:
        return "malformed"
    nonce, expiry, mac = raw[:NONCE_BYTES], raw[_HEAD_BYTES:-_MAC_BYTES], raw[-_MAC_BYTES:]
    if int.from_bytes(raw[NONCE_BYTES:_HEAD_BYTES], "big") != len(expiry):
        return "malformed"
    if not hmac.compare_digest(mac, _mac(dlm_id, expiry, nonce, secret)):
        return "forged"
    expires = _moment(expiry)
    if expires is None:
        return "malformed"
    return PeerToken(nonce=nonce, expires=expires) if now < expires else "expired"


def peer_url(
    host: str, port: int, dlm_id: str, token: str, *, sha256: str | None = None, tls: str | None = None
) -> str:
    """Give the address to hand to ``dlm pull``.

    Args:
        sha256: digest of the pack, which the other side checks.
        tls: SHA-256 of the server's certificate in DER form, in hex; None for a plain connection.
    """
    at = f"[{host}]" if ":" in host else host
    end = f"#sha256={sha256}" if sha256 else ""
    return f"peer://{at}:{port}/{dlm_id}?token={token}" + (f"&tls={tls}" if tls else "") + end


def _mac(dlm_id: str, expiry: bytes, nonce: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, dlm_id.encode() + b"\0" + expiry + b"\0" + nonce, "sha256")


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes | None:
    if len(text) > _MAX_CHARACTERS or not text.isascii():
        return None
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        return None
    # The decoder passes over foreign signs and spare bits; whoever has one token would have many spellings of it.
    return raw if _encode(raw) == text else None


def _moment(expiry: bytes) -> datetime | None:
    try:
        moment = datetime.fromisoformat(expiry.decode("ascii"))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
