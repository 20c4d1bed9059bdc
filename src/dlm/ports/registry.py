"""Finding base models."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from dlm.domain.base_models import BaseSpec, ResolvedBase
from dlm.domain.events import Emit, ignore


class RegistryPort(Protocol):
    """Turns a base selector into a description, then into files on this machine.

    ``describe`` is cheap and offline for registry keys and ``path:``; for ``hf:`` it may ask the Hub once (never when
    ``pinned_revision`` and the local cache suffice). A registry key has its own pin: ``pinned_revision`` matters for
    ``hf:`` only. ``fetch`` walks the resolution order folder → installed weight package → local Hub cache → Hub
    download, says by an event when it goes online, and gives the digest of the files; the files are read for it once
    and not again while they stay as they are. ``bundled`` is the folder of a base that came in the document's own pack:
    it comes first, and serves no other document.

    Both raise ``BaseModelError``, and ``StoreError`` when the disk fails (``DiskError`` when it is full). A base whose
    row asks for an acceptance is described and fetched like any other: asking for it is the caller's duty. Only the
    Hub's own gate, which no local acceptance opens, raises ``LicenseError`` from here.
    """

    def describe(
        self, selector: str, *, pinned_revision: str | None = None, skip_export_probes: bool = False
    ) -> BaseSpec: ...

    def fetch(self, spec: BaseSpec, *, bundled: Path | None = None, emit: Emit = ignore) -> ResolvedBase: ...
