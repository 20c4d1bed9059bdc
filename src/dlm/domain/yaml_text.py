"""YAML with positions: a small tree of nodes that remember where they stand in the document.

The YAML library is used only for its events. Aliases, tags and deep nesting are refused while reading, so a hostile
header costs no more than its length, and every value keeps the offsets that editing needs.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import attrs

from dlm.domain.text import FaultList, line_and_column

if TYPE_CHECKING:
    from ruamel.yaml.error import YAMLError

MAX_YAML_CHARS = 256 * 1024
"""Longest header read. A header with every setting is about 2000 characters; the reader does 0.5 M characters/s."""

MAX_DEPTH = 16
"""Deepest nesting read; the settings themselves nest four deep."""

_CORE_TAG = "tag:yaml.org,2002:"
_KNOWN_TAGS = frozenset(_CORE_TAG + name for name in ("str", "int", "float", "bool", "null", "map", "seq"))


@attrs.frozen(kw_only=True)
class Node:
    """A value of the header. ``start`` and ``end`` are offsets in the document; ``line`` and ``col`` count from 1."""

    start: int
    end: int
    line: int
    col: int


@attrs.frozen(kw_only=True)
class ScalarNode(Node):
    """A single value. ``plain`` means it was written without quotes and may be a number, a date, …"""

    value: str
    plain: bool
    block: bool = False


@attrs.frozen(kw_only=True)
class ListNode(Node):
    """A sequence; ``flow`` means it was written in brackets."""

    items: tuple[Node, ...]
    flow: bool


@attrs.frozen(kw_only=True)
class Entry:
    """One ``key: value`` of a mapping."""

    key: ScalarNode
    value: Node


@attrs.frozen(kw_only=True)
class MapNode(Node):
    """A mapping in written order; ``flow`` means it was written in braces. Keys are distinct."""

    entries: tuple[Entry, ...]
    flow: bool

    def get(self, key: str) -> Entry | None:
        """Give the entry of ``key``, or None."""
        return next((entry for entry in self.entries if entry.key.value == key), None)


def read_mapping(
    text: str, start: int, end: int, faults: FaultList, *, what: str = "the frontmatter"
) -> MapNode | None:
    """Read ``text[start:end]`` as one YAML mapping; nothing at all reads as an empty one.

    Offsets and places of the nodes refer to the whole ``text``; messages call it ``what``. None means that faults were
    added.
    """
    first_line, _ = line_and_column(text, start)
    if end - start > MAX_YAML_CHARS:
        faults.add(
            "doc.header-too-large",
            f"{what} has {end - start} characters; at most {MAX_YAML_CHARS} are read",
            1,
            1,
            "Close it with a line of three hyphens above the text of the document.",
        )
        return None
    return _Reader(text[start:end], start, first_line, faults, what).mapping()


class _StopError(Exception):
    """Reading cannot go on; the fault has been added."""


class _Reader:
    """Builds nodes from the events of one header."""

    def __init__(self, source: str, offset: int, first_line: int, faults: FaultList, what: str) -> None:
        self._what = what
        self._source = source
        self._offset = offset
        self._first_line = first_line
        # Lines are counted by line feeds alone: YAML also breaks at U+0085 and U+2028, editors do not.
        self._feeds = [match.start() for match in re.finditer("\n", source)]
        self._faults = faults
        self._events: Iterator[Any] = iter(())

    def mapping(self) -> MapNode | None:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        yaml = YAML(typ="safe", pure=True)
        yaml.version = (1, 1)
        self._events = iter(yaml.parse(self._source))
        try:
            return self._document()
        except YAMLError as exc:
            self._add_syntax_fault(exc)
        except (ValueError, TypeError, AttributeError, IndexError, KeyError, AssertionError, OverflowError) as exc:
            # The YAML library lets these out on malformed escapes and directives, without a place.
            self._faults.add("doc.yaml", f"{self._what} is not valid YAML ({exc})", self._first_line, 1, _YAML_HINT)
        except _StopError:
            pass
        return None

    def _document(self) -> MapNode:
        found: Node | None = None
        for event in self._events:
            name = type(event).__name__
            if name == "DocumentStartEvent" and found is not None:
                self._stop(event, "doc.yaml", "a second YAML document begins here", "Keep one block of settings.")
            if name not in _FRAME_EVENTS:
                found = self._node(event, 0)
        if found is None or _is_blank(found):
            return MapNode(entries=(), flow=False, start=self._offset, end=self._offset, line=self._first_line, col=1)
        if not isinstance(found, MapNode):
            self._faults.add(
                "doc.yaml-shape",
                f"{self._what} must be a list of 'key: value' lines",
                found.line,
                found.col,
                "Write for example: base_model: smollm2-135m",
            )
            raise _StopError
        return found

    def _node(self, event: Any, depth: int) -> Node:
        name = type(event).__name__
        if name == "AliasEvent" or getattr(event, "anchor", None) is not None:
            self._stop(
                event,
                "doc.yaml-alias",
                "YAML anchors (&name) and aliases (*name) are not read",
                "Write the value out, or put it in quotes when it is meant as text.",
            )
        if event.tag is not None and str(event.tag) not in _KNOWN_TAGS:
            self._stop(
                event,
                "doc.yaml-tag",
                f"the YAML tag {event.tag} is not read",
                "Remove it, or put the value in quotes when it is meant as text.",
            )
        if depth > MAX_DEPTH:
            self._stop(event, "doc.yaml-depth", f"nested more than {MAX_DEPTH} deep", "No setting needs that.")
        if name == "ScalarEvent":
            return self._scalar(event)
        return self._sequence(event, depth) if name == "SequenceStartEvent" else self._map(event, depth)

    def _scalar(self, event: Any) -> ScalarNode:
        if any("\ud800" <= char <= "\udfff" for char in event.value):
            self._stop(event, "doc.yaml", "this text holds half of a character", "Write the character itself.")
        plain = bool(event.implicit[0]) or (event.style is None and str(event.tag) != _CORE_TAG + "str")
        return ScalarNode(
            value=event.value, plain=plain, block=event.style in ("|", ">"), **self._span(event.start_mark, event)
        )

    def _sequence(self, start: Any, depth: int) -> ListNode:
        items: list[Node] = []
        for event in self._events:
            if type(event).__name__ == "SequenceEndEvent":
                span = self._span(start.start_mark, event)
                return ListNode(items=tuple(items), flow=bool(start.flow_style), **span)
            items.append(self._node(event, depth + 1))
        raise AssertionError("a sequence without an end")

    def _map(self, start: Any, depth: int) -> MapNode:
        entries: list[Entry] = []
        lines: dict[str, int] = {}
        for event in self._events:
            if type(event).__name__ == "MappingEndEvent":
                span = self._span(start.start_mark, event)
                return MapNode(entries=tuple(entries), flow=bool(start.flow_style), **span)
            key = self._key(event, depth)
            value = self._node(next(self._events), depth + 1)
            if _is_blank(value):  # the library places it at the next key
                value = attrs.evolve(value, start=key.end, end=key.end, line=key.line, col=key.col)
            first = lines.setdefault(key.value, key.line)
            if len(lines) > len(entries):
                entries.append(Entry(key=key, value=value))
            else:
                self._faults.add(
                    "doc.duplicate-key",
                    f"'{key.value}' is written twice, on lines {first} and {key.line}",
                    key.line,
                    key.col,
                    "Keep one of the two.",
                )
        raise AssertionError("a mapping without an end")

    def _key(self, event: Any, depth: int) -> ScalarNode:
        key = self._node(event, depth + 1)
        if isinstance(key, ScalarNode):
            return key
        self._faults.add(
            "doc.yaml-shape", "a key must be a single word", key.line, key.col, "Write for example: seed: 42"
        )
        raise _StopError

    def _place(self, index: int) -> tuple[int, int]:
        row = bisect_left(self._feeds, index)
        return row + self._first_line, index - (self._feeds[row - 1] if row else -1)

    def _span(self, start: Any, event: Any) -> dict[str, int]:
        line, col = self._place(start.index)
        return {
            "start": start.index + self._offset,
            "end": event.end_mark.index + self._offset,
            "line": line,
            "col": col,
        }

    def _stop(self, event: Any, code: str, message: str, hint: str) -> NoReturn:
        self._faults.add(code, message, *self._place(event.start_mark.index), hint)
        raise _StopError

    def _add_syntax_fault(self, exc: YAMLError) -> None:
        mark = getattr(exc, "problem_mark", None) or getattr(exc, "context_mark", None)
        if mark is not None:
            line, col = self._place(mark.index)
            problem = getattr(exc, "problem", None) or getattr(exc, "context", None) or "not valid YAML"
        else:  # a character that YAML forbids; the library knows only its offset
            line, col = self._place(int(getattr(exc, "position", 0)))
            problem = f"the character {getattr(exc, 'character', '?')!r} is not allowed here"
        hint = "Indent with blanks, not with tabs." if "\\t" in problem else _YAML_HINT
        self._faults.add("doc.yaml", f"{self._what} is not valid YAML: {problem}", line, col, hint)


_FRAME_EVENTS = frozenset({"StreamStartEvent", "StreamEndEvent", "DocumentStartEvent", "DocumentEndEvent"})
_YAML_HINT = "Write one 'key: value' per line; put text that holds ': ' or ' #' in double quotes."


def _is_blank(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.plain and not node.value
