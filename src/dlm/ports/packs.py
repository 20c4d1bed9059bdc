"""Writing, checking and opening packs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import attrs

from dlm.domain.events import Emit
from dlm.domain.pack import PackContents, PackHeader, PackManifest


@attrs.frozen(kw_only=True)
class PackJob:
    """What goes into a pack.

    Args:
        header: ``executables`` names the members that may be started once they are unpacked, all ``*_launch.sh``.
        dlm_id … adapter_version: go into the pack's manifest; its sizes and digests follow from the members.
        texts: members written from memory, by path in the pack: the document, the store's manifest, provenance.
        files: members copied from disk, by path in the pack. Regular files; links were resolved before. They may not
            change meanwhile: hold the store's writer lock.
        provenance: gives ``provenance.json`` once the digests of all other members are known, by path.
    """

    header: PackHeader
    dlm_id: str
    base_model: str
    base_model_revision: str | None
    base_model_sha256: str | None
    adapter_version: int
    texts: Mapping[str, bytes]
    files: Mapping[str, Path]
    provenance: Callable[[Mapping[str, str]], bytes] | None = None


@attrs.frozen(kw_only=True)
class WrittenPack:
    """A pack on disk, and the digests of its members by path."""

    path: Path
    sha256: str
    size_bytes: int
    manifest: PackManifest
    checksums: Mapping[str, str]


class PackPort(Protocol):
    """The pack format. Memory stays below 100 MB for any size; progress events count bytes.

    Reading enforces every limit of the format on what is really there, never on what is declared, and reads the pack
    once. Raises ``PackError`` and ``DiskError``; errors of reading have the subject ``unpack``.
    """

    def write(self, job: PackJob, into: Path, *, emit: Emit) -> WrittenPack:
        """Write a pack, atomically. The same job gives the same bytes.

        Raises ``PackError``: what could not be read back: links, programs, names, limits, files that changed.
        """
        ...

    def check(self, pack: Path, *, emit: Emit) -> PackContents:
        """Check everything about a pack; nothing is written. Whether a signature holds is for others to say."""
        ...

    def extract(self, pack: Path, into: Path, *, emit: Emit) -> PackContents:
        """Check a pack and write what lies below ``store/`` into the empty folder ``into``, without caches, staged
        plans and pickles. Whatever is refused, the caller throws the folder away."""
        ...


class InstallPort(Protocol):
    """Puts stores into the home as a whole.

    Raises ``StoreError`` (``store.exists``, ``store.locked``, ``store.lock-stale``) and ``DiskError``.
    """

    def stage(self) -> Path:
        """Give an empty folder on the disk of the stores; ``install`` or ``discard`` ends it. What dead processes
        staged is cleared away."""
        ...

    def install(self, dlm_id: str, staged: Path, *, replace: bool, break_stale: bool = False) -> Path:
        """Make ``staged`` the store of a document, under the writer lock of the one that it replaces. A kill at any
        step leaves the old store or the new one, whole. Gives the store's folder.

        An error leaves the old store, and ``staged`` for ``discard``. ``break_stale`` as for ``StorePort.writer``.
        """
        ...

    def discard(self, staged: Path) -> None:
        """Remove a folder that ``stage`` gave; one that is gone already is fine."""
        ...
