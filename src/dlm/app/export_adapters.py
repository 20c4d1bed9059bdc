"""The adapters of an export as folders: those of the store, or a mix of them made for the occasion."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from dlm.app.base_access import trained_adapter
from dlm.domain.adapter_facts import AdapterFacts
from dlm.domain.adapter_mix import check_mixable
from dlm.domain.document import Document
from dlm.domain.errors import ExportError
from dlm.domain.export_options import Selection
from dlm.domain.manifest import Manifest
from dlm.domain.text_files import disk_error
from dlm.ports.adapter_files import AdapterFilesPort, MixMethod, MixPart
from dlm.ports.store import AdapterRef, StorePort

ONLY = "adapter"
"""What formats with named adapters call a document's only one."""

MIXED = "mixed"


@attrs.frozen(kw_only=True)
class Module:
    """One adapter to be exported: its name in the export, its PEFT folder, what its files say, its version."""

    name: str
    folder: Path
    facts: AdapterFacts
    version: int


@contextmanager
def opened_adapters(
    document: Document,
    manifest: Manifest | None,
    selection: Selection,
    *,
    allow_4bit: bool,
    store: StorePort,
    files: AdapterFilesPort,
) -> Iterator[tuple[Module, ...]]:
    """Give the adapters of a selection for the length of a ``with`` block.

    Args:
        allow_4bit: whether adapters trained on a 4-bit base may be mixed.

    Raises:
        ExportError: one is not trained yet, on another base, damaged, or does not fit the others of a mix.
    """
    live = {name: _live(document, manifest, store, name) for name in selection.names}
    if selection.method is None:
        yield tuple(
            Module(name=name or ONLY, folder=ref.folder, facts=files.facts(ref.folder), version=ref.version)
            for name, ref in live.items()
        )
        return
    parts = [MixPart(name=name or ONLY, folder=live[name].folder, weight=weight) for name, weight in selection.adapters]
    check_mixable({part.name: files.facts(part.folder) for part in parts}, allow_4bit=allow_4bit)
    with _mixed(parts, selection.method, files) as folder:
        newest = max(ref.version for ref in live.values())
        yield (Module(name=MIXED, folder=folder, facts=files.facts(folder), version=newest),)


@contextmanager
def _mixed(parts: list[MixPart], method: MixMethod, files: AdapterFilesPort) -> Iterator[Path]:
    try:
        holder = tempfile.TemporaryDirectory(prefix="dlm-mix-")
    except OSError as exc:
        raise disk_error(exc, Path(tempfile.gettempdir())) from exc
    with holder as folder:
        files.mix(parts, method, Path(folder))
        yield Path(folder)


def _live(document: Document, manifest: Manifest | None, store: StorePort, name: str | None) -> AdapterRef:
    return trained_adapter(document, manifest, store, adapter=name, error=ExportError)
