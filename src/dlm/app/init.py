"""Making a document: its file, and the store that will hold what it learns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs

from dlm.domain.base_models import BaseSpec
from dlm.domain.base_rows import DEFAULT_BASE, refuse_unusable
from dlm.domain.document import Document
from dlm.domain.errors import DocumentError, InitError, LicenseError, UsageError
from dlm.domain.events import Emit, Note, ignore
from dlm.domain.license import LicenseAcceptance, license_gate
from dlm.domain.manifest import Manifest
from dlm.domain.scaffold import DEFAULT_MEDIA_BASES, Kind, fits, scaffold
from dlm.domain.templates import Template, apply_template
from dlm.domain.text_files import disk_error
from dlm.ports.clock import Clock
from dlm.ports.gallery import GalleryPort
from dlm.ports.registry import RegistryPort
from dlm.ports.store import StorePort

Ask = Callable[[str], bool]

_FLAGS: dict[Kind, str] = {"text": "", "multimodal": "--multimodal", "audio": "--audio"}
_READS = {"vision-language": "pictures and text", "audio-language": "sound and text"}


@attrs.frozen(kw_only=True)
class InitResult:
    """A document was made.

    Args:
        path: absolute.
        base: key of its base model.
        replaced_id: id of the document that ``force`` overwrote; its store stays, unused.
        notes: what a person should know, one sentence each; the same that were emitted as notes.
    """

    path: Path
    dlm_id: str
    base: str
    template: str | None
    replaced_id: str | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Give the result as a JSON object."""
        return attrs.asdict(self) | {"path": str(self.path), "notes": list(self.notes)}


def init(
    path: Path,
    *,
    base: str | None = None,
    template: str | None = None,
    kind: Kind = "text",
    skip_export_probes: bool = False,
    accept_license: bool = False,
    ask: Ask | None = None,
    force: bool = False,
    store: StorePort,
    registry: RegistryPort,
    gallery: GalleryPort,
    clock: Clock,
    emit: Emit = ignore,
) -> InitResult:
    """Write a new document at ``path`` and make its store. All or nothing: a failure leaves neither behind.

    Args:
        base: key of the base model, ``hf:<org>/<name>`` or ``path:<folder>``; None chooses one that fits.
        template: name of a gallery template; its base is used, whatever ``base`` says.
        kind: what the document holds beside text.
        skip_export_probes: leave out the checks that only exporting needs; remembered in the store.
        accept_license: say yes to the licence of a gated base.
        ask: puts a licence to a person and gives their answer; None when nobody is there.
        force: overwrite a document. The new one gets an id of its own.

    Raises:
        InitError: ``path`` exists, or is no file.
        UsageError: a template together with media, or a base that does not read this kind of document.
        TemplateError: unknown or invalid template.
        BaseModelError: unknown base or failed probes.
        LicenseError: the base is gated and nobody accepted its licence.
        StoreError, DiskError: the store or the document cannot be written.
    """
    path = path.absolute()
    notes: list[str] = []
    _check_target(path, force)
    if template is not None and kind != "text":
        raise UsageError(
            "init.template-with-media",
            f"a template and {_FLAGS[kind]} cannot be used together",
            subject="init",
            hint=f"Templates are text documents: leave out one of the two, --template or {_FLAGS[kind]}.",
        )
    chosen = gallery.load(template) if template is not None else None
    key = _base_key(base, chosen, kind, notes)
    skip = skip_export_probes or kind != "text"
    spec = registry.describe(key, skip_export_probes=skip)
    refuse_unusable(spec)
    acceptance = _acceptance(spec, accept_license, ask, clock.now())
    _check_modality(spec, kind, notes)

    dlm_id = clock.ulid()
    document = apply_template(chosen, dlm_id) if chosen else scaffold(kind, dlm_id=dlm_id, base=spec)
    Document.parse(document.render(), path=str(path))
    replaced_id = _former_id(path, notes)
    manifest = Manifest.new(
        dlm_id, spec.key, spec.revision, str(path), clock.now(), acceptance, skip_export_probes=skip
    )
    _write(path, document, manifest, store)
    for note in notes:
        emit(Note(subject="init", message=note, severity="warning"))
    return InitResult(
        path=path, dlm_id=dlm_id, base=spec.key, template=template, replaced_id=replaced_id, notes=tuple(notes)
    )


def _check_target(path: Path, force: bool) -> None:
    # A dangling link counts as existing: writing would replace the link.
    if not path.exists() and not path.is_symlink():
        return
    if path.exists() and not path.is_file():
        raise InitError(
            "init.not-a-file", f"{path} is not a file", hint="Give the path of a document, such as notes.dlm."
        )
    if not force:
        raise InitError("init.exists", f"{path} exists", hint="Choose another name, or overwrite it with --force.")


def _base_key(base: str | None, template: Template | None, kind: Kind, notes: list[str]) -> str:
    if template is None:
        return base or DEFAULT_MEDIA_BASES.get(kind, DEFAULT_BASE)
    recommended = template.meta.recommended_base
    if base is not None and base != recommended:
        notes.append(f"the template {template.meta.name} comes with its own base {recommended}; {base} is ignored")
    return recommended


def _acceptance(spec: BaseSpec, accept: bool, ask: Ask | None, now: datetime) -> LicenseAcceptance | None:
    try:
        return license_gate(spec, None, recorded_base=None, accept=accept, now=now)
    except LicenseError as exc:
        if ask is None or exc.code != "license.not-accepted" or not ask(_question(spec)):
            raise
    return license_gate(spec, None, recorded_base=None, accept=True, now=now, via="interactive")


def _question(spec: BaseSpec) -> str:
    return f"{spec.key} may be used only under its licence ({spec.license_spdx}):\n{spec.license_url}"


def _check_modality(spec: BaseSpec, kind: Kind, notes: list[str]) -> None:
    if fits(kind, spec.modality):
        return
    reads = _READS.get(spec.modality, "text")
    if kind == "text":
        notes.append(f"{spec.key} reads {reads}; this document holds only text (see --multimodal and --audio)")
        return
    raise UsageError(
        "init.wrong-modality",
        f"{_FLAGS[kind]} does not go with {spec.key}, a {spec.modality} base, which reads {reads}",
        subject="init",
        hint=f"Leave out --base to get {DEFAULT_MEDIA_BASES[kind]}, or leave out {_FLAGS[kind]}.",
    )


def _former_id(path: Path, notes: list[str]) -> str | None:
    if not path.exists():
        return None
    try:
        return Document.load(path).dlm_id
    except DocumentError:
        notes.append(f"the former content of {path} was not a readable document; it is replaced")
        return None


def _write(path: Path, document: Document, manifest: Manifest, store: StorePort) -> None:
    """Make the store, then put the document in place; the document is the last thing to appear."""
    try:
        with store.writer(manifest.dlm_id) as writer:
            writer.save_manifest(manifest)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise disk_error(exc, path.parent) from exc
        document.save(path)
    except BaseException:
        store.discard(manifest.dlm_id)
        raise
