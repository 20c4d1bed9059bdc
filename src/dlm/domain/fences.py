"""The lines that open a section: ``::instruction::``, ``::prose#name::``, ``::image path="a.png" alt="…"::``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, get_args

import attrs

from dlm.domain.frontmatter import ADAPTER_NAME
from dlm.domain.text import suggestion

SectionType = Literal["prose", "instruction", "preference", "image", "audio"]

TEXT_TYPES: tuple[SectionType, ...] = ("prose", "instruction", "preference")
MEDIA_ATTRIBUTES: Mapping[SectionType, tuple[str, ...]] = {"image": ("path", "alt"), "audio": ("path", "transcript")}
OPTIONAL_ATTRIBUTES = frozenset({("image", "alt")})

_TYPES: tuple[str, ...] = get_args(SectionType)
_BARE = re.compile(r"::([A-Za-z0-9_#-]+)::")
_WITH_ATTRIBUTES = re.compile(r'::([A-Za-z0-9_#-]+)((?: [a-z][a-z0-9_]*="[^"\n]*")+)[ \t]*::')
_ATTRIBUTE = re.compile(r' ([a-z][a-z0-9_]*)="([^"\n]*)"')
_LOOKS_LIKE_MEDIA = re.compile(r"::(image|audio)")
_LOOKS_LIKE_FENCE = re.compile(
    r"::[^\S\n]*(?:[A-Za-z][A-Za-z0-9_#-]*[^\S\n]*::|(?:prose|instruction|preference|image|audio)\b)", re.IGNORECASE
)

_TEXT_HINT = "Sections open with ::prose::, ::instruction:: or ::preference::, optionally with #adapter."
_MEDIA_HINTS = {
    "image": 'Write for example: ::image path="photo.png" alt="what it shows"::',
    "audio": 'Write for example: ::audio path="talk.wav" transcript="the words spoken"::',
}


@attrs.frozen(kw_only=True)
class Fence:
    """A line that opens a section. ``attributes`` are those of media sections."""

    type: SectionType
    adapter: str | None = None
    attributes: Mapping[str, str] = attrs.field(factory=dict)


class FenceError(Exception):
    """A line that means to open a section and cannot. ``col`` counts from 1."""

    def __init__(self, message: str, hint: str, col: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.col = col


_PLAIN: Mapping[str, Fence] = {f"::{name}::": Fence(type=name) for name in TEXT_TYPES}


def read_fence(line: str) -> Fence | None:
    """Give the fence a line is, None when it is content.

    Raises:
        FenceError: the line has the form of a fence, with an unknown type, a bad suffix or bad attributes.
    """
    plain = _PLAIN.get(line)
    if plain:
        return plain
    bare = _BARE.fullmatch(line)
    if bare:
        return _text_fence(bare[1])
    full = _WITH_ATTRIBUTES.fullmatch(line)
    if full:
        return _media_fence(full[1], _ATTRIBUTE.findall(full[2]), full)
    media = _LOOKS_LIKE_MEDIA.match(line)
    if media and line.endswith("::"):
        raise FenceError(f"this line is not a valid {media[1]} section", _MEDIA_HINTS[media[1]])
    return None


def looks_like_fence(line: str) -> bool:
    """Tell whether a content line was probably meant to open a section."""
    return _LOOKS_LIKE_FENCE.match(line.strip()) is not None


def _text_fence(inner: str) -> Fence:
    name, mark, suffix = inner.partition("#")
    kind = next((item for item in _TYPES if item == name), None)
    if kind is None:
        near = suggestion(name.lower(), _TYPES)
        hint = f"Did you mean ::{near}::? " if near in TEXT_TYPES else ""
        raise FenceError(
            f"unknown section type '{inner[:60]}'", hint + _TEXT_HINT + " Indent the line to keep it as text."
        )
    if name in MEDIA_ATTRIBUTES:
        raise FenceError(f"an {name} section needs a path", _MEDIA_HINTS[name])
    if mark and not re.search(ADAPTER_NAME, suffix):
        what = f"'{suffix[:60]}' is not an adapter name" if suffix else "the adapter name after # is missing"
        raise FenceError(
            what, "Use 1 to 32 lower-case letters, digits and underscores, starting with a letter.", len(name) + 4
        )
    return Fence(type=kind, adapter=suffix or None)  # type: ignore[arg-type]  # kind is one of _TYPES


def _media_fence(name: str, pairs: list[tuple[str, str]], line: re.Match[str]) -> Fence:
    kind = next((item for item in MEDIA_ATTRIBUTES if item == name), None)
    if kind is None:
        base = name.partition("#")[0]
        if base in MEDIA_ATTRIBUTES:
            raise FenceError(f"an {base} section takes no #adapter", _MEDIA_HINTS[base], len(base) + 3)
        raise FenceError(f"'{name[:60]}' takes no attributes", _TEXT_HINT, line.start(2) + 2)
    attributes: dict[str, str] = {}
    for key, value in pairs:
        _check_attribute(kind, key, value, attributes, line)
        attributes[key] = value
    missing = [
        key for key in MEDIA_ATTRIBUTES[kind] if key not in attributes and (kind, key) not in OPTIONAL_ATTRIBUTES
    ]
    if missing:
        raise FenceError(f"the {kind} section has no {' and no '.join(missing)}", _MEDIA_HINTS[kind])
    return Fence(type=kind, attributes=attributes)


def _check_attribute(kind: SectionType, key: str, value: str, seen: Mapping[str, str], line: re.Match[str]) -> None:
    col = line[0].rfind(f' {key}="') + 2
    if key in seen:
        raise FenceError(f"'{key}' is written twice", "Keep one of the two.", col)
    if key not in MEDIA_ATTRIBUTES[kind]:
        known = " and ".join(MEDIA_ATTRIBUTES[kind])
        raise FenceError(f"an {kind} section has no attribute '{key}'; it takes {known}", _MEDIA_HINTS[kind], col)
    if not value.strip() and (kind, key) not in OPTIONAL_ATTRIBUTES:
        raise FenceError(f"the {key} of this {kind} section is empty", _MEDIA_HINTS[kind], col)
