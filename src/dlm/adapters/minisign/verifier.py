"""Checking minisign signatures with libsodium's Ed25519."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import attrs

from dlm.domain.errors import ConfigError
from dlm.domain.minisign import PublicKey, Signature, Verdict, key_name, parse_signature

# The old form needs the whole file in memory twice; the minisign program refuses it above this size too.
_MAX_LEGACY_BYTES = 1 << 30


@attrs.frozen
class NaclVerifier:
    """``SignatureVerifier`` on PyNaCl."""

    def verify(
        self, data: bytes, signature: bytes, *, keys: Sequence[PublicKey], require_prehashed: bool = False
    ) -> Verdict:
        """Check ``signature`` (the text of a ``.minisig`` file) over ``data`` against ``keys``."""
        try:
            parsed = parse_signature(signature)
        except ConfigError as exc:
            return Verdict(outcome="malformed", reason=exc.message)
        signer = key_name(parsed.key_id)
        candidates = [key for key in keys if key.key_id == parsed.key_id]
        if not candidates:
            return Verdict(outcome="unknown-key", reason=f"signed by {signer}, a key not trusted here", signer=signer)
        if not parsed.prehashed and (require_prehashed or len(data) > _MAX_LEGACY_BYTES):
            return Verdict(outcome="invalid", reason="the signature is of the old, not pre-hashed kind", signer=signer)
        if not any(_fits(key, parsed, data) for key in candidates):
            return Verdict(outcome="invalid", reason=f"the signature does not fit the key {signer}", signer=signer)
        return Verdict(
            outcome="valid", reason=f"signed by {signer}", signer=signer, trusted_comment=parsed.trusted_comment
        )


def _fits(key: PublicKey, signature: Signature, data: bytes) -> bool:
    message = hashlib.blake2b(data, digest_size=64).digest() if signature.prehashed else data
    comment = signature.signature + signature.trusted_comment.encode()
    return _check(key, message, signature.signature) and _check(key, comment, signature.global_signature)


def _check(key: PublicKey, message: bytes, signature: bytes) -> bool:
    from nacl.exceptions import CryptoError
    from nacl.signing import VerifyKey

    try:
        VerifyKey(key.key).verify(message, signature)
    except (CryptoError, ValueError):
        return False
    return True
