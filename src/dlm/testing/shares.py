"""A place for packs that is only in memory."""

from __future__ import annotations

from pathlib import Path

from dlm.domain.errors import ShareError
from dlm.domain.events import Emit, Note, Progress
from dlm.domain.share import PACK_NAME, SIGNATURE_SUFFIX, Address
from dlm.ports.share import Fetched, Parcel


class FakeShare:
    """Keeps :class:`dlm.ports.share.SharePort`'s promises without files or network.

    ``packs``, ``signatures``, ``signature_problems`` and ``cards`` by the place as it is shown.
    """

    def __init__(self, kind: str = "url") -> None:
        self.kind = kind
        self.packs: dict[str, bytes] = {}
        self.signatures: dict[str, bytes] = {}
        self.signature_problems: dict[str, str] = {}
        self.cards: dict[str, str] = {}

    def push(self, parcel: Parcel, to: Address, *, emit: Emit) -> str:
        _warn(to, emit)
        pack = parcel.pack.read_bytes()
        emit(Progress(stage="upload", done=len(pack), total=len(pack), unit="B"))
        self.signatures.pop(to.shown, None)
        if parcel.signature is not None:
            self.signatures[to.shown] = parcel.signature.read_bytes()
        if parcel.card is not None:
            self.cards[to.shown] = parcel.card
        self.packs[to.shown] = pack
        return to.shown

    def pull(self, source: Address, into: Path, *, emit: Emit) -> Fetched:
        _warn(source, emit)
        data = self.packs.get(source.shown)
        if data is None:
            raise ShareError("share.missing", f"{source.shown} does not exist", hint="Check the address.")
        emit(Progress(stage="download", done=len(data), total=len(data), unit="B"))
        pack = into / PACK_NAME
        pack.write_bytes(data)
        problem = self.signature_problems.get(source.shown)
        signature = self.signatures.get(source.shown)
        if signature is None or problem is not None:
            return Fetched(pack=pack, signature_problem=problem)
        path = into / f"{PACK_NAME}{SIGNATURE_SUFFIX}"
        path.write_bytes(signature)
        return Fetched(pack=pack, signature=path)


def _warn(address: Address, emit: Emit) -> None:
    if address.warning is not None:
        emit(Note(subject="share", message=address.warning, severity="warning"))
