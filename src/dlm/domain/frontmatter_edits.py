"""Changing single settings in the text of a header, leaving comments, order and quoting of everything else alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from dlm.domain.errors import DocumentError, Fault
from dlm.domain.frame import Frame, find_frame
from dlm.domain.frontmatter import group_at
from dlm.domain.frontmatter_text import value_text
from dlm.domain.settings import knobs
from dlm.domain.text import FaultList
from dlm.domain.yaml_text import Entry, ListNode, MapNode, Node, ScalarNode, read_mapping


@attrs.frozen
class Header:
    """The settings of a document as nodes, with the place of their text."""

    text: str
    frame: Frame
    root: MapNode


def read_header(text: str, *, path: str | None = None) -> Header:
    """Give the header of a document's text, unchecked beyond its YAML.

    Raises:
        DocumentError: no header, or not YAML.
    """
    faults = FaultList()
    frame = find_frame(text, faults)
    root = read_mapping(text, frame.yaml_start, frame.yaml_end, faults) if frame else None
    if frame is None or root is None or faults:
        raise DocumentError(faults.in_file_order(), path=path)
    return Header(text, frame, root)


def set_keys(text: str, changes: Mapping[str, Any]) -> str:
    """Give ``text`` with settings changed or added, for example ``{"training.seed": 7}``.

    A value that is there is replaced in its place; a new key goes where the canonical order puts it among the keys
    that are written. What was meant is not checked here: parse the result.

    Raises:
        DocumentError: the header is not YAML, or a path leads through something that is no group of settings.
        ConfigError: a value that a header cannot hold.
    """
    for path, value in changes.items():
        header = read_header(text)
        text = _set(header, path.split("."), value)
    return text


def splice(text: str, start: int, end: int, new: str) -> str:
    """Give ``text`` with ``text[start:end]`` replaced."""
    return text[:start] + new + text[end:]


def tight_end(text: str, node: Node, column: int) -> int:
    """Give the offset just behind the last character of a value, without comments and blank lines that follow it.

    Args:
        column: of the key, from 1; the lines of a literal block are indented deeper.
    """
    if isinstance(node, ScalarNode):
        return _block_end(text, node, column) if node.block else node.end
    if isinstance(node, (MapNode, ListNode)) and node.flow:
        return node.end
    children = list(_children(node))
    last, last_column = children[-1] if children else (None, column)
    return node.end if last is None else max(node.start, tight_end(text, last, last_column))


def line_end(text: str, offset: int) -> int:
    """Give the offset just behind the line feed of the line that holds ``offset``."""
    feed = text.find("\n", offset)
    return len(text) if feed < 0 else feed + 1


def line_start(text: str, offset: int) -> int:
    """Give the offset of the first character of the line that holds ``offset``."""
    return text.rfind("\n", 0, offset) + 1


def _children(node: Node) -> Iterator[tuple[Node, int]]:
    if isinstance(node, MapNode):
        for entry in node.entries:
            yield (entry.key if _is_empty(entry.value) else entry.value), entry.key.col
    elif isinstance(node, ListNode):
        yield from ((item, node.col) for item in node.items)


def _is_empty(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.start == node.end


def _block_end(text: str, node: ScalarNode, column: int) -> int:
    """Give the end of a literal block's last line, its line feed left out."""
    end = line_end(text, node.start)
    last = end
    while end < node.end:
        stop = line_end(text, end)
        line = text[end:stop]
        deeper = len(line) - len(line.lstrip(" ")) >= column
        if line.strip() and not deeper:
            break
        end = stop
        last = end if line.strip() or "+" in text[node.start : line_end(text, node.start)] else last
    return last - 1 if text[last - 1 : last] == "\n" else last


