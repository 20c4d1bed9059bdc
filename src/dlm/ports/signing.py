"""Signing with one's own key, and the keys of others that one trusts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import attrs

from dlm.domain.minisign import PublicKey

AskPassphrase = Callable[[str], str | None]
"""Asks for a passphrase on the terminal, with the prompt given; None when there is nobody to ask."""


class UnlockedKey(Protocol):
    """A secret key in use. Signatures are texts of ``.minisig`` files, always of the pre-hashed kind; files are read in
    pieces. Raises ``SignatureError``."""

    def sign_file(self, path: Path, *, trusted_comment: str) -> str: ...

    def sign_bytes(self, data: bytes, *, trusted_comment: str) -> str: ...


class SignerPort(Protocol):
    """The home's own minisign key. Raises ``SignatureError`` (subject ``sign``) and ``DiskError``.

    A passphrase is asked for once per call, and only for a key that has one: ``sign.passphrase`` when it is wrong,
    ``sign.no-terminal`` when there is nobody to ask. It is never kept.
    """

    def public_key(self) -> PublicKey:
        """Give the own public key. Raises ``sign.no-key``: there is none yet."""
        ...

    def generate(self, *, passphrase: str | None, comment: str = "", force: bool = False) -> PublicKey:
        """Make a key pair, readable by the owner alone; never over an existing one (``sign.key-exists``), unless
        ``force``. ``passphrase`` None: the secret lies open; ``comment`` goes into the public key."""
        ...

    def problems(self) -> Sequence[str]:
        """Give what a person should know about the key files, such as that others can read the secret."""
        ...

    def unlock(self, ask: AskPassphrase) -> AbstractContextManager[UnlockedKey]:
        """Open the secret key for several signatures: one question, before any long work."""
        ...

    def sign_file(self, path: Path, *, trusted_comment: str, ask: AskPassphrase) -> str:
        """Sign one file."""
        ...

    def sign_bytes(self, data: bytes, *, trusted_comment: str, ask: AskPassphrase) -> str:
        """Sign bytes as if they were a file."""
        ...


@attrs.frozen(kw_only=True)
class TrustedKey:
    """A key somebody trusts here, and the file it lies in. ``fingerprint``: 12 hex digits of the SHA-256 of the 42
    bytes that the key decodes to."""

    key: PublicKey
    path: Path
    fingerprint: str


class TrustPort(Protocol):
    """The public keys that this home trusts: ``<home>/trusted-keys/*.pub``. Raises ``SignatureError`` (subject
    ``keys``) and ``DiskError``; a file that is no key is passed over and named by ``problems``."""

    def trusted(self) -> Sequence[TrustedKey]:
        """Give each trusted key once, by the name of its file."""
        ...

    def problems(self) -> Sequence[str]:
        """Give the files that are no keys, and what else endangers the folder."""
        ...

    def trust(self, key: PublicKey, *, label: str = "") -> TrustedKey:
        """Keep a key, atomically; one that is there already stays as it is. Its file is named by the label, else the
        key's id, and the fingerprint. Raises ``sign.bad-label``, and ``sign.key-file-taken`` rather than overwriting
        anything."""
        ...

    def revoke(self, name: str) -> TrustedKey:
        """Take a key's trust back by key id or fingerprint. Raises ``sign.unknown-key``, and ``sign.ambiguous-key``
        for an id that several keys have."""
        ...
