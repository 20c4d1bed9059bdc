"""Checking who signed something."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from dlm.domain.minisign import PublicKey, Verdict


class SignatureVerifier(Protocol):
    """Checks a detached minisign signature against the keys one trusts.

    Never raises for what the signature file holds: a bad one is a ``Verdict``. ``valid`` means that the file's
    signature and the global signature over the trusted comment both fit a key of ``keys``. With ``require_prehashed``
    the old form, which signs the file itself instead of its digest, is ``invalid``; so it is above 1 GiB.
    """

    def verify(
        self, data: bytes, signature: bytes, *, keys: Sequence[PublicKey], require_prehashed: bool = False
    ) -> Verdict: ...

    def verify_file(
        self, path: Path, signature: bytes, *, keys: Sequence[PublicKey], require_prehashed: bool = False
    ) -> Verdict:
        """Check a signature over a file of any size, read in pieces. Raises ``SignatureError`` (``sign.unreadable``)
        for a file that cannot be read."""
        ...
