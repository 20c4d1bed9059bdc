"""From bytes on disk to the text of a document: size, encoding, newlines, positions."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

from dlm.domain.errors import DocumentError, Fault

MAX_DOCUMENT_BYTES = 512 * 2**20
"""Largest document read, 512 MiB: a book of 1000 pages is about 3 MiB, and parsing holds the text a few times over."""

MAX_FAULTS = 1000
"""Faults listed in one report; the rest are counted. Nobody reads further, and a broken 100 MB file stays cheap."""

_SURROGATE = "[\ud800-\udfff]"


class FaultList:
    """Collects the faults of one kind (errors or warnings) of one document."""

    __slots__ = ("_dropped", "_faults")

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._dropped = 0

    def __bool__(self) -> bool:
        return bool(self._faults)

    def add(
        self, code: str, message: str, line: int | None = None, col: int | None = None, hint: str | None = None
    ) -> None:
        """Note one fault; from ``MAX_FAULTS`` on it is only counted."""
        if len(self._faults) < MAX_FAULTS:
            self._faults.append(Fault(code, message, line, col, hint))
        else:
            self._dropped += 1

    def in_file_order(self) -> tuple[Fault, ...]:
        """Give the faults sorted by place, those without one first, and a last one that counts what was left out."""
        faults = sorted(self._faults, key=lambda fault: (fault.line or 0, fault.col or 0))
        if self._dropped:
            faults.append(
                Fault(
                    "doc.too-many-faults",
                    f"{self._dropped} more problems are not listed",
                    hint="Correct the first ones; many of the others often have the same cause.",
                )
            )
        return tuple(faults)


@attrs.frozen
class DecodedText:
    """The text of a document: line feeds only, no byte order mark."""

    text: str
    warnings: tuple[Fault, ...] = ()


def read_document_bytes(path: Path, limit: int = MAX_DOCUMENT_BYTES) -> bytes:
    """Give the bytes of a regular file of at most ``limit`` bytes; a larger one is refused before it is read.

    Raises:
        DocumentError: missing, not a regular file, unreadable or too large.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise _refusal(path, "doc.not-a-file", "not a regular file", "Give the path of a .dlm text file.")
        if status.st_size > limit:
            raise _too_large(path, status.st_size, limit)
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError as exc:
        raise _refusal(
            path, "doc.missing", "there is no such file", f"Check the path, or make one with: dlm init {path}"
        ) from exc
    except (OSError, ValueError) as exc:  # ValueError: a NUL character in the path
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        raise _refusal(path, "doc.unreadable", f"cannot be read: {reason}", "Check the path and its rights.") from exc
    if len(data) > limit:
        raise _too_large(path, len(data), limit)
    return data


def decode_document(data: bytes | str, *, path: str | None = None) -> DecodedText:
    """Turn bytes into the text that all positions and ids refer to.

    Strict UTF-8; one leading byte order mark is dropped with a warning; ``CRLF`` and lone ``CR`` become ``LF``.

    Raises:
        DocumentError: not UTF-8, or it holds a NUL character or half of a surrogate pair.
    """
    text = _decode(data, path) if isinstance(data, bytes) else data
    warnings: tuple[Fault, ...] = ()
    if text.startswith("\ufeff"):
        text = text[1:]
        warnings = (_BOM,)
    text = with_line_feeds(text)
    faults = _character_faults(text)
    if faults:
        raise DocumentError(faults, path=path)
    return DecodedText(text, warnings)


def with_line_feeds(text: str) -> str:
    """Give the text with ``CRLF``, then any lone ``CR``, turned into ``LF``."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Give the place of a character; both count from 1, columns in characters."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """Give the known word that was probably meant, or None."""
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.7)
    return close[0] if close else None


_BOM = Fault(
    "doc.bom",
    "the file starts with a byte order mark, which was ignored",
    1,
    1,
    "Save the file as 'UTF-8 without BOM' to silence this.",
)


def _decode(data: bytes, path: str | None) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        col = len(data[data.rfind(b"\n", 0, exc.start) + 1 : exc.start].decode("utf-8")) + 1
        fault = Fault(
            "doc.not-utf8",
            f"byte {exc.start} (0x{data[exc.start]:02x}) is not valid UTF-8",
            line,
            col,
            "Save the file with the encoding UTF-8.",
        )
        raise DocumentError([fault], path=path) from exc


def _character_faults(text: str) -> tuple[Fault, ...]:
    return tuple(_first_bad_characters(text))


def _first_bad_characters(text: str) -> Iterator[Fault]:
    nul = text.find("\0")
    if nul >= 0:
        yield Fault(
            "doc.nul",
            f"{text.count(chr(0))} NUL characters, the first one here: this does not look like a text file",
            *line_and_column(text, nul),
            "Remove them, or check that this is the right file.",
        )
    if text.isascii():
        return
    lone = re.search(_SURROGATE, text)
    if lone:
        yield Fault(
            "doc.not-utf8",
            f"U+{ord(lone[0]):04X} is half of a character and cannot be written as UTF-8",
            *line_and_column(text, lone.start()),
            "Remove it; it often comes from text decoded with errors='surrogateescape'.",
        )


def _refusal(path: Path, code: str, message: str, hint: str) -> DocumentError:
    return DocumentError([Fault(code, message, hint=hint)], path=str(path))


def _too_large(path: Path, size: int, limit: int) -> DocumentError:
    message = f"the document has {size} bytes; at most {limit} are read"
    return _refusal(path, "doc.too-large", message, "Split it into several documents.")
