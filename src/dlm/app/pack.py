"""Pack a trained document into one file that another person can check and install."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs

from dlm.app.base_access import open_base
from dlm.app.callers import shielded, unwrapped
from dlm.app.share_ports import SharingPorts
from dlm.domain.base_models import BaseSpec, ResolvedBase
from dlm.domain.document import Document
from dlm.domain.errors import PackError
from dlm.domain.events import Emit, Note, ignore
from dlm.domain.manifest import Manifest, manifest_to_json
from dlm.domain.minisign import trusted_comment
from dlm.domain.pack import STORE, STORE_MANIFEST, ContentType, PackHeader
from dlm.domain.pack_adapter import is_pickle
from dlm.domain.pack_names import document_member
from dlm.domain.pack_plan import (
    LAUNCH_SCRIPT,
    LeftOut,
    content_type,
    plan_members,
    private_kinds,
    scrubbed_manifest,
)
from dlm.domain.pack_records import pack_time
from dlm.domain.provenance import (
    chain_of_pack,
    content_digest,
    provenance_to_json,
    state,
    statement_comment,
    with_signature,
)
from dlm.domain.store_layout import BUNDLED_BASE, MANIFEST, METRICS
from dlm.domain.text_files import disk_error, write_atomic
from dlm.domain.versions import own_version
from dlm.ports.packs import PackJob
from dlm.ports.signing import UnlockedKey

SUFFIX = ".pack"
SIDECAR = ".minisig"


@attrs.frozen(kw_only=True)
class PackOptions:
    """The words of ``dlm pack``.

    Args:
        out: the pack's file; beside the document when None.
        all_versions: older adapter versions too.
        licensee_url: where the base's licence was accepted.
        sign: with the home's own key: inside the pack, and beside it.
        source_date_epoch: time written into the pack, as the variable ``SOURCE_DATE_EPOCH`` has it; that of the store's
            last change when None, so that the same content gives the same file.
    """

    out: Path | None = None
    include_exports: bool = False
    include_base: bool = False
    include_logs: bool = False
    all_versions: bool = False
    licensee_url: str | None = None
    sign: bool = False
    source_date_epoch: str | None = None


@attrs.frozen(kw_only=True)
class PackReport:
    """A pack was made.

    Args:
        private: what it tells about its author, in words.
        left_out: what of the store stays here.
        signature: the sidecar; None when it is not signed.
        signer: fingerprint of the key.
    """

    path: Path
    dlm_id: str
    sha256: str
    size_bytes: int
    content_type: ContentType
    private: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    signature: Path | None = None
    signer: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Give one object, as ``dlm pack --json`` prints it."""
        record = attrs.asdict(self)
        return {**record, "path": str(self.path), "signature": self.signature and str(self.signature)}


def pack(document: Document, options: PackOptions, *, ports: SharingPorts, emit: Emit = ignore) -> PackReport:
    """Write a document and its store into one file. Nothing in the store is changed.

    Raises:
        PackError: it was never trained, its base may not be passed on, or a file cannot be packed.
        StoreError: another command is writing to the store.
        SignatureError: it is to be signed and cannot be.
    """
    with unwrapped(), ExitStack() as stack:
        emit = shielded(emit)
        return _pack(document, options, ports, emit, stack)


def default_name(document: Document) -> Path:
    """Give the pack's file of a document: ``notes.dlm`` → ``notes.dlm.pack``."""
    path = document.path or Path(f"{document.dlm_id}.dlm")
    return path.with_name(path.name + SUFFIX)


def _pack(document: Document, options: PackOptions, ports: SharingPorts, emit: Emit, stack: ExitStack) -> PackReport:
    base = _base(document, _trained(document, ports), options, ports, emit) if options.include_base else None
    key = stack.enter_context(ports.signer.unlock(ports.ask)) if options.sign else None
    stack.enter_context(ports.store.writer(document.dlm_id))
    manifest = _trained(document, ports)
    root = ports.store.location(document.dlm_id)
    plan = plan_members(
        _entries(root),
        current=_current(manifest),
        include_exports=options.include_exports,
        include_logs=options.include_logs,
        all_versions=options.all_versions,
    )
    elsewhere = _base_files(base) if base is not None else {}
    if METRICS in plan.members:
        scratch = Path(stack.enter_context(_scratch()))
        ports.metrics.backup(document.dlm_id, scratch / METRICS)
        elsewhere[f"{STORE}{METRICS}"] = scratch / METRICS
    own = (f"{STORE}{member}" for member in plan.members if member not in (MANIFEST, METRICS))
    job = _job(document, manifest, options, _Files(root, own, elsewhere), ports)
    if key is not None:
        job = attrs.evolve(job, provenance=lambda checksums: _provenance(checksums, manifest, key, ports))
    written = ports.packs.write(job, _target(document, options), emit=emit)
    private = private_kinds(plan)
    emit(Note(subject="pack", message=f"it holds {', '.join(private)}"))
    return PackReport(
        path=written.path,
        dlm_id=document.dlm_id,
        sha256=written.sha256,
        size_bytes=written.size_bytes,
        content_type=job.header.content_type,
        private=private,
        left_out=plan.left_out,
        signature=sign_beside(written.path, key, ports) if key is not None else None,
        signer=ports.signer.public_key().name if key is not None else None,
    )


def _trained(document: Document, ports: SharingPorts) -> Manifest:
    """Give the store's manifest; read anew under the writer lock, since a training may have ended meanwhile."""
    manifest = ports.store.manifest(document.dlm_id)
    if manifest is None or not _current(manifest):
        raise PackError(
            "pack.not-trained",
            "this document has not been trained yet, so there is nothing to pack",
            hint=f"Train it first: dlm train {document.path or '<document>'}",
        )
    return manifest


