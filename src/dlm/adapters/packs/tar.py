"""Headers of a tar, written one way and read strictly.

Written is what POSIX calls pax: the plain ustar header, and an extended one before it for names and sizes that do not
fit. Read is the same, and nothing beyond it: no links, no devices, no files with holes, no global headers.
"""

from __future__ import annotations

import re
import tarfile

import attrs

from dlm.domain.pack_checks import unsafe
from dlm.domain.pack_records import damaged

BLOCK = 512
RECORD = 20 * BLOCK
"""Tars end on a multiple of this."""
MAX_EXTENDED_BYTES = 1 << 16
_OCTAL_END = 8 << 30
"""The first size that the plain header cannot hold."""

_MAGIC = b"ustar\x0000"
_GNU_MAGIC = b"ustar  \x00"
_OCTAL = re.compile(rb" *([0-7]+)[ \x00]+")
_FILES, _FOLDER, _EXTENDED = (b"0", b"\x00"), b"5", b"x"
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a named pipe",
    b"g": "settings for all members",
    b"S": "a file with holes",
}
_RECORD_START = re.compile(rb"([1-9][0-9]{0,5}) ([A-Za-z.]{1,100})=")


@attrs.frozen(kw_only=True)
class TarMember:
    """One header. ``is_extended``: ``size`` bytes follow that belong to the next one."""

    name: str
    size: int
    is_folder: bool = False
    is_extended: bool = False


def header_bytes(name: str, size: int) -> bytes:
    """Give the header blocks of a file: owned by nobody, of no time, readable by all."""
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def padding(size: int, unit: int = BLOCK) -> bytes:
    """Give the zeros that fill ``size`` bytes up to a multiple of ``unit``."""
    return bytes(-size % unit)


def read_header(block: bytes, extended: dict[str, str]) -> TarMember | None:
    """Read one header block; None for the zeros at the end.

    Args:
        extended: what the extended header before it says.

    Raises:
        PackError: ``pack.damaged`` when it is no header, ``pack.unsafe`` when it is one that no pack needs.
    """
    if not any(block):
        if extended:
            raise damaged("the pack", "it ends behind an extended header")
        return None
    _check_sum(block)
    kind, name = block[156:157], _name(block)
    size = _size(block, name)
    if kind == _EXTENDED:
        if extended or size > MAX_EXTENDED_BYTES:
            raise unsafe("it holds an extended header that is too long, or two in a row")
        return TarMember(name=name, size=size, is_extended=True)
    if kind not in (*_FILES, _FOLDER):
        raise unsafe(f"{name[:200]!r} is {_KINDS.get(kind, 'neither a file nor a folder')}")
    if any(block[157:257]):
        raise unsafe(f"{name[:200]!r} is a file that links to another")
    name = extended.get("path", name)
    if "size" in extended:
        size = _extended_size(extended["size"], size, name)
    if kind == _FOLDER and size:
        raise unsafe(f"{name[:200]!r} is a folder with content of its own")
    return TarMember(name=name.removesuffix("/") if kind == _FOLDER else name, size=size, is_folder=kind == _FOLDER)


def read_extended(data: bytes) -> dict[str, str]:
    """Read the content of an extended header: ``path`` and ``size``, and nothing else.

    Raises:
        PackError: as for ``read_header``.
    """
    found: dict[str, str] = {}
    at = 0
    while at < len(data):
        match = _RECORD_START.match(data, at)
        end = at + int(match[1]) if match else 0
        if match is None or end < match.end() + 1 or data[end - 1 : end] != b"\n":
            raise damaged("the pack", "an extended header cannot be read")
        key = match[2].decode()
        if key not in ("path", "size") or key in found:
            raise unsafe(f"an extended header sets {key}")
        found[key], at = _text(data[match.end() : end - 1]), end
    return found


def _check_sum(block: bytes) -> None:
    blanked = block[:148] + b" " * 8 + block[156:]
    if _octal(block[148:156]) != sum(blanked):
        raise damaged("the pack", "a header inside is damaged")


def _name(block: bytes) -> str:
    magic, prefix = block[257:265], block[345:500].rstrip(b"\x00")
    if magic not in (_MAGIC, _GNU_MAGIC) or (prefix and magic == _GNU_MAGIC):
        raise damaged("the pack", "it holds no tar of a kind that packs are made of")
    name = block[:100].partition(b"\x00")[0]
    return _text(prefix + b"/" + name if prefix else name)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise unsafe(f"the name {data[:200]!r} is not text") from exc


def _size(block: bytes, name: str) -> int:
    size = _octal(block[124:136])
    if size is None:
        raise unsafe(f"the size of {name[:200]!r} is not written in the common way")
    return size


def _octal(field: bytes) -> int | None:
    match = _OCTAL.fullmatch(field)
    return int(match[1], 8) if match else None


def _extended_size(text: str, plain: int, name: str) -> int:
    # A second size that differs would make readers of either one see other members.
    if not re.fullmatch(r"[1-9][0-9]{9,17}", text) or int(text) < _OCTAL_END or plain != 0:
        raise unsafe(f"{name[:200]!r} has two sizes")
    return int(text)
