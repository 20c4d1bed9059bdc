"""The small files at the root of a pack, as text and back."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from dlm.domain.errors import PackError, UsageError
from dlm.domain.json_record import RecordError, in_seconds, parse_object, plain_time, structure
from dlm.domain.manifest import DLM_ID
from dlm.domain.pack import FORMAT_VERSION, HEADER, PackHeader, PackManifest

_LINE = re.compile(r"([0-9a-f]{64})  ([^\n]+)\n")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def header_to_json(header: PackHeader) -> str:
    """Give the text of ``PACK_HEADER.json``: keys in the order of the class, two-space indent, final LF.

    ``executables`` is an addition to the common format and written only when it says something.
    """
    record = {**attrs.asdict(header), "created_at": plain_time(header.created_at)}
    record["executables"] = sorted(header.executables)
    if not header.executables:
        del record["executables"]
    return _ordered(record)


def header_from_json(text: str) -> PackHeader:
    """Read ``PACK_HEADER.json``.

    Raises:
        PackError: ``pack.newer``; ``pack.damaged`` when it is no such header.
    """
    try:
        record = parse_object(text)
        _check_version(record.get("pack_format_version"))
        return structure(PackHeader, record)
    except RecordError as exc:
        raise damaged(HEADER, exc.message) from exc


def manifest_to_json(manifest: PackManifest) -> str:
    """Give the text of a pack's ``manifest.json``: keys in the order of the class, entries sorted by path."""
    entries = {name: manifest.entries[name] for name in sorted(manifest.entries)}
    return _ordered({**attrs.asdict(manifest, recurse=False), "entries": entries})


def manifest_from_json(text: str) -> PackManifest:
    """Read a pack's ``manifest.json``.

    Raises:
        PackError: ``pack.damaged`` when it is no such manifest; ``pack.unsafe`` when its id is none.
    """
    try:
        manifest = structure(PackManifest, parse_object(text))
    except RecordError as exc:
        raise damaged("manifest.json", exc.message) from exc
    if not DLM_ID.fullmatch(manifest.dlm_id):
        raise PackError(
            "pack.unsafe",
            f"the pack is for {manifest.dlm_id[:200]!r}, which is not a document id",
            subject="unpack",
            hint="Ids are used as names of folders, so others are refused. Do not trust where this pack came from.",
        )
    if not _SHA256.fullmatch(manifest.content_sha256):
        raise damaged("manifest.json", "$.content_sha256: expected 64 hexadecimal digits in lower case")
    return manifest


def checksums_text(checksums: Mapping[str, str]) -> str:
    """Give the text of ``CHECKSUMS.sha256``: digest, two blanks, path, LF; sorted by path."""
    text = io.StringIO()
    for path in sorted(checksums):
        text.write(f"{checksums[path]}  {path}\n")
    return text.getvalue()


def checksum_lines(text: str) -> Iterator[tuple[str, str]]:
    """Read ``CHECKSUMS.sha256``: path and digest of each line, one at a time, since there may be 100 000.

    Raises:
        PackError: ``pack.damaged``: a line that is none.
    """
    at = count = 0
    while at < len(text):
        match = _LINE.match(text, at)
        count += 1
        if match is None:
            raise damaged("CHECKSUMS.sha256", f"line {count} is not a digest, two blanks and a path")
        digest, path = match.groups()
        at = match.end()
        yield path, digest


def rollup(checksums: Mapping[str, str]) -> str:
    """Give ``content_sha256``: equal for packs of equal content, whenever and by whatever version they were made."""
    digest = hashlib.sha256()
    for path in sorted(checksums):
        if path != HEADER:
            digest.update(f"{path}\n{checksums[path]}\n".encode())
    return digest.hexdigest()


def pack_time(source_date_epoch: str | None, updated_at: datetime) -> datetime:
    """Give the time to write into a header: the same for the same content, so that equal packs have equal bytes.

    Args:
        source_date_epoch: value of the variable ``SOURCE_DATE_EPOCH``, seconds since 1970; it goes first.
        updated_at: when the store last changed.

    Raises:
        UsageError: the variable holds something else.
    """
    if not source_date_epoch:
        return in_seconds(updated_at)
    try:
        return datetime.fromtimestamp(int(source_date_epoch), UTC)
    except (ValueError, OverflowError, OSError) as exc:
        raise UsageError(
            "usage.source-date-epoch",
            f"SOURCE_DATE_EPOCH is {source_date_epoch[:40]!r}, not a number of seconds since 1970",
            subject="pack",
            hint="Unset it, or give a whole number.",
        ) from exc


def damaged(name: str, why: str) -> PackError:
    """Make the error of a pack that is not what was packed."""
    return PackError(
        "pack.damaged",
        f"{name}: {why}",
        subject="unpack",
        hint="Fetch the pack again; if that does not help, ask its author for a new one.",
    )


def _check_version(version: object) -> None:
    if type(version) is not int or version < FORMAT_VERSION:
        raise RecordError(f"$.pack_format_version: expected {FORMAT_VERSION}, found {version!r}"[:200])
    if version > FORMAT_VERSION:
        raise PackError(
            "pack.newer",
            f"the pack has format {version}, newer than this dlm reads ({FORMAT_VERSION})",
            subject="unpack",
            hint="Get a newer dlm and install it as you installed this one.",
        )


def _ordered(record: Mapping[str, Any]) -> str:
    text = io.StringIO()
    json.dump(record, text, indent=2, ensure_ascii=True, allow_nan=False)
    return text.getvalue() + "\n"
