"""Text as it has to be written in Go: in a template, in a string, and what of it survives a Modelfile."""

from __future__ import annotations

import unicodedata


def is_printable(sign: str) -> bool:
    """Whether Go counts a sign as one that is printed: letters, marks, numbers, punctuation, symbols and the blank.

    Ollama drops every other sign of a Modelfile but line ends and tabs. Source: ``strconv.IsPrint``.
    """
    return sign == " " or unicodedata.category(sign)[0] in "LMNPS"


def go_string(text: str) -> str:
    """Give a Go string constant of printable ASCII."""
    return '"' + "".join(map(_escaped, text)) + '"'


def go_literal(text: str) -> str:
    """Give the part of a Go template that writes ``text`` as it is, and that a Modelfile carries unharmed."""
    written = "".join(
        sign if sign != "{" and (is_printable(sign) or sign in "\n\t") else f"{{{{ {go_string(sign)} }}}}"
        for sign in text
    )
    return written.replace('""', f'"{{{{ {go_string(chr(34))} }}}}')


def _escaped(sign: str) -> str:
    named = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    if sign in named:
        return named[sign]
    code = ord(sign)
    if 0x20 <= code < 0x7F:
        return sign
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
