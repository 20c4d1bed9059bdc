"""How minisign writes its files: comment lines and lines of base64. Read strictly: one spelling for one meaning."""

from __future__ import annotations

import base64
import binascii
import unicodedata

from dlm.domain.errors import SignatureError

UNTRUSTED = "untrusted comment: "
TRUSTED = "trusted comment: "

# The longest comments the format knows.
MAX_UNTRUSTED_BYTES = 1024
MAX_TRUSTED_BYTES = 8192


def read_lines(data: bytes, count: int) -> list[str]:
    """Give the ``count`` lines of a file, with the line ends of any system. Raises ``ValueError``."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ValueError("it is not UTF-8 text") from exc
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    if len(lines) != count:
        raise ValueError(f"it has {len(lines)} lines instead of {count}")
    return lines


def read_comment(line: str, prefix: str, limit: int) -> str:
    """Give what follows ``prefix``, at most ``limit`` bytes. Raises ``ValueError``."""
    text = line.removeprefix(prefix)
    if text == line:
        raise ValueError(f"a line does not begin with '{prefix.strip()}'")
    if len(text.encode()) > limit or not _is_one_line(text):
        raise ValueError(f"the text after '{prefix.strip()}' is too long or not printable")
    return text


def read_base64(line: str, size: int) -> bytes:
    """Give the ``size`` bytes a line stands for. Raises ``ValueError``."""
    try:
        raw = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ValueError("a line is not base64") from exc
    # A second spelling of the same bytes would let a signature file change without anybody noticing.
    if len(raw) != size or base64.b64encode(raw).decode() != line:
        raise ValueError(f"a line does not hold {size} bytes of base64")
    return raw


def comment_line(prefix: str, text: str) -> str:
    """Give a comment line that the minisign program reads back.

    Raises:
        SignatureError: ``sign.comment``: too long, more than one line, or with control characters.
    """
    # The program reads a line with prefix, line end and a closing NUL into a buffer of the format's size.
    room = (MAX_TRUSTED_BYTES if prefix == TRUSTED else MAX_UNTRUSTED_BYTES) - len(prefix) - 2
    if len(text.encode("utf-8", "replace")) > room or not _is_one_line(text):
        raise SignatureError(
            "sign.comment",
            f"a comment is one line of at most {room} bytes without control characters, not {text[:60]!r}",
            subject="sign",
            hint="Choose a shorter or plainer comment.",
        )
    return f"{prefix}{text}\n"


def base64_line(*parts: bytes) -> str:
    """Give the line of base64 that stands for ``parts`` in a row."""
    return base64.b64encode(b"".join(parts)).decode() + "\n"


def in_one_line(text: str) -> str:
    """Give ``text`` with a question mark for every character that a comment cannot hold, the tab included."""
    return "".join(char if char != "\t" and _is_one_line(char) else "?" for char in text)


def _is_one_line(text: str) -> bool:
    # The spaces of other scripts count as not printable, and stand in file names all the same.
    return all(char.isprintable() or char == "\t" or unicodedata.category(char) == "Zs" for char in text)
