"""``.dlm/training.yaml``: settings for the files of the tree around it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from dlm.domain.globs import MAX_LIST, BadPatternError, written_out
from dlm.domain.text import FaultList, suggestion
from dlm.domain.values import BadValueError, Flag, ListOf, Number, Text, Whole, name_of, resolve
from dlm.domain.yaml_text import MAX_YAML_CHARS, MapNode, Node, ScalarNode, read_mapping

FILE_NAME = "training.yaml"

MAX_WEIGHT = 1000.0
"""Largest weight, one by one and multiplied: rows are really repeated that often."""

_PATTERNS = ListOf(Text(r"\S", "a file pattern"), what="a list of file patterns")


@attrs.frozen(kw_only=True)
class TreeSettings:
    """What one ``.dlm/training.yaml`` says. Patterns are relative to the folder that holds ``.dlm``.

    Args:
        exclude_defaults: leave out what :data:`dlm.domain.source_rules.DEFAULT_EXCLUDES` lists.
        metadata: tags of every file below.
        weights: tag → value → how often rows with it count.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    exclude_defaults: bool = True
    metadata: Mapping[str, str] = attrs.field(factory=dict)
    weights: Mapping[str, Mapping[str, float]] = attrs.field(factory=dict)


def read_tree_settings(text: str) -> tuple[TreeSettings | None, tuple[str, ...]]:
    """Read the text of a ``training.yaml``.

    Returns:
        The settings, None when anything is wrong; and each fault as ``line:column: what is wrong``.
    """
    faults = FaultList()
    if len(text) > MAX_YAML_CHARS:
        return None, (f"1:1: {len(text)} characters; at most {MAX_YAML_CHARS} are read",)
    root = read_mapping(text, 0, len(text), faults, what="the file")
    values: dict[str, Any] = {}
    for entry in root.entries if root is not None else ():
        name = entry.key.value
        try:
            reader = _READERS.get(name)
            if reader is None:
                raise BadValueError(_unknown(name), entry.key)
            values[name] = reader(entry.value)
        except BadValueError as exc:
            place = exc.node or entry.value
            told = exc.expected if reader is None else f"{name} must be {exc.expected}"
            faults.add("doc.bad-value", told, place.line, place.col)
    if faults:
        return None, tuple(f"{fault.line}:{fault.col}: {fault.message}" for fault in faults.in_file_order())
    values.pop("dlm_training_version", None)
    return TreeSettings(**values), ()


def _unknown(name: str) -> str:
    near = suggestion(name, _READERS)
    return f"unknown key '{name[:60]}'" + (
        f"; did you mean '{near}'?" if near else f"; known are {', '.join(_READERS)}"
    )


def _patterns(node: Node) -> tuple[str, ...]:
    patterns: tuple[str, ...] = _PATTERNS.read(node)
    count = 0
    for pattern, item in zip(patterns, getattr(node, "items", ()), strict=True):
        try:
            count += len(written_out([pattern]))
        except BadPatternError as exc:
            raise BadValueError(f"patterns that can be read; {pattern[:60]!r} {exc}", item) from None
        if count > MAX_LIST:
            raise BadValueError(f"a list that stands for at most {MAX_LIST} patterns", item)
    return patterns


def _version(node: Node) -> int:
    return Whole(1, 1).read(node)


def _metadata(node: Node) -> dict[str, str]:
    return {key: _word(value) for key, value in _entries(node, "tags with a value each")}


def _word(node: Node) -> str:
    """Give a single value as it is written: ``true`` and ``3`` are as good a tag as any."""
    if isinstance(node, ScalarNode):
        return node.value
    raise BadValueError(f"tags with a single value each, not {name_of(node)}", node)


def _weights(node: Node) -> dict[str, dict[str, float]]:
    what = "tags, each with its values and their weights"
    return {
        tag: {value: _weight(number) for value, number in _entries(values, what)}
        for tag, values in _entries(node, what)
    }


def _weight(node: Node) -> float:
    try:
        return Number(0, MAX_WEIGHT).read(node) + 0.0  # -0.0 becomes 0.0
    except BadValueError as exc:
        raise BadValueError(exc.expected, node) from None


def _entries(node: Node, what: str) -> Iterator[tuple[str, Node]]:
    if not isinstance(node, MapNode):
        raise BadValueError(f"{what}, not {name_of(resolve(node) if isinstance(node, ScalarNode) else node)}", node)
    return ((entry.key.value, entry.value) for entry in node.entries)


_READERS: Mapping[str, Callable[[Node], Any]] = {
    "dlm_training_version": _version,
    "include": _patterns,
    "exclude": _patterns,
    "exclude_defaults": Flag().read,
    "metadata": _metadata,
    "weights": _weights,
}


def merged_weights(
    above: Mapping[str, Mapping[str, float]], own: Mapping[str, Mapping[str, float]]
) -> Mapping[str, Mapping[str, float]]:
    """Give the weights of a tree inside another one: its own where it names a value, else those from above."""
    return above if not own else {tag: {**above.get(tag, {}), **own.get(tag, {})} for tag in {**above, **own}}


def weight_of(tags: Mapping[str, str], weights: Mapping[str, Mapping[str, float]]) -> float:
    """Give the product of the weights of all tags, at most :data:`MAX_WEIGHT`; 1 when none of them is listed."""
    listed = (weights[tag][value] for tag, value in tags.items() if value in weights.get(tag, ()))
    return min(math.prod(listed), MAX_WEIGHT)
