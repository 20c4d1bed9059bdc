"""The migration steps on the text of a header. See ``dlm.domain.migrations`` for the same on its nodes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from dlm.domain.frontmatter_edits import line_end, line_start, read_header, splice, tight_end
from dlm.domain.migrations import HYPERPARAMS, NEW_REFERENCE, OLD_REFERENCE, find_dpo, has_old_reference
from dlm.domain.yaml_text import Entry, MapNode


def rewrite_dpo(text: str) -> str:
    """Rename ``training.dpo`` and move its numbers under ``hyperparams``, comments included."""
    found = find_dpo(read_header(text).root)
    if found is None:
        return text
    training, dpo = found
    group = training.value
    if isinstance(group, MapNode) and group.get("preference"):
        return text
    comments: list[str] = []
    if isinstance(dpo.value, MapNode):
        comments = _comments(text, dpo.value) if dpo.value.flow else []
        text = _rewrite_flow(text, dpo.value) if dpo.value.flow else _rewrite_block(text, dpo, dpo.value)
    text = splice(text, dpo.key.start, dpo.key.end, "preference")
    above = line_start(text, dpo.key.start)
    line = text[above : dpo.key.start]
    pad = line[: len(line) - len(line.lstrip(" "))]
    return splice(text, above, above, "".join(f"{pad}{comment}\n" for comment in comments))


def _rewrite_block(text: str, dpo: Entry, node: MapNode) -> str:
    """Move the lines of each setting as they are, its comments above it and beside it included."""
    pad = " " * (node.entries[0].key.col - 1)
    start = line_end(text, dpo.key.end)
    lines = [f"{pad}method: dpo\n"]
    moved: list[str] = []
    place, at = 0, start
    for entry in node.entries:
        end = line_end(text, tight_end(text, entry.value, entry.key.col))
        own, at = _with_new_reference(text, entry, at, end), end
        if entry.key.value in HYPERPARAMS:
            place = place if moved else len(lines)
            moved.append(re.sub(r"(?m)^(?=.)", "  ", own))
        else:
            lines.append(own)
    if moved:
        lines.insert(place, f"{pad}hyperparams:\n" + "".join(moved))
    return splice(text, start, at, "".join(lines))


def _rewrite_flow(text: str, node: MapNode) -> str:
    hyper: list[str] = []
    others = ["method: dpo"]
    for entry in node.entries:
        own = _with_new_reference(text, entry, entry.key.start, tight_end(text, entry.value, entry.key.col))
        (hyper if entry.key.value in HYPERPARAMS else others).append(own)
    if hyper:
        others.append("hyperparams: {" + ", ".join(hyper) + "}")
    return splice(text, node.start, node.end, "{" + ", ".join(others) + "}")


def _comments(text: str, node: MapNode) -> list[str]:
    """Give the comments between the braces of a mapping over several lines; they are kept above it."""
    values = [item for entry in node.entries for item in (entry.key, entry.value)]
    found = re.finditer(r"(?<=\s)#[^\n]*", text[: node.end])
    return [
        match[0]
        for match in found
        if match.start() > node.start and not any(item.start <= match.start() < item.end for item in values)
    ]


def _with_new_reference(text: str, entry: Entry, start: int, end: int) -> str:
    if not has_old_reference(entry):
        return text[start:end]
    value = text[entry.value.start : entry.value.end].replace(OLD_REFERENCE, NEW_REFERENCE)
    return text[start : entry.value.start] + value + text[entry.value.end : end]


TEXT_STEPS: Mapping[int, Callable[[str], str]] = MappingProxyType({1: rewrite_dpo})
"""Version → what its step to the next one changes in a text; steps that change nothing are left out."""
