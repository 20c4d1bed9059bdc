"""The body of a document: from text to sections, in one pass over the few lines that can mean something.

A regular expression finds the lines that begin like a fence, a code block, a header or a provenance mark; everything
between them is content and is never looked at line by line.
"""

from __future__ import annotations

import re
from typing import Any

import attrs

from dlm.domain.dialogue import QUESTION, Extent, Header, header_word, near_header, order_of, read_groups
from dlm.domain.errors import Fault
from dlm.domain.fences import Fence, FenceError, SectionType, looks_like_fence, read_fence
from dlm.domain.markers import MARK_PREFIX, MarkError, read_mark
from dlm.domain.sections import Pair, Section, Triple
from dlm.domain.text import FaultList

_CANDIDATE = re.compile(
    r"""\n(?=[\s:\#`~<])              # the rest is tried only where one of these begins a line
    (?:[^\S\n]*(?:(?P<fence>::)|(?P<header>\#{1,6}[^\S\n]*[QqAaPpCcRr]))
    |[ ]{0,3}(?P<code>`{3,}|~{3,})  # CommonMark: up to three blanks, then three or more of one kind
    |(?P<mark><!--[ ]dlm-auto-))""",
    re.VERBOSE,
)
"""Matches from the line feed before a line that may mean something."""


@attrs.frozen
class Body:
    """The sections of a body and what was found wrong or odd in it."""

    sections: tuple[Section, ...]
    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]


def scan_body(text: str, start: int = 0, first_line: int = 1, faults: FaultList | None = None) -> Body:
    """Divide ``text[start:]`` into sections.

    One line feed at its start and one at its end belong to the framing, not to the content.

    Args:
        start: just after a line feed; or 0, and then ``text`` begins with one.
        first_line: line number of the character at ``start``.
        faults: takes up the faults found, beside those of other parts; a list of its own when left out.
    """
    return _Scan(text, start, first_line, FaultList() if faults is None else faults).run()


@attrs.define
class _Open:
    """The section being scanned. ``type`` is None below a fence that could not be read."""

    type: SectionType | None
    fence: Fence | None
    start: int
    line: int
    content: int
    content_line: int
    order: tuple[str, ...]
    fields: dict[str, Any] = attrs.field(factory=dict)
    headers: list[Header] = attrs.field(factory=list)
    warned: bool = False


@attrs.frozen
class _Code:
    """The open code block."""

    mark: str
    line: int


