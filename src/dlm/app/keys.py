"""The home's own key, and the keys of others that it trusts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from dlm.app.share_ports import SharingPorts
from dlm.domain.errors import SignatureError
from dlm.domain.minisign import PublicKey, parse_public_key
from dlm.domain.text_files import disk_error
from dlm.ports.signing import TrustedKey

_LARGEST_KEY = 4096
"""Bytes of a ``.pub`` file: two lines."""


@attrs.frozen(kw_only=True)
class KeysReport:
    """The own key (None: there is none yet), those trusted, and what is wrong with their files."""

    own: PublicKey | None
    trusted: tuple[TrustedKey, ...]
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Give one object, as ``dlm keys list --json`` prints it."""
        return {
            "own": self.own and {"key_id": self.own.name, "fingerprint": self.own.fingerprint},
            "trusted": [
                {"key_id": key.key.name, "fingerprint": key.fingerprint, "path": str(key.path)} for key in self.trusted
            ],
            "problems": list(self.problems),
        }

    def to_text(self) -> str:
        """Give a line for each key."""
        own = f"{self.own.name}  {self.own.fingerprint}" if self.own else "none; make one with dlm keys generate"
        lines = [
            f"own key:     {own}",
            *(f"trusted key: {key.key.name}  {key.fingerprint}  {key.path}" for key in self.trusted),
        ]
        return "\n".join([*lines, *(f"problem:     {problem}" for problem in self.problems)])


def list_keys(*, ports: SharingPorts) -> KeysReport:
    """Tell which keys there are."""
    try:
        own: PublicKey | None = ports.signer.public_key()
    except SignatureError as exc:
        if exc.code != "sign.no-key":
            raise
        own = None
    problems = (*ports.signer.problems(), *ports.trust.problems())
    return KeysReport(own=own, trusted=tuple(ports.trust.trusted()), problems=problems)


def generate_key(*, passphrase: str | None, comment: str = "", force: bool = False, ports: SharingPorts) -> PublicKey:
    """Make the home's own key."""
    return ports.signer.generate(passphrase=passphrase, comment=comment, force=force)


def trust_key(path: Path, *, label: str = "", ports: SharingPorts) -> TrustedKey:
    """Trust the key in a ``.pub`` file.

    Raises:
        ConfigError: it is no minisign public key.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_KEY)
    except OSError as exc:
        raise disk_error(exc, path) from exc
    return ports.trust.trust(parse_public_key(text), label=label)


def revoke_key(name: str, *, ports: SharingPorts) -> TrustedKey:
    """Take a key's trust back, by its id or fingerprint."""
    return ports.trust.revoke(name)
