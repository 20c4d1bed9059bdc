"""Questions and answers, prompts with chosen and rejected answers: the grammar inside sections."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import attrs

from dlm.domain.fences import SectionType
from dlm.domain.text import FaultList

QUESTION = ("### Q", "### A")
PREFERENCE = ("### Prompt", "### Chosen", "### Rejected")
PROBE = "### Q !probe"

_HEADERS = {**{word: word for word in (*QUESTION, *PREFERENCE)}, PROBE: QUESTION[0]}
_NEAR = re.compile(r"#{1,6}[^\S\n]*(q|a|question|answer|prompt|chosen|rejected)\b[^\S\n]*:?[^\S\n]*(!?probe)?", re.I)
_WORDS = {"q": "Q", "question": "Q", "a": "A", "answer": "A"}
_LONGEST_NEAR = 40


class Header(NamedTuple):
    """A header line of a section: ``start`` and ``end`` (its line feed) are offsets in the text of the document."""

    word: str
    start: int
    end: int
    line: int
    is_probe: bool = False


def header_word(line: str) -> tuple[str, bool] | None:
    """Give the header a line is, and whether it marks a probe; None for any other line."""
    trimmed = line.strip()
    word = _HEADERS.get(trimmed)
    return None if word is None else (word, trimmed == PROBE)


def near_header(line: str) -> str | None:
    """Give the header a content line was probably meant to be."""
    if len(line) > _LONGEST_NEAR:
        return None
    match = _NEAR.fullmatch(line.strip())
    if not match:
        return None
    word = _WORDS.get(match[1].lower(), match[1].capitalize())
    return PROBE if match[2] and word == "Q" else f"### {word}"


def order_of(section_type: SectionType | None) -> tuple[str, ...]:
    """Give the headers of a section type, in the order in which they repeat; nothing for the other types."""
    return QUESTION if section_type == "instruction" else PREFERENCE if section_type == "preference" else ()


@attrs.frozen
class Extent:
    """Where the content of a section stands: offsets in the text, the line it starts on, and the line of its fence."""

    start: int
    end: int
    line: int
    fence_line: int


def read_groups(
    text: str, extent: Extent, headers: Sequence[Header], order: tuple[str, ...], faults: FaultList
) -> Iterator[tuple[Header, list[str]]]:
    """Give each complete group of trimmed texts with its first header; report everything that is out of place.

    Args:
        headers: all header lines of the section.
        order: the headers of one group.
    """
    _check_lead(text, extent, headers, order, faults)
    ends = [header.start for header in headers[1:]] + [extent.end]
    for first, last in _runs(headers, order):
        group = headers[first:last]
        if not _is_in_order(group, order, faults):
            continue
        texts = [text[headers[i].end + 1 : ends[i]].strip() for i in range(first, last)]
        if all(texts):
            yield group[0], texts
        else:
            empty = group[texts.index("")]
            faults.add("doc.empty-answer", f"there is no text below '{empty.word}'", empty.line, 1, _EMPTY_HINT)


_EMPTY_HINT = "Write the text on the lines below it, or remove the whole group."


def _runs(headers: Sequence[Header], order: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    """Give the index ranges that begin at each opening header; headers before the first one form their own range."""
    size = len(order)
    if [header.word for header in headers] == list(order) * (len(headers) // size):
        return zip(range(0, len(headers), size), range(size, len(headers) + 1, size), strict=True)
    starts = [index for index, header in enumerate(headers) if header.word == order[0]]
    if headers and (not starts or starts[0] > 0):
        starts.insert(0, 0)
    return zip(starts, [*starts[1:], len(headers)], strict=True)


def _is_in_order(group: Sequence[Header], order: tuple[str, ...], faults: FaultList) -> bool:
    if tuple([header.word for header in group]) == order:
        return True
    wrong = next((i for i, header in enumerate(group) if i >= len(order) or header.word != order[i]), None)
    hint = f"The order is: {', '.join(order)}."
    if wrong is None:
        missing = order[len(group)]
        faults.add("doc.dialogue", f"'{group[0].word}' has no '{missing}'", group[0].line, 1, f"Add it below. {hint}")
    elif wrong == 0 or wrong >= len(order):
        faults.add("doc.dialogue", f"'{group[wrong].word}' without '{order[0]}' before it", group[wrong].line, 1, hint)
    else:
        message = f"'{group[wrong].word}' where '{order[wrong]}' is expected"
        faults.add("doc.dialogue", message, group[wrong].line, 1, hint)
    return False


def _check_lead(
    text: str, extent: Extent, headers: Sequence[Header], order: tuple[str, ...], faults: FaultList
) -> None:
    hint = f"Begin with '{order[0]}' on a line of its own; repeat: {', '.join(order)}."
    if not headers:
        what = "question" if order is QUESTION else "preference"
        faults.add(
            "doc.dialogue", f"this section has no '{order[0]}', so it holds no {what}", extent.fence_line, 1, hint
        )
        return
    lead = text[extent.start : headers[0].start]
    if lead.strip():
        line = extent.line + lead.count("\n", 0, len(lead) - len(lead.lstrip()))
        faults.add("doc.dialogue", f"there is text before the first '{order[0]}'", line, 1, hint)
