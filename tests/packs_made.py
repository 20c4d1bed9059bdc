"""Packs made by hand, honest and otherwise."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dlm.adapters.packs.unfolding import zstd
from dlm.domain.pack_records import checksums_text, rollup
from dlm.testing.packs_contract import store_texts
from dlm.testing.store_contract import ID

HEADER = {
    "pack_format_version": 1,
    "created_at": "2026-04-23T18:42:11",
    "tool_version": "0.9.0",
    "content_type": "minimal",
    "platform_hint": "linux-cuda",
    "licensee_acceptance_url": None,
}
MANIFEST = {
    "dlm_id": ID,
    "base_model": "smollm2-135m",
    "base_model_revision": None,
    "base_model_sha256": None,
    "adapter_version": 1,
}
ROOT = ("PACK_HEADER.json", "manifest.json", "CHECKSUMS.sha256")


def honest(members: dict[str, bytes] | None = None, *, header: dict[str, Any] | None = None) -> dict[str, bytes]:
    """Give all members of a pack that says the truth about ``members``, those of a small store unless given."""
    found = dict(store_texts() if members is None else members)
    found["PACK_HEADER.json"] = json.dumps(HEADER | (header or {}), indent=2).encode()
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}
    entries = {name: len(found[name]) for name in sorted(found)}
    manifest = MANIFEST | {"entries": entries, "content_sha256": rollup(digests)}
    found["manifest.json"] = json.dumps(manifest, indent=2).encode()
    found["CHECKSUMS.sha256"] = checksums_text(digests).encode()
    return found


def changed_manifest(members: dict[str, bytes], **changes: Any) -> dict[str, bytes]:
    """Give the members with other words in the pack's manifest."""
    manifest = json.loads(members["manifest.json"]) | changes
    return members | {"manifest.json": json.dumps(manifest, indent=2).encode()}


def member(name: str, data: bytes = b"", **fields: Any) -> bytes:
    """Give one member of a tar; ``fields`` are those of ``tarfile.TarInfo``."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape") + padded(data)


def padded(data: bytes) -> bytes:
    """Give ``data`` filled up with zeros to whole blocks."""
    return data + bytes(-len(data) % 512)


def with_sum(header: bytes) -> bytes:
    """Give a header block with the checksum that it has to have."""
    blanked = header[:148] + b" " * 8 + header[156:]
    return blanked[:148] + b"%06o\0 " % sum(blanked) + blanked[156:]


def tar_of(members: dict[str, bytes], extra: Iterable[bytes] = ()) -> bytes:
    """Give a tar of the members, sorted, with raw ones at its end."""
    return b"".join([*(member(name, data) for name, data in sorted(members.items())), *extra]) + bytes(1024)


def folded(tar: bytes) -> bytes:
    """Give one zstd frame, with checksum."""
    parameter = zstd().CompressionParameter
    result: bytes = zstd().compress(tar, options={parameter.compression_level: 1, parameter.checksum_flag: 1})
    return result


def pack_at(path: Path, members: dict[str, bytes], extra: Iterable[bytes] = ()) -> Path:
    """Write a pack of exactly these members."""
    path.write_bytes(folded(tar_of(members, extra)))
    return path


def reference_pack(path: Path, members: dict[str, bytes], *, level: int = 10) -> Path:
    """Write a pack as other programs of format 1 do: with folders, without checksum, filled up to 10 KiB."""
    stream = io.BytesIO()
    folders = {"/".join(name.split("/")[:depth]) for name in members for depth in range(1, name.count("/") + 1)}
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted({*members, *folders}):
            info = tarfile.TarInfo(name)
            info.mode, info.size = 0o644, len(members.get(name, b""))
            if name in folders:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info, io.BytesIO(members.get(name, b"")))
    path.write_bytes(zstd().compress(stream.getvalue(), level=level))
    return path
