"""Which names may stand in a pack: those that mean the same file on every system, and no file outside."""

from __future__ import annotations

import re
import unicodedata

from dlm.domain.pack import DOCUMENTS

MAX_NAME_BYTES = 1024
MAX_PART_BYTES = 255
"""What common file systems allow one name."""
MAX_DEPTH = 32
MAX_FOLDERS = 10_000
MAX_NAMES_BYTES = 16 << 20
"""Of all names together, so that they fit into memory."""

_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])[ ]*(\..*)?", re.IGNORECASE | re.DOTALL)
"""Devices on Windows, whatever follows the first dot."""

_LONGEST_STEM = 200

_TURNS_TEXT = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They reverse what follows on the screen, so that a name looks like another."""


def member_problem(name: str) -> str | None:
    """Tell why ``name`` may not stand in a pack; None when it may. It is a relative path with ``/``."""
    return _problem_of_text(name) or next(filter(None, map(_problem_of_part, name.split("/"))), None)


def _problem_of_text(name: str) -> str | None:
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "it is not valid text"
    if size > MAX_NAME_BYTES:
        return f"it is longer than {MAX_NAME_BYTES} bytes"
    if name.startswith("/"):
        return "it begins at the root of the disk"
    if "\\" in name or ":" in name:
        return "it holds a backslash or colon, which mean other folders and disks on Windows"
    if any(char in _TURNS_TEXT or unicodedata.category(char) in ("Cc", "Zl", "Zp") for char in name):
        return "it holds characters that cannot be seen"
    if unicodedata.normalize("NFC", name) != name:
        return "its letters are not in the composed form (NFC)"
    if name.count("/") >= MAX_DEPTH:
        return f"it is more than {MAX_DEPTH} folders deep"
    return None


def _problem_of_part(part: str) -> str | None:
    if part in ("", ".", ".."):
        return "it has an empty part, '.' or '..'"
    if len(part.encode()) > MAX_PART_BYTES:
        return f"a part of it is longer than {MAX_PART_BYTES} bytes"
    if part[-1] in ". ":
        return "a part of it ends with a dot or blank, which Windows drops"
    if _RESERVED.fullmatch(part):
        return "a part of it names a device on Windows"
    return None


def document_member(file_name: str) -> str:
    """Give the member for a document of this file name: ``dlm/<name>.dlm``, what cannot stand there replaced."""
    stem = unicodedata.normalize("NFC", file_name.removesuffix(".dlm"))
    kept = "".join("_" if char == "/" or _problem_of_text(char) else char for char in stem)
    while len(kept.encode()) > _LONGEST_STEM:
        kept = kept[:-1]
    name = f"{kept.rstrip('. ')}.dlm"
    return DOCUMENTS + ("document.dlm" if name == ".dlm" or _problem_of_part(name) else name)


class NameSet:
    """The names seen so far. On some systems ``A`` and ``a`` are one file, and packs have to unfold alike on all."""

    def __init__(self) -> None:
        self._spellings: dict[str, str] = {}
        self._folders: set[str] = set()
        self._bytes = 0

    def problem_of(self, name: str, *, is_folder: bool = False) -> str | None:
        """Add ``name``, one without problems of its own, and tell why it cannot stand beside the others."""
        self._bytes += len(name.encode())
        if self._bytes > MAX_NAMES_BYTES:
            return "all names together are too long"
        parts = name.split("/")
        folders = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
        problems = (self._place(folder, is_folder=True) for folder in folders)
        return next(filter(None, problems), None) or self._place(name, is_folder=is_folder)

    def _place(self, name: str, *, is_folder: bool) -> str | None:
        key = unicodedata.normalize("NFC", name.casefold())
        known = self._spellings.get(key)
        if known is not None and known != name:
            return f"it differs from {known!r} by capital letters only"
        if known is not None:
            return None if is_folder and key in self._folders else "it is there twice"
        self._spellings[key] = name
        if is_folder:
            self._folders.add(key)
        return f"there are more than {MAX_FOLDERS} folders" if len(self._folders) > MAX_FOLDERS else None
