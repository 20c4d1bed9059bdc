"""Signing with one's own key, and the keys of others that one trusts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import attrs

from dlm.domain.minisign import PublicKey

AskPassphrase = Callable[[str], str | None]
"""Asks for a passphrase on the terminal; None when there is nobody to ask."""


class SignerPort(Protocol):
    """The home's own minisign key. Raises ``SignatureError``.

    ``sign_file`` and ``sign_bytes`` give the text of a ``.minisig`` file, always of the pre-hashed kind; files are read
    in pieces.
    """

    def public_key(self) -> PublicKey:
        """Give the own public key. Raises ``sign.no-key``: there is none yet."""
        ...

    def generate(self, *, passphrase: str | None, comment: str = "", force: bool = False) -> PublicKey:
        """Make a key pair, readable by the owner alone; never over an existing one, unless ``force``."""
        ...

    def sign_file(self, path: Path, *, trusted_comment: str, ask: AskPassphrase) -> str: ...

    def sign_bytes(self, data: bytes, *, trusted_comment: str, ask: AskPassphrase) -> str: ...


@attrs.frozen(kw_only=True)
class TrustedKey:
    """A key somebody trusts here, and the file it lies in. ``fingerprint``: 12 hex digits of the SHA-256 of the 42
    bytes that the key decodes to."""

    key: PublicKey
    path: Path
    fingerprint: str


class TrustPort(Protocol):
    """The public keys that this home trusts: ``<home>/trusted-keys/*.pub``. Raises ``SignatureError`` and
    ``DiskError``; a file that is no key is passed over and named by ``problems``."""

    def keys(self) -> Sequence[TrustedKey]: ...

    def problems(self) -> Sequence[str]: ...

    def trust(self, key: PublicKey, *, label: str = "") -> TrustedKey:
        """Keep a key, atomically; one that is there already stays as it is."""
        ...

    def revoke(self, name: str) -> TrustedKey:
        """Take a key's trust back by key id or fingerprint. Raises ``sign.unknown-key``."""
        ...
