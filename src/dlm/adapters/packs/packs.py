"""The pack format on an ordinary disk."""

from __future__ import annotations

from pathlib import Path

from dlm.adapters.packs.reading import read_pack
from dlm.adapters.packs.writing import write_pack
from dlm.domain.events import Emit
from dlm.domain.pack import PackContents
from dlm.ports.packs import PackJob, WrittenPack


class TarZstdPacks:
    """Packs as zstd around tar, in pieces of at most 1 MiB."""

    def write(self, job: PackJob, into: Path, *, emit: Emit) -> WrittenPack:
        """Write a pack, atomically."""
        return write_pack(job, into, emit=emit)

    def check(self, pack: Path, *, emit: Emit) -> PackContents:
        """Check everything about a pack; nothing is written."""
        return read_pack(pack, None, stage="check", emit=emit)

    def extract(self, pack: Path, into: Path, *, emit: Emit) -> PackContents:
        """Check a pack and write its store into the empty folder ``into``."""
        return read_pack(pack, into, stage="unpack", emit=emit)
