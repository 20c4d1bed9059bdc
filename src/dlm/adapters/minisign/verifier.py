"""Checking minisign signatures with libsodium's Ed25519."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import attrs

from dlm.adapters.minisign.digests import bytes_digest, file_digest, opened
from dlm.domain.minisign import MAX_LEGACY_BYTES, PublicKey, Verdict, check_signature


@attrs.frozen
class NaclVerifier:
    """``SignatureVerifier`` on PyNaCl."""

    def verify(
        self, data: bytes, signature: bytes, *, keys: Sequence[PublicKey], require_prehashed: bool = False
    ) -> Verdict:
        """Check ``signature`` (the text of a ``.minisig`` file) over ``data`` against ``keys``."""

        def message(prehashed: bool) -> bytes | None:
            if prehashed:
                return bytes_digest(data)
            return data if len(data) <= MAX_LEGACY_BYTES else None

        return check_signature(signature, keys, require_prehashed=require_prehashed, message=message, fits=_fits)

    def verify_file(
        self, path: Path, signature: bytes, *, keys: Sequence[PublicKey], require_prehashed: bool = False
    ) -> Verdict:
        """Check ``signature`` over the file at ``path``. Raises ``SignatureError`` (``sign.unreadable``)."""

        def message(prehashed: bool) -> bytes | None:
            with opened(path, subject="verify") as file:
                if prehashed:
                    return file_digest(file)
                return file.read() if os.fstat(file.fileno()).st_size <= MAX_LEGACY_BYTES else None

        return check_signature(signature, keys, require_prehashed=require_prehashed, message=message, fits=_fits)


def _fits(key: bytes, message: bytes, signature: bytes) -> bool:
    from nacl.exceptions import CryptoError
    from nacl.signing import VerifyKey

    try:
        VerifyKey(key).verify(message, signature)
    except (CryptoError, ValueError):
        return False
    return True
