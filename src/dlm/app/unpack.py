"""Install a pack: check all of it aside, then put store and document in place."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from dlm.app.callers import shielded, unwrapped
from dlm.app.share_ports import SharingPorts
from dlm.domain.errors import PackError
from dlm.domain.events import Emit, ignore
from dlm.domain.manifest import manifest_from_json, manifest_to_json
from dlm.domain.pack import STORE, PackContents
from dlm.domain.store_layout import MANIFEST, PROVENANCE
from dlm.domain.text_files import disk_error, sync_folder, write_atomic


@attrs.frozen(kw_only=True)
class UnpackReport:
    """A pack was installed.

    Args:
        document: where the document is now.
        store: the folder of its store.
        notes: what was left out, in words.
    """

    dlm_id: str
    document: Path
    store: Path
    adapter_version: int
    base_model: str
    sha256: str
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give one object, as ``dlm unpack --json`` prints it."""
        return {**attrs.asdict(self), "document": str(self.document), "store": str(self.store)}


def unpack(
    pack: Path,
    *,
    out: Path | None = None,
    force: bool = False,
    confirm: Callable[[PackContents], None] = lambda _: None,
    ports: SharingPorts,
    emit: Emit = ignore,
) -> UnpackReport:
    """Install a pack.

    Args:
        out: folder for the document; the pack's when None.
        force: replace a store of the same id, and a document of the same name.
        confirm: sees what the pack holds before anything is put in place; may raise.

    Raises:
        PackError: the pack is damaged or hostile, or what is there would be overwritten.
        StoreError: there is a store of this id, or another command is writing to it.
    """
    with unwrapped():
        emit = shielded(emit)
        staged = ports.installs.stage()
        try:
            contents = ports.packs.extract(pack, staged, emit=emit)
            confirm(contents)
            target = _target(contents, out or pack.parent, force=force)
            _complete(staged, contents, target, ports)
            with _Document(target, contents.document) as document:
                store = ports.installs.install(contents.manifest.dlm_id, staged, replace=force)
                document.put_in_place()
        except BaseException:
            ports.installs.discard(staged)
            raise
    return UnpackReport(
        dlm_id=contents.manifest.dlm_id,
        document=target,
        store=store,
        adapter_version=contents.manifest.adapter_version,
        base_model=contents.manifest.base_model,
        sha256=contents.sha256,
        notes=contents.notes,
    )


def _target(contents: PackContents, folder: Path, *, force: bool) -> Path:
    """Give the document's place; refuse to write over another one."""
    target = folder.absolute() / contents.document_name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = target.read_bytes() if target.exists() else None
    except OSError as exc:
        raise disk_error(exc, target) from exc
    if there is not None and there != contents.document.encode() and not force:
        raise PackError(
            "unpack.document-exists",
            f"{target} is there and is another document",
            subject="unpack",
            hint="Choose another folder with --out, or replace it with --force.",
        )
    return target


def _complete(staged: Path, contents: PackContents, target: Path, ports: SharingPorts) -> None:
    """Write what the store of a stranger's document says here: where it is now, where it came from, who signed it."""
    manifest = manifest_from_json(contents.store_manifest, f"{STORE}{MANIFEST}")
    here = attrs.evolve(
        manifest,
        source_path=str(target),
        installed_from=contents.sha256,
        trusts_sources=False,
        updated_at=ports.clock.now(),
    )
    write_atomic(staged / MANIFEST, manifest_to_json(here).encode())
    if contents.provenance is not None:
        write_atomic(staged / PROVENANCE, contents.provenance.encode())


class _Document:
    """The document beside its place, so that a full disk is met before the store is changed."""

    def __init__(self, target: Path, text: str) -> None:
        self._target = target
        self._text = text
        self._aside = target.with_name(f"{target.name}.tmp.{os.getpid()}.{secrets.token_hex(4)}")

    def __enter__(self) -> _Document:
        write_atomic(self._aside, self._text.encode())
        return self

    def put_in_place(self) -> None:
        try:
            self._aside.replace(self._target)
            sync_folder(self._target.parent)
        except OSError as exc:
            raise disk_error(exc, self._target) from exc

    def __exit__(self, *_: object) -> None:
        try:
            self._aside.unlink(missing_ok=True)
        except OSError as exc:
            raise disk_error(exc, self._aside) from exc
