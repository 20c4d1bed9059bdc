"""``index.json`` of a published gallery: what it offers, and every limit it must keep."""

from __future__ import annotations

import re
from datetime import datetime

import attrs

from dlm.domain.json_record import RecordError, parse_object, structure
from dlm.domain.templates import MAX_FILE_BYTES, TEMPLATE_NAME

MAX_INDEX_BYTES = 1 << 20
MAX_SIGNATURE_BYTES = 8 << 10
MAX_TEMPLATES = 500
MAX_TOTAL_BYTES = 32 << 20
"""Together these keep a hostile or broken gallery from filling a disk; an honest one is a hundred times smaller."""

# One plain file name beside the index: no folders, no drive letters, no dot files, nothing to escape in an address.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"\d{1,6}(\.\d{1,6}){0,3}")


def _plain(_: object, __: attrs.Attribute[str], value: str) -> None:
    if not _PLAIN_NAME.fullmatch(value) or ".." in value:
        raise ValueError(f"path must be a plain file name, found {value!r}")


def _digest(_: object, __: attrs.Attribute[str], value: str) -> None:
    if not _SHA256.fullmatch(value):
        raise ValueError("sha256 must be 64 lower-case hex digits")


def _file_size(_: object, __: attrs.Attribute[int], value: int) -> None:
    if not 1 <= value <= MAX_FILE_BYTES:
        raise ValueError(f"size must be from 1 to {MAX_FILE_BYTES} bytes, found {value}")


def _template_name(_: object, __: attrs.Attribute[str], value: str) -> None:
    if not TEMPLATE_NAME.fullmatch(value):
        raise ValueError(f"name must be lower-case letters, digits and hyphens, found {value!r}")


def _version(_: object, __: attrs.Attribute[str], value: str) -> None:
    if not _VERSION.fullmatch(value):
        raise ValueError(f"min_dlm_version must look like 1.2.3, found {value!r}")


def _not_negative(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if value < 0:
        raise ValueError(f"{attribute.name} must be 0 or more, found {value}")


@attrs.frozen(kw_only=True)
class IndexFile:
    """One file beside the index."""

    path: str = attrs.field(validator=_plain)
    sha256: str = attrs.field(validator=_digest)
    size: int = attrs.field(validator=_file_size)


@attrs.frozen(kw_only=True)
class IndexEntry:
    """One template: its document, its description, and the oldest dlm that can use it."""

    name: str = attrs.field(validator=_template_name)
    min_dlm_version: str = attrs.field(validator=_version)
    dlm: IndexFile
    meta: IndexFile


@attrs.frozen(kw_only=True)
class Index:
    """A published gallery. ``serial`` grows with each publication."""

    schema: int
    serial: int = attrs.field(validator=_not_negative)
    generated_at: datetime
    expires_at: datetime
    templates: tuple[IndexEntry, ...]


def parse_index(data: bytes) -> Index:
    """Read ``index.json`` and check its limits.

    Raises:
        RecordError: not such an index, or one beyond the limits.
    """
    try:
        record = parse_object(data.decode("utf-8"))
    except UnicodeDecodeError as exc:
        raise RecordError("not UTF-8 text") from exc
    if record.get("schema") != 1 or isinstance(record["schema"], bool):
        raise RecordError(f"$.schema: this dlm reads gallery format 1, found {record.get('schema')!r}")
    index = structure(Index, record)
    _check_limits(index)
    return index


def _check_limits(index: Index) -> None:
    if len(index.templates) > MAX_TEMPLATES:
        raise RecordError(f"$.templates: {len(index.templates)} templates; at most {MAX_TEMPLATES} are allowed")
    names = [entry.name for entry in index.templates]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise RecordError(f"$.templates: the name {repeated} appears twice")
    total = sum(entry.dlm.size + entry.meta.size for entry in index.templates)
    if total > MAX_TOTAL_BYTES:
        raise RecordError(f"$.templates: {total} bytes in all; at most {MAX_TOTAL_BYTES} are allowed")


def needs_newer(entry: IndexEntry, dlm_version: str) -> bool:
    """Tell whether ``entry`` asks for a newer dlm. Suffixes such as ``.dev1`` or ``+local`` of ours do not count."""
    return _numbers(entry.min_dlm_version) > _numbers(dlm_version)


def _numbers(version: str) -> tuple[int, ...]:
    match = _VERSION.match(version)
    parts = [int(part) for part in match.group().split(".")] if match else []
    return tuple([*parts, 0, 0, 0, 0][:4])