def _set(header: Header, parts: list[str], value: Any) -> str:
    node: MapNode = header.root
    owner: Entry | None = None
    for depth, part in enumerate(parts):
        entry = node.get(part)
        if entry is None:
            return _insert(header, owner, node, parts, depth, value)
        if depth == len(parts) - 1:
            return _replace(header.text, entry, value, in_flow=node.flow)
        if not isinstance(entry.value, MapNode):
            raise _not_a_group(".".join(parts[: depth + 1]), entry)
        owner, node = entry, entry.value
    raise AssertionError("a path has at least one part")


def _not_a_group(path: str, entry: Entry) -> DocumentError:
    return DocumentError(
        [
            Fault(
                "doc.edit",
                f"'{path}' holds a value, not settings",
                entry.key.line,
                entry.key.col,
                "Check the path of the key to change.",
            )
        ]
    )


def _replace(text: str, entry: Entry, value: Any, *, in_flow: bool) -> str:
    node = entry.value
    end = tight_end(text, node, entry.key.col)
    if _is_empty(node) or _is_block(node):
        start = text.index(":", entry.key.end) + 1
        end, lead = max(end, start), " "
    else:
        start, lead = node.start, ""
    alone = not text[end : line_end(text, end)].strip()
    indent = None if in_flow or not alone else entry.key.col + 1
    return splice(text, start, end, lead + value_text(value, indent=indent))


def _is_block(node: Node) -> bool:
    return node.block if isinstance(node, ScalarNode) else not getattr(node, "flow", True)


def _insert(header: Header, owner: Entry | None, node: MapNode, parts: list[str], depth: int, value: Any) -> str:
    """Add ``parts[depth:]`` to ``node``, the value of ``owner`` (None: the top level)."""
    if node.flow:
        return _insert_in_flow(header.text, node, parts[depth:], value)
    order = _order_of(".".join(parts[:depth]))
    before = _entry_before(node, order, parts[depth])
    indent = (node.entries[0].key.col if node.entries else 1) - 1
    if before is not None:
        at = line_end(header.text, tight_end(header.text, before.value, before.key.col))
        at = _behind_comments(header.text, at, indent)
    else:
        at = line_end(header.text, owner.key.end) if owner else header.frame.yaml_start
    return splice(header.text, at, at, _nested_lines(parts[depth:], value, indent))


def _behind_comments(text: str, at: int, indent: int) -> int:
    """Skip comments that are indented deeper than the key to come: they belong to the settings above it."""
    end = at
    while end < len(text):
        stop = line_end(text, end)
        line = text[end:stop]
        deeper = len(line) - len(line.lstrip(" ")) > indent
        if line.strip() and not (deeper and line.lstrip(" ").startswith("#")):
            break
        at, end = (stop if line.strip() else at), stop
    return at


def _insert_in_flow(text: str, node: MapNode, parts: list[str], value: Any) -> str:
    for name in reversed(parts[1:]):
        value = {name: value}
    new = f"{parts[0]}: {value_text(value)}"
    if not node.entries:
        return splice(text, node.start + 1, node.start + 1, new)
    last = node.entries[-1]
    at = tight_end(text, last.value, last.key.col)
    return splice(text, at, at, ", " + new)


def _nested_lines(parts: list[str], value: Any, indent: int) -> str:
    lines = [f"{' ' * (indent + 2 * depth)}{name}:\n" for depth, name in enumerate(parts[:-1])]
    inner = indent + 2 * (len(parts) - 1)
    return "".join(lines) + f"{' ' * inner}{parts[-1]}: {value_text(value, indent=inner + 2)}\n"


def _order_of(path: str) -> list[str]:
    cls = group_at(path)
    return [field.name for field, _ in knobs(cls)] if cls else []


def _entry_before(node: MapNode, order: list[str], name: str) -> Entry | None:
    """Give the written entry after which a new key belongs; None puts it first."""
    if name not in order:
        return node.entries[-1] if node.entries else None
    earlier = set(order[: order.index(name)])
    return next((entry for entry in reversed(node.entries) if entry.key.value in earlier), None)
