"""One's own minisign key, with libsodium's Ed25519 and scrypt.

``<home>/minisign.key`` and ``<home>/minisign.pub`` are the files of the minisign program, which can use them too.
Secrets are overwritten in memory after use as far as Python lets us: libsodium's own copies go when they are freed.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from dlm.adapters.minisign.digests import bytes_digest, file_digest, opened
from dlm.adapters.minisign.files import (
    PRIVATE_FILE,
    loose_mode,
    make_private_folder,
    read_key_file,
    unreadable,
    write_new,
)
from dlm.domain.errors import ConfigError, SignatureError
from dlm.domain.minisign import PublicKey, parse_public_key, public_key_text, sign
from dlm.domain.minisign_secret import (
    BLOCK_BYTES,
    SALT_BYTES,
    KdfLimits,
    SealedKey,
    check_limits,
    damaged,
    parse_secret_key,
    parts,
    plain_block,
    seal,
    secret_key_text,
    unseal,
)
from dlm.domain.text_files import disk_error, write_atomic
from dlm.ports.signing import AskPassphrase

if TYPE_CHECKING:
    from nacl.signing import SigningKey

_OTHERS = 0o077
_GENERATE = "Make a key with dlm keys generate."


@attrs.frozen
class OpenKey:
    """``UnlockedKey`` on PyNaCl."""

    key_id: bytes
    _key: SigningKey = attrs.field(repr=False)

    def sign_file(self, path: Path, *, trusted_comment: str) -> str:
        """Sign the file at ``path``. Raises ``sign.unreadable``, ``sign.comment``."""
        with opened(path, subject="sign") as file:
            return self._sign(file_digest(file), trusted_comment)

    def sign_bytes(self, data: bytes, *, trusted_comment: str) -> str:
        """Sign ``data``. Raises ``sign.comment``."""
        return self._sign(bytes_digest(data), trusted_comment)

    def _sign(self, digest: bytes, trusted_comment: str) -> str:
        return sign(
            digest,
            key_id=self.key_id,
            trusted_comment=trusted_comment,
            sign_bytes=lambda message: self._key.sign(message).signature,
        )


@attrs.frozen(kw_only=True)
class MinisignSigner:
    """``SignerPort`` over two files in ``home``.

    Args:
        limits: what the passphrase of a new key costs.
    """

    home: Path
    limits: KdfLimits = attrs.field(factory=KdfLimits)

    @property
    def secret_path(self) -> Path:
        return self.home / "minisign.key"

    @property
    def public_path(self) -> Path:
        return self.home / "minisign.pub"

    def public_key(self) -> PublicKey:
        """Give the own public key; of an open secret key also without its ``.pub`` file."""
        sealed = self._sealed()
        public = self._public()
        if public is not None:
            return public
        if sealed.is_encrypted:
            raise SignatureError(
                "sign.no-public-key",
                f"{self.public_path} is missing, and {self.secret_path} is protected by a passphrase",
                subject="sign",
                hint="Put the file back, or make a new key with dlm keys generate --force.",
            )
        return _public_of(unseal(sealed, None))

    def generate(self, *, passphrase: str | None, comment: str = "", force: bool = False) -> PublicKey:
        """Make a key pair and write it, the secret first: a crash between leaves no wrong pair."""
        from nacl.signing import SigningKey

        if passphrase == "":
            raise SignatureError(
                "sign.empty-passphrase", "an empty passphrase protects nothing", subject="sign", hint="Type one."
            )
        if not force and self.secret_path.exists():
            raise self._key_exists()
        signing, key_id = SigningKey.generate(), secrets.token_bytes(8)
        public = PublicKey(key_id=key_id, key=bytes(signing.verify_key), comment=comment)
        public_text = public_key_text(public)
        block = plain_block(key_id=key_id, seed=bytes(signing), public=public.key)
        sealed = self._sealed_with(block, passphrase)
        _wipe(block)
        self._write(secret_key_text(sealed).encode(), public_text.encode(), force=force)
        return parse_public_key(public_text.encode())

    def problems(self) -> Sequence[str]:
        """Tell of a secret key that others can read or change."""
        mode = loose_mode(self.secret_path, _OTHERS)
        if mode is None:
            return ()
        path = self.secret_path
        return (f"{path} can be read or changed by others on this machine (mode {mode:03o}); run chmod 600 on it",)

    @contextmanager
    def unlock(self, ask: AskPassphrase) -> Iterator[OpenKey]:
        """Open the secret key. Raises what :class:`dlm.ports.signing.SignerPort` says."""
        from nacl.signing import SigningKey

        block = self._opened(ask)
        try:
            key_id, seed, public = parts(block)
            signing = SigningKey(seed)
            if bytes(signing.verify_key) != public:
                damaged("its public half does not belong to its secret half", None)
            self._check_pair(_public_of(block))
            yield OpenKey(key_id, signing)
        finally:
            _wipe(block)

    def sign_file(self, path: Path, *, trusted_comment: str, ask: AskPassphrase) -> str:
        """Sign one file."""
        with self.unlock(ask) as key:
            return key.sign_file(path, trusted_comment=trusted_comment)

    def sign_bytes(self, data: bytes, *, trusted_comment: str, ask: AskPassphrase) -> str:
        """Sign bytes."""
        with self.unlock(ask) as key:
            return key.sign_bytes(data, trusted_comment=trusted_comment)

    def _write(self, secret: bytes, public: bytes, *, force: bool) -> None:
        make_private_folder(self.home)
        if force:
            # Without its public half a pair is incomplete; with the one before it would be a wrong one.
            try:
                self.public_path.unlink(missing_ok=True)
            except OSError as exc:
                raise disk_error(exc, self.public_path) from exc
            write_atomic(self.secret_path, secret, mode=PRIVATE_FILE)
        elif not write_new(self.secret_path, secret):
            raise self._key_exists()
        write_atomic(self.public_path, public, mode=0o644)

    def _sealed(self) -> SealedKey:
        try:
            data = read_key_file(self.secret_path)
        except (OSError, ValueError) as exc:
            raise unreadable(self.secret_path, exc, subject="sign") from exc
        if data is None:
            raise SignatureError(
                "sign.no-key", f"there is no key at {self.secret_path}", subject="sign", hint=_GENERATE
            )
        return parse_secret_key(data)

    def _public(self) -> PublicKey | None:
        try:
            data = read_key_file(self.public_path)
            return None if data is None else parse_public_key(data)
        except (OSError, ValueError, ConfigError) as exc:
            raise unreadable(self.public_path, exc, subject="sign") from exc

    def _check_pair(self, own: PublicKey) -> None:
        public = self._public()
        if public is not None and public.raw != own.raw:
            raise SignatureError(
                "sign.key-mismatch",
                f"{self.public_path} ({public.name}) is not the public half of {self.secret_path} ({own.name})",
                subject="sign",
                hint="Put back the file that belongs to it, or make a new key with dlm keys generate --force.",
            )

    def _opened(self, ask: AskPassphrase) -> bytearray:
        sealed = self._sealed()
        if sealed.limits is None:
            return unseal(sealed, None)
        passphrase = ask(f"Passphrase of {self.secret_path}: ")
        if passphrase is None:
            raise SignatureError(
                "sign.no-terminal",
                f"{self.secret_path} is protected by a passphrase, and there is no terminal to ask on",
                subject="sign",
                hint="Run it in a terminal, or make a key without a passphrase.",
            )
        return unseal(sealed, _keystream(passphrase, sealed.salt, sealed.limits))

    def _sealed_with(self, block: bytearray, passphrase: str | None) -> SealedKey:
        check_limits(self.limits)
        salt = secrets.token_bytes(SALT_BYTES)
        keystream = None if passphrase is None else _keystream(passphrase, salt, self.limits)
        return seal(block, keystream=keystream, salt=salt, limits=self.limits)

    def _key_exists(self) -> SignatureError:
        return SignatureError(
            "sign.key-exists",
            f"there is a key at {self.secret_path}",
            subject="sign",
            hint="Add --force to replace it for good.",
        )


def _keystream(passphrase: str, salt: bytes, limits: KdfLimits) -> bytes:
    from nacl.exceptions import CryptoError
    from nacl.pwhash import scrypt

    secret = passphrase.encode("utf-8", "surrogatepass")
    try:
        return scrypt.kdf(BLOCK_BYTES, secret, salt, opslimit=limits.opslimit, memlimit=limits.memlimit)
    except (CryptoError, MemoryError) as exc:
        raise SignatureError(
            "sign.kdf-failed",
            f"the passphrase cannot be checked: {exc or 'out of memory'}",
            subject="sign",
            hint=f"That takes {limits.memory_bytes >> 20} MiB of memory. Close other programs and try again.",
        ) from exc


def _public_of(block: bytearray) -> PublicKey:
    key_id, _, public = parts(block)
    return PublicKey(
        key_id=key_id, key=public, comment=f"minisign public key {PublicKey(key_id=key_id, key=public).name}"
    )


def _wipe(block: bytearray) -> None:
    block[:] = bytes(len(block))