def _base(
    document: Document, manifest: Manifest, options: PackOptions, ports: SharingPorts, emit: Emit
) -> ResolvedBase:
    """Find the base's files, past the gate of its licence."""
    access = open_base(document, manifest, registry=ports.registry, now=ports.clock.now())
    _refuse_unlicensed(access.spec, options.licensee_url)
    return ports.registry.fetch(access.spec, bundled=ports.store.bundled_base(document.dlm_id), emit=emit)


def _refuse_unlicensed(spec: BaseSpec, url: str | None) -> None:
    """A base may travel when its listed licence allows it; whether others do, nobody here knows."""
    is_known_free = spec.redistributable and not spec.key.startswith(("hf:", "path:"))
    if is_known_free:
        return
    if url is None:
        terms = spec.license_url or "its makers' page"
        raise PackError(
            "pack.base-license",
            f"the licence of {spec.key} does not let everybody pass its weights on, as far as is known ({terms})",
            hint="If you may, add --i-am-the-licensee <address of your acceptance>; or leave --include-base out.",
        )
    if not re.fullmatch(r"https://[^\s/]+\.[^\s]+", url):
        raise PackError(
            "pack.licensee-url", f"{url[:80]!r} is not an https:// address", hint="Give the page of your acceptance."
        )


def _entries(root: Path) -> Iterator[str]:
    # Text and no paths: a store may have 100 000 files, and a path takes four times as much memory.
    for folder, _, names in os.walk(root, onerror=_refuse):
        place = Path(folder).relative_to(root).as_posix()
        yield from names if place == "." else (f"{place}/{name}" for name in names)


def _refuse(error: OSError) -> None:
    raise disk_error(error, Path(str(error.filename))) from error


def _current(manifest: Manifest) -> Mapping[str | None, int]:
    named: dict[str | None, int] = dict(manifest.adapter_versions.items())
    return named | ({None: manifest.adapter_version} if manifest.adapter_version else {})


def _base_files(base: ResolvedBase) -> dict[str, Path]:
    """The base's regular files, links resolved, under the digest that the adapter was trained on."""
    folder = f"{STORE}{BUNDLED_BASE}/{base.spec.revision or (base.sha256 or '')[:40]}"
    paths = [path for path in sorted(base.folder.rglob("*")) if path.is_file() and not is_pickle(path.name)]
    return {f"{folder}/{path.relative_to(base.folder).as_posix()}": path.resolve() for path in paths}


def _job(
    document: Document,
    manifest: Manifest,
    options: PackOptions,
    files: Mapping[str, Path],
    ports: SharingPorts,
) -> PackJob:
    name = document.path.name if document.path else f"{document.dlm_id}.dlm"
    launch_scripts = (member for member in files if member.endswith(LAUNCH_SCRIPT) and _may_start(files[member]))
    # Exports that stay here are nothing the other side could use.
    travelling = manifest if options.include_exports else attrs.evolve(manifest, exports=())
    kind = content_type(include_base=options.include_base, include_exports=options.include_exports)
    header = PackHeader(
        created_at=pack_time(options.source_date_epoch, manifest.updated_at),
        tool_version=own_version(),
        content_type=kind,
        platform_hint=ports.platform,
        licensee_acceptance_url=options.licensee_url if options.include_base else None,
        executables=tuple(sorted(launch_scripts)),
    )
    return PackJob(
        header=header,
        dlm_id=document.dlm_id,
        base_model=manifest.base_model,
        base_model_revision=manifest.base_model_revision,
        base_model_sha256=manifest.base_model_sha256,
        adapter_version=manifest.adapter_version,
        texts={
            document_member(name): document.text.encode(),
            STORE_MANIFEST: scrubbed_manifest(manifest_to_json(travelling), MANIFEST).encode(),
        },
        files=files,
    )


def _provenance(checksums: Mapping[str, str], manifest: Manifest, key: UnlockedKey, ports: SharingPorts) -> bytes:
    """Say what is in the pack, and sign that."""
    now = ports.clock.now()
    statement = state(chain_of_pack(checksums, manifest), signed_at=now, key=ports.signer.public_key())
    comment = statement_comment(content_digest(checksums), signed_at=now)
    signature = key.sign_bytes(statement.signed_bytes(), trusted_comment=comment)
    return provenance_to_json(with_signature(statement, signature)).encode()


def sign_beside(pack: Path, key: UnlockedKey, ports: SharingPorts) -> Path:
    """Write the signature of a finished pack beside it; gives its path."""
    sidecar = pack.with_name(pack.name + SIDECAR)
    comment = trusted_comment(int(ports.clock.now().timestamp()), pack.name)
    write_atomic(sidecar, key.sign_file(pack, trusted_comment=comment).encode())
    return sidecar


class _Files(Mapping[str, Path]):
    """Members with their files. A store may have 100 000 of them, so each path is made when it is asked for."""

    def __init__(self, root: Path, own: Iterable[str], elsewhere: Mapping[str, Path]) -> None:
        self._root = root
        self._places: dict[str, Path | None] = {**dict.fromkeys(own), **elsewhere}

    def __getitem__(self, member: str) -> Path:
        place = self._places[member]
        return self._root / member.removeprefix(STORE) if place is None else place

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _target(document: Document, options: PackOptions) -> Path:
    return options.out or default_name(document)


def _scratch() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="dlm-pack-")


def _may_start(path: Path) -> bool:
    return os.access(path, os.X_OK)
