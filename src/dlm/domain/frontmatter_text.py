"""Settings as text: how values are spelled in a header, and the canonical header of new documents."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from dlm.domain.errors import ConfigError
from dlm.domain.frame import FENCE
from dlm.domain.frontmatter import CURRENT_VERSION, Frontmatter, PreferenceConfig
from dlm.domain.settings import knobs
from dlm.domain.values import resolve
from dlm.domain.yaml_text import ScalarNode

_RESERVED = frozenset({"true", "false", "null", "yes", "no", "on", "off", "~"})
_NEEDS_QUOTES = r"""[\s#"':&*!|>?%@`{}\[\],]|^[-=<]"""
_UNPRINTABLE = "[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"


def canonical_frontmatter(frontmatter: Frontmatter) -> str:
    """Give both fences and, between them, every setting that is not a default, in canonical order."""
    return "\n".join([FENCE, *_lines(frontmatter, 0), FENCE]) + "\n"


def _lines(value: Any, indent: int) -> Iterator[str]:
    pad = " " * indent
    for name, item in _written(value):
        if attrs.has(type(item)):
            yield f"{pad}{name}:"
            yield from _lines(item, indent + 2)
        elif isinstance(item, Mapping):
            yield f"{pad}{name}:"
            for key, nested in item.items():
                inner = list(_lines(nested, indent + 4))
                yield f"{pad}  {key}:" + ("" if inner else " {}")
                yield from inner
        elif isinstance(item, tuple) and item and attrs.has(type(item[0])):
            yield f"{pad}{name}:"
            for nested in item:
                first, *rest = _lines(nested, indent + 4)
                yield f"{pad}  - {first.lstrip()}"
                yield from rest
        else:
            yield f"{pad}{name}: {value_text(item, indent=indent + 2)}"


_ALWAYS = frozenset({"dlm_id", "dlm_version", "base_model", "path"})


def _written(value: Any) -> Iterator[tuple[str, Any]]:
    """Give name and value of the fields that canonical text shows."""
    for field, _ in knobs(type(value)):
        current = getattr(value, field.name)
        default = getattr(field.default, "factory", lambda field=field: field.default)()
        explicit_off = isinstance(value, PreferenceConfig) and field.name == "enabled" and current is not None
        if field.name in _ALWAYS or explicit_off or current != default:
            yield field.name, CURRENT_VERSION if field.name == "dlm_version" else current


def value_text(value: Any, *, indent: int | None = None) -> str:
    """Spell a value so that reading it gives it back.

    Args:
        indent: blanks before the lines of a text of several lines; None keeps everything on one line.

    Raises:
        ConfigError: a value that a header cannot hold.
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, str):
        return _text(value, indent)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(str(key), None)}: {value_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(value_text(item) for item in value) + "]"
    raise ConfigError(
        "config.value",
        f"a header cannot hold {value!r}",
        hint="Give text, a number, a truth value, a list or a mapping of these.",
    )


def float_text(value: float) -> str:
    """Give the shortest spelling that reads back as the same number, with the dot that YAML 1.1 wants."""
    shortest = repr(value)
    mantissa, mark, exponent = shortest.partition("e")
    return f"{mantissa}.0e{exponent}" if mark and "." not in mantissa else shortest


def _text(value: str, indent: int | None) -> str:
    if indent is not None and "\n" in value and _fits_block(value):
        return _block(value, indent)
    if re.search(_NEEDS_QUOTES, value) or re.search(_UNPRINTABLE, value) or _loads_otherwise(value):
        return '"' + re.sub(_UNPRINTABLE, _escape, value.replace("\\", "\\\\").replace('"', '\\"')) + '"'
    return value


def _loads_otherwise(value: str) -> bool:
    node = ScalarNode(value=value, plain=True, start=0, end=0, line=1, col=1)
    return value.lower() in _RESERVED or not isinstance(resolve(node), str)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    named = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(match[0])
    return named or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def _fits_block(value: str) -> bool:
    """Tell whether a literal block can hold the value, whatever follows it.

    With several line feeds at the end it would need ``|+``, which also takes in blank lines below it.
    """
    return not (re.search(_UNPRINTABLE, value.replace("\n", "")) or value.endswith("\n\n") or value == "\n")


def _block(value: str, indent: int) -> str:
    """Give a literal block that keeps leading blanks and the line feed at the end, or its absence."""
    body = value.removesuffix("\n")
    explicit = "2" if body[0] in " \n" else ""
    keep = "" if value.endswith("\n") else "-"
    pad = " " * indent
    return "\n".join([f"|{explicit}{keep}", *(pad + line if line else "" for line in body.split("\n"))])
