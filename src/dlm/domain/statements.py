"""Sentences of prose, one by one, each with what it leans on."""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

MIN_WORDS, MAX_WORDS = 4, 60
"""Words of a sentence that can be asked about: a shorter one says nothing, a longer one is a list or a table."""

_END = re.compile(r"[.!?…][\"'”’)\]]*\s+(?=[\"'“‘(\[]?[A-ZÄÖÜÉÀÈÊÇÑÁÍÓÚ0-9`])")
_SHORT_FORM = re.compile(
    r"\b(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|No|Nr|etc|e\.g|i\.e|cf|vs|z\.B|approx|Jan|Feb|Aug|Sept|Oct|Nov|Dec)\.$"
)
_HEADING = re.compile(r"\s*#{1,6}\s+(.*?)\s*#*$")
_ITEM = re.compile(r"^\s*(?:[-*+>]|\d+[.)])\s+")
_EMPHASIS = re.compile(r"\*{1,3}|(?<!\w)_{1,3}|_{1,3}(?!\w)|`")


@attrs.frozen
class Statement:
    """One sentence, the heading it stands under and the sentence before it; both are empty when there is none."""

    text: str
    heading: str = ""
    before: str = ""


def statements(text: str) -> Iterator[Statement]:
    """Give the sentences of a prose section in order. Code blocks, tables and crumbs are left out."""
    heading, before = "", ""
    for block in _blocks(text):
        match = _HEADING.match(block)
        if match:
            heading, before = match.group(1), ""
            continue
        for sentence in _sentences(block):
            if MIN_WORDS <= len(sentence.split()) <= MAX_WORDS:
                yield Statement(sentence, heading, before)
            before = sentence


def _blocks(text: str) -> Iterator[str]:
    """Give headings, list items and paragraphs, each on one line and without marks of emphasis."""
    lines: list[str] = []
    is_code = False
    for line in text.splitlines():
        if line.lstrip().startswith(("```", "~~~")):
            is_code = not is_code
            continue
        if is_code or line.lstrip().startswith("|"):
            continue
        if lines and (not line.strip() or _HEADING.match(line) or _ITEM.match(line)):
            yield " ".join(lines)
            lines = []
        if _HEADING.match(line):
            yield line
        elif line.strip():
            lines.append(_EMPHASIS.sub("", _ITEM.sub("", line, count=1)).strip())
    if lines:
        yield " ".join(lines)


def _sentences(paragraph: str) -> Iterator[str]:
    start = 0
    for match in _END.finditer(paragraph):
        if _SHORT_FORM.search(paragraph[start : match.start() + 1]):
            continue
        yield paragraph[start : match.end()].strip()
        start = match.end()
    if rest := paragraph[start:].strip():
        yield rest
