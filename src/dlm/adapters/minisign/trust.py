"""The folder of public keys that this home trusts.

One file per key, ``<label>-<fingerprint>.pub``; people may put ``.pub`` files there themselves, under any name, and
delete them again. Links and other things that are no plain files are not followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from dlm.adapters.minisign.files import (
    loose_mode,
    make_private_folder,
    read_key_file,
    unreadable,
    write_new,
)
from dlm.domain.errors import ConfigError, SignatureError
from dlm.domain.minisign import PublicKey, parse_public_key, public_key_text
from dlm.domain.text_files import disk_error, sync_folder
from dlm.ports.signing import TrustedKey

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_WRITABLE_BY_OTHERS = 0o022
_LIST = "dlm keys list shows the keys you trust."


@attrs.frozen(kw_only=True)
class TrustFolder:
    """``TrustPort`` over ``<home>/trusted-keys``."""

    home: Path

    @property
    def folder(self) -> Path:
        return self.home / "trusted-keys"

    def trusted(self) -> Sequence[TrustedKey]:
        """Give each trusted key once, in the order of file names."""
        found: dict[bytes, TrustedKey] = {}
        for trusted in self._all():
            found.setdefault(trusted.key.raw, trusted)
        return tuple(found.values())

    def problems(self) -> Sequence[str]:
        """Name files that are no keys, and whatever others on this machine can write to."""
        told = [f"{path} is not used: {found}" for path, found in self._read() if isinstance(found, str)]
        writable = [path for path in (self.folder, *self._paths()) if loose_mode(path, _WRITABLE_BY_OTHERS)]
        told += [f"{path} can be changed by others on this machine; run chmod go-w on it" for path in writable]
        return tuple(told)

    def trust(self, key: PublicKey, *, label: str = "") -> TrustedKey:
        """Keep a key; see :meth:`dlm.ports.signing.TrustPort.trust`."""
        if label and not _LABEL.fullmatch(label):
            raise SignatureError(
                "sign.bad-label",
                f"{label[:80]!r} cannot name a key",
                subject="keys",
                hint="A label is up to 64 letters, digits, dots, hyphens and underscores, a letter or digit first.",
            )
        for trusted in self._all():
            if trusted.key.raw == key.raw:
                return trusted
        make_private_folder(self.folder)
        path = self.folder / f"{label or key.name}-{key.fingerprint}.pub"
        if write_new(path, public_key_text(key).encode()):
            return _trusted(key, path)
        return self._found_at(path, key)

    def revoke(self, name: str) -> TrustedKey:
        """Remove every file that holds the named key."""
        files = list(self._all())
        named = [trusted for trusted in files if _is_named(trusted, name)]
        if not named:
            raise SignatureError(
                "sign.unknown-key", f"no key you trust is named {name[:80]!r}", subject="keys", hint=_LIST
            )
        if len({trusted.key.raw for trusted in named}) > 1:
            prints = ", ".join(sorted({trusted.fingerprint for trusted in named}))
            raise SignatureError(
                "sign.ambiguous-key",
                f"several keys have the id {name}: {prints}",
                subject="keys",
                hint="Name the one that is meant by its fingerprint.",
            )
        for trusted in named:
            _remove(trusted.path)
        return named[0]

    def _found_at(self, path: Path, key: PublicKey) -> TrustedKey:
        """Give the key if another process has just put it there."""
        found = _key_in(path)
        if isinstance(found, PublicKey) and found.raw == key.raw:
            return _trusted(found, path)
        raise SignatureError(
            "sign.key-file-taken",
            f"{path} exists and does not hold the key {key.name}",
            subject="keys",
            hint="Look at the file and move it away, or trust the key under another label.",
        )

    def _all(self) -> Iterator[TrustedKey]:
        for path, found in self._read():
            if isinstance(found, PublicKey):
                yield _trusted(found, path)

    def _read(self) -> Iterator[tuple[Path, PublicKey | str]]:
        """Give each file with its key, or with why it is none."""
        for path in self._paths():
            yield path, _key_in(path)

    def _paths(self) -> list[Path]:
        try:
            return sorted(path for path in self.folder.iterdir() if path.suffix == ".pub")
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise unreadable(self.folder, exc, subject="keys") from exc


def _key_in(path: Path) -> PublicKey | str:
    if path.is_symlink():
        return "it is a link; put the key itself there"
    try:
        data = read_key_file(path)
        return "it is gone" if data is None else parse_public_key(data)
    except ConfigError as exc:
        return exc.message
    except OSError as exc:
        return exc.strerror or str(exc)
    except ValueError as exc:
        return str(exc)


def _trusted(key: PublicKey, path: Path) -> TrustedKey:
    return TrustedKey(key=key, path=path, fingerprint=key.fingerprint)


def _is_named(trusted: TrustedKey, name: str) -> bool:
    # The minisign program shows ids without leading zeros.
    return name.lower() == trusted.fingerprint or name.upper().zfill(16) == trusted.key.name


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as exc:
        raise disk_error(exc, path) from exc
