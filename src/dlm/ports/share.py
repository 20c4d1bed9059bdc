"""Sending packs to other places and fetching them from there."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import attrs

from dlm.domain.events import Emit
from dlm.domain.share import Address


@attrs.frozen(kw_only=True)
class Parcel:
    """What is sent.

    Args:
        signature: the pack's ``.minisig`` file; None when it is not signed.
        card: text of the README of a Hub repository.
        private: a Hub repository has to be private; one that has to be made is made so, a public one is refused.
    """

    pack: Path
    signature: Path | None = None
    card: str | None = None
    private: bool = False


@attrs.frozen(kw_only=True)
class Fetched:
    """What arrived, in a folder of the caller's.

    Args:
        signature: None when there is none: the other side said so.
        signature_problem: why the signature could not be fetched although there may be one; no secrets in it.
    """

    pack: Path
    signature: Path | None = None
    signature_problem: str | None = None


class SharePort(Protocol):
    """One kind of place: the Hub, a web address, a folder, a peer. ``kind`` is that of the addresses it takes.

    An address's warning is told as a ``Note`` first; then progress events count bytes, the last of a transfer says that
    all is done. What an observer raises ends the transfer.

    Raises ``ShareError`` and ``StoreError``. No message, event or log line ever holds a token, a query or a password.
    """

    kind: str

    def push(self, parcel: Parcel, to: Address, *, emit: Emit) -> str:
        """Send a pack, its signature first where the place allows; gives where it is now, without secrets.

        A pack that is there already is replaced. Of an unsigned pack no signature of an earlier one is left, unless the
        place cannot delete.
        """
        ...

    def pull(self, source: Address, into: Path, *, emit: Emit) -> Fetched:
        """Fetch a pack, and its signature if there is one, into the folder ``into``, where nothing else is left behind
        whatever happens. The digest that the address may name is checked. Signature trouble is told, never raised."""
        ...
