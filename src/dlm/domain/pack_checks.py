"""What has to be true of a pack as a whole. The writer and the reader ask the same questions."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from dlm.domain.document import Document
from dlm.domain.errors import DocumentError, PackError, StoreError
from dlm.domain.manifest import Manifest, manifest_from_json
from dlm.domain.pack import (
    BASE_WEIGHTS,
    CHECKSUMS,
    DOCUMENTS,
    EXPORTS,
    HEADER,
    MANIFEST,
    MAX_DOCUMENT_BYTES,
    MAX_HEADER_BYTES,
    MAX_MEMBER_BYTES,
    MAX_PROVENANCE_BYTES,
    MAX_TEXT_BYTES,
    PROVENANCE,
    STORE,
    STORE_MANIFEST,
    PackHeader,
    PackManifest,
)
from dlm.domain.pack_adapter import SETTINGS, adapter_settings_problem, are_weights, is_pickle
from dlm.domain.pack_plan import LAUNCH_SCRIPT
from dlm.domain.pack_records import checksum_lines, damaged, rollup
from dlm.domain.store_layout import POINTER, pointed_version

_ADAPTERS = f"{STORE}adapter/"
_ROOT = {
    HEADER: MAX_HEADER_BYTES,
    MANIFEST: MAX_TEXT_BYTES,
    CHECKSUMS: MAX_TEXT_BYTES,
    PROVENANCE: MAX_PROVENANCE_BYTES,
    STORE_MANIFEST: MAX_TEXT_BYTES,
}
_MAX_POINTER_BYTES = 200
_LEAVE_OUT = "Packs get smaller without the base, exports and older versions. If it is not yours, do not trust it."
_DISTRUST = "Do not trust the place the pack came from."


def is_document(name: str) -> bool:
    """Tell whether a member is a document."""
    return name.startswith(DOCUMENTS) and name.endswith(".dlm") and name.count("/") == 1 and name != f"{DOCUMENTS}.dlm"


def text_limit(name: str) -> int | None:
    """Give the most bytes of a member that is read into memory; None for all others."""
    if is_document(name):
        return MAX_DOCUMENT_BYTES
    if name.startswith(_ADAPTERS) and name.endswith(f"/{POINTER}"):
        return _MAX_POINTER_BYTES
    if name.startswith(_ADAPTERS) and name.endswith(f"/{SETTINGS}"):
        return MAX_TEXT_BYTES
    return _ROOT.get(name)


def check_member(name: str, size_bytes: int) -> None:
    """Refuse a member that has no business in a pack, or is too large.

    Raises:
        PackError: ``pack.unsafe``, ``pack.pickle``, ``pack.too-large``.
    """
    if name not in _ROOT and not is_document(name) and not name.startswith(STORE):
        raise unsafe(f"it holds {name!r}, which has no place in a pack")
    if name.startswith(_ADAPTERS) and is_pickle(name) and are_weights(name):
        raise PackError(
            "pack.pickle",
            f"{name} can run code while it is read",
            subject="unpack",
            hint="Ask for a pack with safetensors files: they hold numbers and nothing else.",
        )
    limit = text_limit(name) or MAX_MEMBER_BYTES
    if size_bytes > limit:
        raise too_large(f"{name} has {size_bytes} bytes; the most is {limit}")


def check_complete(names: Collection[str]) -> str:
    """Give the document's member of a pack with these.

    Raises:
        PackError: ``pack.damaged``: a required member is missing, or there is more than one document.
    """
    for name in (HEADER, MANIFEST, CHECKSUMS, STORE_MANIFEST):
        if name not in names:
            raise inconsistent(f"{name} is missing")
    documents = sorted(filter(is_document, names))
    if len(documents) != 1:
        raise inconsistent(f"it holds {len(documents)} documents instead of one")
    return documents[0]


def check_header(header: PackHeader, names: Collection[str]) -> None:
    """Check what a header says about the members.

    Raises:
        PackError: ``pack.inconsistent``, ``pack.unsafe``.
    """
    kind = header.content_type
    for folder, said in ((BASE_WEIGHTS, ("full", "no-exports")), (EXPORTS, ("full", "no-base"))):
        found = next((name for name in names if name.startswith(folder)), None)
        if found is not None and kind not in said:
            raise inconsistent(f"it is said to be {kind}, and holds {found}")
    for name in header.executables:
        if not name.startswith(EXPORTS) or not name.endswith(LAUNCH_SCRIPT) or name not in names:
            raise unsafe(f"{name[:200]!r} is to be made a program; only launch scripts of exports may be")


def check_checksums(text: str, digests: Mapping[str, str]) -> None:
    """Compare ``CHECKSUMS.sha256`` with the digests of what is there, the manifest and itself left out.

    Raises:
        PackError: ``pack.damaged`` for other content, ``pack.inconsistent`` for other names.
    """
    unlisted = set(digests)
    for name, said in checksum_lines(text):
        found = digests.get(name)
        if found is None:
            raise inconsistent(f"{name[:200]!r} has a checksum, and is not there")
        if name not in unlisted:
            raise damaged(CHECKSUMS, f"{name!r} is listed twice")
        unlisted.remove(name)
        if said != found:
            raise damaged(name, f"expected the digest {said}, found {found}")
    if unlisted:
        raise inconsistent(f"{min(unlisted)} has no checksum")


def check_manifest(manifest: PackManifest, digests: Mapping[str, str], sizes: Mapping[str, int]) -> None:
    """Compare the pack's manifest with what is there, itself and the checksums left out.

    Raises:
        PackError: ``pack.inconsistent``.
    """
    for name in sorted(sizes.keys() ^ manifest.entries.keys()):
        if name in sizes:
            raise inconsistent(f"{name} has no size in the manifest")
        raise inconsistent(f"{name[:200]!r} has a size in the manifest, and is not there")
    for name, size in sizes.items():
        if manifest.entries[name] != size:
            raise inconsistent(f"{name} has {size} bytes, and the manifest says {manifest.entries[name]}")
    if manifest.content_sha256 != rollup(digests):
        raise inconsistent("content_sha256 of the manifest is not that of the members")


def check_identity(manifest: PackManifest, document_name: str, document: bytes, store_manifest: str) -> Document:
    """Check that the pack, its document and its store are about the same thing; gives the document.

    Raises:
        PackError: ``pack.bad-document``, ``pack.damaged``, ``pack.inconsistent``.
    """
    try:
        parsed = Document.parse(document, path=document_name)
    except DocumentError as exc:
        raise PackError(
            "pack.bad-document",
            f"the document in the pack has faults:\n{exc.message}",
            subject="unpack",
            hint="Ask the author for a pack with a sound document.",
        ) from exc
    try:
        store = manifest_from_json(store_manifest, STORE_MANIFEST)
    except StoreError as exc:
        raise PackError("pack.damaged", str(exc), subject="unpack", hint=_ASK) from exc
    if {parsed.dlm_id, store.dlm_id} != {manifest.dlm_id}:
        ids = f"{manifest.dlm_id}, its document {parsed.dlm_id}, its store {store.dlm_id}"
        raise inconsistent(f"the pack has the id {ids}")
    _check_base(manifest, parsed, store)
    return parsed


def check_adapters(texts: Mapping[str, bytes], names: Collection[str]) -> None:
    """Check settings of adapters, and that the live versions are there.

    Raises:
        PackError: ``pack.unsafe-adapter``, ``pack.inconsistent``.
    """
    for name, data in texts.items():
        if name.endswith(f"/{SETTINGS}"):
            check_settings(name, data)
        elif name.endswith(f"/{POINTER}"):
            _check_pointer(name, data, names)


def check_settings(name: str, data: bytes) -> None:
    """Refuse settings of an adapter that ask for code or places.

    Raises:
        PackError: ``pack.unsafe-adapter``.
    """
    try:
        problem = adapter_settings_problem(data.decode())
    except UnicodeDecodeError:
        problem = "it is not UTF-8 text"
    if problem:
        hint = "An adapter needs no code and no files of its own. Do not use it unless you know who made it."
        raise PackError("pack.unsafe-adapter", f"{name}: {problem}", subject="unpack", hint=hint)


def unsafe(why: str) -> PackError:
    """Make the error of something that no pack holds by accident."""
    return PackError("pack.unsafe", f"the pack is refused: {why}", subject="unpack", hint=_DISTRUST)


def too_large(why: str) -> PackError:
    """Make the error of a broken limit."""
    return PackError("pack.too-large", f"{why}, so it is refused", subject="unpack", hint=_LEAVE_OUT)


def inconsistent(why: str) -> PackError:
    """Make the error of a contradiction."""
    return PackError("pack.inconsistent", f"the pack contradicts itself: {why}", subject="unpack", hint=_ASK)


_ASK = "Ask its author for a new one."


def _check_base(manifest: PackManifest, document: Document, store: Manifest) -> None:
    if manifest.base_model not in (document.base_model, store.base_model):
        raise inconsistent(f"its base is {manifest.base_model[:200]!r}, that of its document {document.base_model}")
    for key in ("base_model_revision", "base_model_sha256"):
        said, kept = getattr(manifest, key), getattr(store, key)
        if None not in (said, kept) and said != kept:
            raise inconsistent(f"{key} is {said[:200]!r} in the pack and {kept[:200]!r} in its store")
    versions = {store.adapter_version, *store.adapter_versions.values()}
    if manifest.adapter_version not in versions:
        raise inconsistent(f"adapter_version {manifest.adapter_version} is none of its store's")


def _check_pointer(name: str, data: bytes, names: Collection[str]) -> None:
    """Check ``store/adapter/[<name>/]current.txt``."""
    pointer = data.decode(errors="replace").rstrip("\r\n")
    parts = name.split("/")
    adapter = parts[2] if len(parts) == 4 else None
    try:
        version = pointed_version(pointer, adapter) if len(parts) in (3, 4) else None
    except StoreError:
        version = None  # the folder is none of an adapter
    if version is None:
        raise unsafe(f"{name} does not point to a version of its adapter")
    for file in (SETTINGS, "adapter_model.safetensors"):
        if f"{STORE}{pointer}/{file}" not in names:
            raise inconsistent(f"{name} points to {pointer}, and {file} is not there")
