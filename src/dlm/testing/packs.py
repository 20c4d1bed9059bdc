"""Packs as plain JSON, for small members."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from dlm.domain.errors import PackError
from dlm.domain.events import Emit, Progress
from dlm.domain.pack import (
    CHECKSUMS,
    DOCUMENTS,
    HEADER,
    MANIFEST,
    PROVENANCE,
    STORE,
    STORE_MANIFEST,
    PackContents,
    PackManifest,
)
from dlm.domain.pack_checks import (
    check_adapters,
    check_checksums,
    check_complete,
    check_header,
    check_identity,
    check_manifest,
    check_member,
    text_limit,
    unsafe,
)
from dlm.domain.pack_names import NameSet, member_problem
from dlm.domain.pack_plan import is_dropped
from dlm.domain.pack_records import (
    checksums_text,
    damaged,
    header_from_json,
    header_to_json,
    manifest_from_json,
    manifest_to_json,
    rollup,
)
from dlm.domain.text_files import write_atomic
from dlm.ports.packs import PackJob, WrittenPack


class PlainPacks:
    """Keeps the promises of :class:`dlm.ports.packs.PackPort` for packs that fit into memory.

    The file is one JSON object, path → content in hexadecimal digits. Links and programs are not looked for.
    """

    def write(self, job: PackJob, into: Path, *, emit: Emit) -> WrittenPack:
        members = {**job.texts, **{name: path.read_bytes() for name, path in job.files.items()}}
        members[HEADER] = header_to_json(job.header).encode()
        checksums = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(members.items())}
        if job.provenance is not None:
            members[PROVENANCE] = job.provenance(checksums)
            checksums[PROVENANCE] = hashlib.sha256(members[PROVENANCE]).hexdigest()
        manifest = PackManifest(
            dlm_id=job.dlm_id,
            base_model=job.base_model,
            base_model_revision=job.base_model_revision,
            base_model_sha256=job.base_model_sha256,
            adapter_version=job.adapter_version,
            entries={name: len(members[name]) for name in sorted(members)},
            content_sha256=rollup(checksums),
        )
        members |= {MANIFEST: manifest_to_json(manifest).encode(), CHECKSUMS: checksums_text(checksums).encode()}
        _check_names(members)
        check_complete(members)
        check_header(job.header, members)
        data = json.dumps({name: content.hex() for name, content in sorted(members.items())}).encode()
        write_atomic(into, data)
        emit(Progress(stage="pack", done=len(data), total=len(data), unit="bytes"))
        sha256 = hashlib.sha256(data).hexdigest()
        return WrittenPack(path=into, sha256=sha256, size_bytes=len(data), manifest=manifest, checksums=checksums)

    def check(self, pack: Path, *, emit: Emit) -> PackContents:
        return _contents(_members(pack), pack, emit)

    def extract(self, pack: Path, into: Path, *, emit: Emit) -> PackContents:
        members = _members(pack)
        contents = _contents(members, pack, emit)
        for name, content in members.items():
            path = into / name.removeprefix(STORE)
            if name.startswith(STORE) and is_dropped(name.removeprefix(STORE)) is None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                if name in contents.header.executables:
                    path.chmod(0o755)
        return contents


def _members(pack: Path) -> dict[str, bytes]:
    try:
        members = {name: bytes.fromhex(content) for name, content in json.loads(pack.read_bytes()).items()}
    except OSError as exc:
        raise PackError("pack.unreadable", f"{pack} cannot be read: {exc.strerror}", subject="unpack") from exc
    except (ValueError, AttributeError, TypeError) as exc:
        raise damaged("the file", "it is not a pack") from exc
    _check_names(members)
    return members


def _check_names(members: dict[str, bytes]) -> None:
    names = NameSet()
    for name, content in members.items():
        problem = member_problem(name) or names.problem_of(name)
        if problem:
            raise unsafe(f"the name {name!r}: {problem}")
        check_member(name, len(content))


def _contents(members: dict[str, bytes], pack: Path, emit: Emit) -> PackContents:
    document_name = check_complete(members)
    header = header_from_json(members[HEADER].decode(errors="replace"))
    manifest = manifest_from_json(members[MANIFEST].decode(errors="replace"))
    store_manifest = members[STORE_MANIFEST].decode(errors="replace")
    covered = {name: data for name, data in members.items() if name not in (MANIFEST, CHECKSUMS)}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in covered.items()}
    check_header(header, covered)
    check_checksums(members[CHECKSUMS].decode(errors="replace"), digests)
    check_manifest(manifest, digests, {name: len(data) for name, data in covered.items()})
    check_adapters({name: data for name, data in covered.items() if text_limit(name)}, covered)
    check_identity(manifest, document_name, members[document_name], store_manifest)
    data = pack.read_bytes()
    emit(Progress(stage="check", done=len(data), total=len(data), unit="bytes"))
    reasons = {is_dropped(name.removeprefix(STORE)) for name in covered if name.startswith(STORE)}
    return PackContents(
        header=header,
        manifest=manifest,
        checksums=digests,
        document_name=document_name.removeprefix(DOCUMENTS),
        document=members[document_name].decode(),
        store_manifest=store_manifest,
        provenance=members[PROVENANCE].decode() if PROVENANCE in members else None,
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        notes=tuple(sorted(f"not unpacked: {reason}" for reason in reasons if reason)),
    )
