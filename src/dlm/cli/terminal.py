"""What a terminal can show, and keeping text from steering it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal, TextIO

Colour = Literal["red", "yellow", "green"]
_ANSI: Mapping[Colour, str] = {"red": "\x1b[31m", "yellow": "\x1b[33m", "green": "\x1b[32m"}
_RESET = "\x1b[0m"

_KEPT = "\n\t"
_STRING_OPENERS = "]PX^_"  # OSC, DCS, SOS, PM, APC: run until BEL or ESC \


def is_terminal(stream: TextIO) -> bool:
    """Say whether ``stream`` is a terminal; a closed stream is none."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def can_show(stream: TextIO, text: str) -> bool:
    """Say whether the character set of ``stream`` has all of ``text``."""
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def is_capable(stream: TextIO) -> bool:
    """Say whether ``stream`` understands escape sequences for bars and colours."""
    if not is_terminal(stream) or os.environ.get("TERM") == "dumb":
        return False
    # The classic Windows console shows escape sequences as garbage; Windows Terminal announces itself.
    return os.name != "nt" or "WT_SESSION" in os.environ


def has_colour(stream: TextIO) -> bool:
    """Say whether to colour text on ``stream``: a capable terminal and no ``NO_COLOR``."""
    return is_capable(stream) and not os.environ.get("NO_COLOR")


def paint(text: str, colour: Colour) -> str:
    """Wrap ``text`` in the colour's escape sequence."""
    return f"{_ANSI[colour]}{text}{_RESET}"


def printable(text: str) -> str:
    """Give ``text`` without anything that steers a terminal; line feeds and tabs stay."""
    return ControlFilter().feed(text)


class ControlFilter:
    """Removes control characters and escape sequences from text that arrives in pieces.

    A model can be trained, or talked, into emitting sequences that move the cursor, rewrite what was printed or fill
    the clipboard. Sequences split across pieces are removed too. A line feed ends an unfinished sequence, so that
    one stray byte cannot swallow an answer.
    """

    def __init__(self) -> None:
        self._state: Literal["text", "escape", "csi", "string", "string-escape"] = "text"

    def feed(self, piece: str) -> str:
        """Give what of ``piece`` may be shown."""
        if self._state == "text" and piece.isprintable():
            return piece
        return "".join(char for char in piece if self._shows(char))

    def _shows(self, char: str) -> bool:
        if char in _KEPT:
            self._state = "text"
            return True
        if self._state == "text":
            return self._begin(char)
        self._advance(char)
        return False

    def _begin(self, char: str) -> bool:
        if char == "\x1b":
            self._state = "escape"
        elif char == "\x9b":
            self._state = "csi"
        elif char in "\x90\x98\x9d\x9e\x9f":
            self._state = "string"
        return not (char < " " or "\x7f" <= char <= "\x9f")

    def _advance(self, char: str) -> None:
        if char == "\x1b":
            self._state = "string-escape" if self._state == "string" else "escape"
        elif self._state == "escape":
            self._state = _after_escape(char)
        elif self._state == "string-escape":
            self._state = "text" if char == "\\" else "string"
        elif self._state == "csi":
            self._state = "text" if "@" <= char <= "~" else "csi"
        elif char in "\x07\x9c":
            self._state = "text"


def _after_escape(char: str) -> Literal["text", "escape", "csi", "string"]:
    if char == "[":
        return "csi"
    if char in _STRING_OPENERS:
        return "string"
    # Two-character sequences may have intermediate characters before the final one.
    return "escape" if " " <= char <= "/" else "text"
