"""Keys, signatures and trust in memory, for tests. The cryptography is make-believe: anybody could forge it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs

from dlm.domain.errors import SignatureError
from dlm.domain.minisign import (
    PublicKey,
    Verdict,
    check_signature,
    parse_public_key,
    public_key_text,
    sign,
)
from dlm.ports.signing import AskPassphrase, TrustedKey


@attrs.frozen
class FakeUnlockedKey:
    """Signs with what everybody knows, the public key."""

    key: PublicKey

    def sign_file(self, path: Path, *, trusted_comment: str) -> str:
        return self.sign_bytes(_content(path, "sign"), trusted_comment=trusted_comment)

    def sign_bytes(self, data: bytes, *, trusted_comment: str) -> str:
        return sign(
            hashlib.blake2b(data).digest(),
            key_id=self.key.key_id,
            trusted_comment=trusted_comment,
            sign_bytes=lambda message: _mark(self.key.key, message),
        )


class FakeSigner:
    """Keeps :class:`dlm.ports.signing.SignerPort`'s promises; its signatures fit a :class:`FakeVerifier`.

    Args:
        name: signers of different names have different keys.
    """

    def __init__(self, name: str = "me") -> None:
        self.name = name
        self.found_problems: tuple[str, ...] = ()
        self._made = 0
        self._key: PublicKey | None = None
        self._passphrase: str | None = None

    def public_key(self) -> PublicKey:
        if self._key is None:
            raise SignatureError("sign.no-key", f"{self.name} has no key", subject="sign", hint="Make one.")
        return self._key

    def generate(self, *, passphrase: str | None, comment: str = "", force: bool = False) -> PublicKey:
        if passphrase == "":
            raise SignatureError("sign.empty-passphrase", "an empty passphrase protects nothing", subject="sign")
        if self._key is not None and not force:
            raise SignatureError("sign.key-exists", f"{self.name} has a key", subject="sign")
        raw = hashlib.sha512(f"{self.name} {self._made}".encode()).digest()
        made = PublicKey(key_id=raw[:8], key=raw[8:40], comment=comment)
        self._key = parse_public_key(public_key_text(made).encode())
        self._made += 1
        self._passphrase = passphrase
        return self._key

    def problems(self) -> Sequence[str]:
        return self.found_problems

    @contextmanager
    def unlock(self, ask: AskPassphrase) -> Iterator[FakeUnlockedKey]:
        key = self.public_key()
        if self._passphrase is not None:
            answer = ask(f"Passphrase of {self.name}: ")
            if answer is None:
                raise SignatureError("sign.no-terminal", "there is no terminal to ask on", subject="sign")
            if answer != self._passphrase:
                raise SignatureError("sign.passphrase", "the passphrase does not open the key", subject="sign")
        yield FakeUnlockedKey(key)

    def sign_file(self, path: Path, *, trusted_comment: str, ask: AskPassphrase) -> str:
        with self.unlock(ask) as key:
            return key.sign_file(path, trusted_comment=trusted_comment)

    def sign_bytes(self, data: bytes, *, trusted_comment: str, ask: AskPassphrase) -> str:
        with self.unlock(ask) as key:
            return key.sign_bytes(data, trusted_comment=trusted_comment)


class FakeVerifier:
    """``SignatureVerifier`` for what a :class:`FakeSigner` signed."""

    def verify(
        self, data: bytes, signature: bytes, *, keys: Sequence[PublicKey], require_prehashed: bool = False
    ) -> Verdict:
        return check_signature(
            signature,
            keys,
            require_prehashed=require_prehashed,
            message=lambda prehashed: hashlib.blake2b(data).digest() if prehashed else data,
            fits=lambda key, message, mark: _mark(key, message) == mark,
        )

    def verify_file(
        self, path: Path, signature: bytes, *, keys: Sequence[PublicKey], require_prehashed: bool = False
    ) -> Verdict:
        return self.verify(_content(path, "verify"), signature, keys=keys, require_prehashed=require_prehashed)


class MemoryTrust:
    """``TrustPort`` in memory; the paths it gives are made up."""

    def __init__(self, *keys: PublicKey) -> None:
        self.found_problems: tuple[str, ...] = ()
        self._kept: dict[bytes, TrustedKey] = {}
        for key in keys:
            self.trust(key)

    def trusted(self) -> Sequence[TrustedKey]:
        return tuple(sorted(self._kept.values(), key=lambda trusted: trusted.path))

    def problems(self) -> Sequence[str]:
        return self.found_problems

    def trust(self, key: PublicKey, *, label: str = "") -> TrustedKey:
        if label and not (label[0].isalnum() and label.isascii() and not set(label) & set("/\\ \n")):
            raise SignatureError("sign.bad-label", f"{label!r} cannot name a key", subject="keys")
        path = Path(f"trusted-keys/{label or key.name}-{key.fingerprint}.pub")
        return self._kept.setdefault(key.raw, TrustedKey(key=key, path=path, fingerprint=key.fingerprint))

    def revoke(self, name: str) -> TrustedKey:
        named = [kept for kept in self._kept.values() if name in (kept.fingerprint, kept.key.name)]
        if not named:
            raise SignatureError("sign.unknown-key", f"no key you trust is named {name!r}", subject="keys")
        if len(named) > 1:
            raise SignatureError("sign.ambiguous-key", f"several keys have the id {name}", subject="keys")
        return self._kept.pop(named[0].key.raw)


def _mark(key: bytes, message: bytes) -> bytes:
    return hashlib.blake2b(message, key=key).digest()


def _content(path: Path, subject: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise SignatureError("sign.unreadable", f"{path} cannot be read: {exc.strerror}", subject=subject) from exc