class _Scan:
    def __init__(self, text: str, start: int, first_line: int, faults: FaultList) -> None:
        lead = 1 if text.startswith("\n", start) else 0
        self._text = text
        self._begin = start + lead
        self._end = max(self._begin, len(text) - 1 if text.endswith("\n") else len(text))
        self._line = first_line + lead
        self._counted = self._begin
        self._faults = faults
        self._warnings = FaultList()
        self._sections: list[Section] = []
        self._code: _Code | None = None
        self._open = _Open("prose", None, self._begin, self._line, self._begin, self._line, ())

    def run(self) -> Body:
        text, end = self._text, self._end
        for match in _CANDIDATE.finditer(text, self._begin - 1, end):
            kind = match.lastgroup
            if self._code is not None and kind != "code":
                continue
            start = match.start() + 1
            self._line += text.count("\n", self._counted, start)
            self._counted = start
            stop = text.find("\n", start, end)
            stop = end if stop < 0 else stop
            if kind == "header":
                self._read_header(text[start:stop], start, stop)
            elif kind == "fence":
                self._read_fence(text[start:stop], start, stop)
            elif kind == "code":
                self._toggle_code(match["code"], text[match.end() : stop])
            else:
                self._read_mark(text[start:stop], start, stop)
        if self._code is not None:
            self._report_open_code(self._code)
        self._close(len(text), end)
        return Body(tuple(self._sections), self._faults.in_file_order(), self._warnings.in_file_order())

    def _toggle_code(self, mark: str, rest: str) -> None:
        if self._code is None:
            if mark[0] == "~" or "`" not in rest:  # a backtick further on makes it an inline code span
                self._code = _Code(mark, self._line)
        elif mark[0] == self._code.mark[0] and len(mark) >= len(self._code.mark) and not rest.strip(" \t"):
            self._code = None

    def _read_fence(self, line: str, start: int, stop: int) -> None:
        fence: Fence | None = None
        try:
            fence = read_fence(line)
        except FenceError as exc:
            self._faults.add("doc.fence", exc.message, self._line, exc.col, exc.hint)
        else:
            if fence is None:
                if looks_like_fence(line):
                    self._warnings.add("doc.near-fence", _near_fence(line), self._line, 1, _NEAR_FENCE_HINT)
                return
        self._close(start, start - 1)
        kind = fence.type if fence else None
        self._open = _Open(kind, fence, start, self._line, stop + 1, self._line + 1, order_of(kind))

    def _read_mark(self, line: str, start: int, stop: int) -> None:
        current = self._open
        if current.type is None:
            return
        try:
            fields = read_mark(line, current.type) if start == current.content and current.fence else None
        except MarkError as exc:
            self._faults.add(
                "doc.mark", f"the mark of the tool that wrote this section {exc}", self._line, 1, _MARK_HINT
            )
            fields = {}
        if fields is None:
            self._warnings.add("doc.mark-misplaced", _MISPLACED, self._line, 1, _MARK_HINT)
            return
        if fields.keys() & current.fields.keys():
            self._faults.add("doc.mark", "the same mark is written twice", self._line, 1, "Keep one of the two.")
        current.fields.update(fields)
        current.content, current.content_line = stop + 1, self._line + 1

    def _read_header(self, line: str, start: int, stop: int) -> None:
        current = self._open
        found = header_word(line)
        if current.order:
            if found and found[0] in current.order:
                current.headers.append(Header(found[0], start, stop, self._line, found[1]))
                return
            near = found[0] if found else near_header(line)
            if near and current.type:
                self._warn_header(line, near, current.type)
        elif found and found[0] == QUESTION[0] and current.type and not current.warned:
            current.warned = True
            self._warn_header(line, found[0], current.type)

    def _warn_header(self, line: str, near: str, section_type: SectionType) -> None:
        message = f"'{line.strip()}' is read as ordinary text of this {section_type} section"
        belongs = "::instruction::" if near.split()[1] in ("Q", "A") else "::preference::"
        hint = f"If it is meant as '{near}', write exactly that, inside a section opened with {belongs}."
        self._warnings.add("doc.near-header", message, self._line, 1, hint)

    def _report_open_code(self, code: _Code) -> None:
        self._faults.add(
            "doc.open-code",
            f"the code block opened here with {code.mark[:20]} is never closed",
            code.line,
            1,
            f"Close it with a line {code.mark[:20]}; everything after it counts as code until then.",
        )

    def _close(self, section_end: int, content_end: int) -> None:
        """End the open section: it reaches to ``section_end``, its content to ``content_end``."""
        current = self._open
        if current.type is None:
            return
        content = self._text[current.content : content_end] if content_end > current.content else ""
        if current.type == "prose" and not content.strip():
            return
        fence = current.fence or Fence(type="prose")
        self._sections.append(
            Section(
                type=current.type,
                content=content,
                start_line=current.line,
                adapter=fence.adapter,
                media_path=fence.attributes.get("path"),
                media_alt=fence.attributes.get("alt", "" if current.type == "image" else None),
                media_transcript=fence.attributes.get("transcript"),
                is_implicit=current.fence is None,
                span=(current.start, section_end),
                **current.fields,
                **self._dialogue(current, content_end),
            )
        )

    def _dialogue(self, current: _Open, end: int) -> dict[str, Any]:
        if not current.order:
            return {}
        extent = Extent(current.content, max(end, current.content), current.content_line, current.line)
        groups = read_groups(self._text, extent, current.headers, current.order, self._faults)
        if current.type == "instruction":
            return {"pairs": tuple([Pair(q, a, head.is_probe, head.line) for head, (q, a) in groups])}
        return {"triples": tuple([Triple(p, c, r, head.line) for head, (p, c, r) in groups])}


_NEAR_FENCE_HINT = "To open a section, write it alone on its line without blanks, for example ::instruction::"
_MARK_HINT = (
    "dlm writes these marks itself, directly below ::instruction:: or ::preference::; remove it to keep the text."
)
_MISPLACED = f"a mark '{MARK_PREFIX}…' is read as ordinary text here"


def _near_fence(line: str) -> str:
    return f"'{line.strip()[:60]}' looks like the start of a section but is read as ordinary text"
