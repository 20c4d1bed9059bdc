"""Packs: one file that holds a trained document, as values. Format 1.

A pack is a zstd stream around a tar. Its members, sorted by name::

    CHECKSUMS.sha256    a line for every member but itself and manifest.json
    PACK_HEADER.json    format, time, tool, what is inside
    dlm/<name>.dlm      the document
    manifest.json       id, base, adapter version, sizes, rollup of all digests
    provenance.json     who signed, and what; optional
    store/…             the document's store
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import attrs

FORMAT_VERSION = 1
HEADER, MANIFEST, CHECKSUMS, PROVENANCE = "PACK_HEADER.json", "manifest.json", "CHECKSUMS.sha256", "provenance.json"
DOCUMENTS, STORE = "dlm/", "store/"
STORE_MANIFEST = "store/manifest.json"
BASE_WEIGHTS = "store/cache/base/"
"""Where the files of the base lie in packs that bring it along: one folder, named by its revision."""
EXPORTS = "store/exports/"

MAX_WINDOW_LOG = 29
"""The largest window a pack may ask for, 512 MiB. Ours ask for 4 MiB at most."""
MAX_MEMBER_BYTES = 16 << 30
MAX_TOTAL_BYTES = 64 << 30
MAX_MEMBERS = 100_000
MAX_RATIO = 200
"""Bytes unfolded from one byte of the file, from ``RATIO_FROM_BYTES`` on. Trained weights come to 1.3, text to 10."""
RATIO_FROM_BYTES = 1 << 30
MAX_DOCUMENT_BYTES = 64 << 20
MAX_TEXT_BYTES = 16 << 20
"""Of each other member that is read into memory: checksums, manifests, adapter settings."""
MAX_PROVENANCE_BYTES = 64 << 10
MAX_HEADER_BYTES = 256 << 10

ContentType = Literal["full", "no-exports", "no-base", "minimal"]


@attrs.frozen(kw_only=True)
class PackHeader:
    """``PACK_HEADER.json``.

    Args:
        content_type: ``full`` with base and exports, ``no-exports`` with the base only, ``no-base`` with exports only,
            ``minimal`` with neither.
        platform_hint: where it was made, ``linux`` for example.
        licensee_acceptance_url: where the base's licence was accepted, for bases that may not be passed on freely.
        executables: members that may be started once they are unpacked: launch scripts of exports.
    """

    pack_format_version: int = FORMAT_VERSION
    created_at: datetime
    tool_version: str
    content_type: ContentType
    platform_hint: str
    licensee_acceptance_url: str | None = None
    executables: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class PackManifest:
    """``manifest.json`` of a pack.

    Args:
        entries: size in bytes of every member that has a checksum.
        content_sha256: rollup: over ``path LF digest LF`` of every member with a checksum, in order, but the header.
    """

    dlm_id: str
    base_model: str
    base_model_revision: str | None
    base_model_sha256: str | None
    adapter_version: int
    entries: Mapping[str, int]
    content_sha256: str


@attrs.frozen(kw_only=True)
class PackContents:
    """What a pack holds, all of it checked.

    Args:
        checksums: lower-case hex digest of every member but ``manifest.json`` and ``CHECKSUMS.sha256``.
        document: text of the document; ``document_name`` is its file's name.
        store_manifest: text of the store's ``manifest.json``.
        provenance: text of ``provenance.json``; None when nobody signed.
        sha256: of the pack's file.
        notes: what was left out while unpacking, in words.
    """

    header: PackHeader
    manifest: PackManifest
    checksums: Mapping[str, str]
    document_name: str
    document: str
    store_manifest: str
    provenance: str | None = None
    sha256: str
    size_bytes: int
    notes: tuple[str, ...] = ()
