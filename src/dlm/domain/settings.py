"""Groups of settings: how an attrs class declares its knobs, and how one is filled from a YAML mapping.

Each field carries its kind, default and meaning once; reading, checking, the JSON Schema and the reference page are
all drawn from there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from dlm.domain.errors import ConfigError
from dlm.domain.text import FaultList, suggestion
from dlm.domain.values import BadValueError, Kind, name_of, resolve
from dlm.domain.yaml_text import Entry, ListNode, MapNode, Node, ScalarNode

BAD: Final = object()
"""Stands for a group that could not be read; its faults have been reported."""


@attrs.frozen
class Knob:
    """What a field knows about itself."""

    kind: Kind | GroupKind
    doc: str


@attrs.frozen
class Report:
    """What reading a header finds beside the values: its faults, and the dotted paths of the keys that were written."""

    faults: FaultList
    explicit: set[str] = attrs.field(factory=set)


def knob(default: Any, kind: Kind | GroupKind, doc: str, *, hashed: bool = True) -> Any:
    """Declare a field: its default, the values it takes, and what it does in words for a newcomer."""
    convert = attrs.Converter(_checked, takes_field=True)
    return attrs.field(
        default=default, converter=convert, hash=None if hashed else False, metadata={"knob": Knob(kind, doc)}
    )


def group(cls: type[Any], doc: str) -> Any:
    """Declare a field that is a nested group with defaults of its own."""
    return attrs.field(factory=cls, metadata={"knob": Knob(Group(cls), doc)})


def knobs(cls: type[Any]) -> Iterator[tuple[attrs.Attribute[Any], Knob]]:
    """Give the declared fields of a class in order."""
    return ((field, field.metadata["knob"]) for field in attrs.fields(cls) if "knob" in field.metadata)


def _checked(value: Any, field: attrs.Attribute[Any]) -> Any:
    kind = field.metadata["knob"].kind
    if isinstance(kind, GroupKind) or value is field.default:
        return value
    try:
        return kind.check(value)
    except BadValueError as exc:
        raise ConfigError(
            "config.value", f"{field.name} must be {exc.expected}", hint="Give a value from the range named above."
        ) from exc


class GroupKind:
    """A kind that holds further settings. ``read`` reports every fault below the node and gives the value or BAD."""

    def read(self, node: Node, path: str, report: Report) -> Any:
        raise NotImplementedError

    def describe(self) -> str:
        raise NotImplementedError

    def _refuse(self, node: Node, path: str, report: Report) -> Any:
        value = resolve(node) if isinstance(node, ScalarNode) else node
        report.faults.add(
            "doc.bad-value",
            f"{path} must be {self.describe()}, not {name_of(value)}",
            node.line,
            node.col,
            "Leave the key out to use the defaults." if value is None else f"Write its settings indented below {path}.",
        )
        return BAD


@attrs.frozen
class Group(GroupKind):
    """One nested group of settings."""

    cls: type[Any]

    def read(self, node: Node, path: str, report: Report) -> Any:
        return (
            read_group(self.cls, node, path, report) if isinstance(node, MapNode) else self._refuse(node, path, report)
        )

    def describe(self) -> str:
        return "a group of settings"


@attrs.frozen
class GroupsByName(GroupKind):
    """Groups under names of the author's choice, or null; at least one."""

    cls: type[Any]
    pattern: str
    reserved: tuple[str, ...] = ()
    what: str = "adapter name"

    def read(self, node: Node, path: str, report: Report) -> Any:
        if isinstance(node, ScalarNode) and resolve(node) is None:
            return None
        if not isinstance(node, MapNode) or not node.entries:
            return self._refuse(node, path, report)
        values = {entry.key.value: self._one(entry, path, report) for entry in node.entries}
        return BAD if BAD in values.values() else values

    def _one(self, entry: Entry, path: str, report: Report) -> Any:
        name = entry.key.value
        inner = f"{path}.{name}"
        report.explicit.add(inner)
        value = Group(self.cls).read(entry.value, inner, report)
        problem = self.problem_of(name)
        if problem:
            report.faults.add("doc.adapter-name", problem, entry.key.line, entry.key.col, _NAME_HINT)
        return BAD if problem else value

    def problem_of(self, name: str) -> str | None:
        """Say what is wrong with a name, None when nothing is."""
        if name in self.reserved:
            return f"the {self.what} '{name}' is reserved"
        return None if re.search(self.pattern, name) else f"'{name[:60]}' is not an {self.what}"

    def describe(self) -> str:
        return "named groups of settings, at least one"


@attrs.frozen
class GroupList(GroupKind):
    """A list of groups, or null."""

    cls: type[Any]

    def read(self, node: Node, path: str, report: Report) -> Any:
        if isinstance(node, ScalarNode) and resolve(node) is None:
            return None
        if not isinstance(node, ListNode):
            return self._refuse(node, path, report)
        values = [Group(self.cls).read(item, f"{path}[{i}]", report) for i, item in enumerate(node.items)]
        return BAD if BAD in values else tuple(values)

    def describe(self) -> str:
        return "a list of groups of settings, each starting with '- '"


_NAME_HINT = (
    "Use 1 to 32 lower-case letters, digits and underscores, starting with a letter; not 'default', 'versions'."
)


def read_group(cls: type[Any], node: MapNode, path: str, report: Report) -> Any:
    """Fill ``cls`` from a mapping; every fault below ``node`` is reported, then BAD is given."""
    fields = {field.name: (field, item) for field, item in knobs(cls)}
    values: dict[str, Any] = {}
    for entry in node.entries:
        name = entry.key.value
        inner = f"{path}.{name}" if path else name
        if name not in fields:
            _report_unknown(cls, entry, path, report)
            values[name] = BAD
            continue
        report.explicit.add(inner)
        values[name] = _read_value(fields[name], entry, inner, report)
    missing = [name for name, (field, _) in fields.items() if field.default is attrs.NOTHING and name not in values]
    for name in missing:
        _report_missing(name, fields[name][1], node, path, report)
    return BAD if missing or BAD in values.values() else cls(**values)


def _read_value(field: tuple[attrs.Attribute[Any], Knob], entry: Entry, path: str, report: Report) -> Any:
    kind = field[1].kind
    if isinstance(kind, GroupKind):
        return kind.read(entry.value, path, report)
    try:
        return kind.read(entry.value)
    except BadValueError as exc:
        place = exc.node or entry.value
        report.faults.add(
            "doc.bad-value", f"{path} must be {exc.expected}", place.line, place.col, _value_hint(path, field[0])
        )
        return BAD


def _value_hint(path: str, field: attrs.Attribute[Any]) -> str:
    if field.default is attrs.NOTHING:
        return str(field.metadata["knob"].doc)
    return f"The default is {yaml_word(field.default)}; leave {path.rpartition('.')[2]} out to use it."


def yaml_word(value: Any) -> str:
    """Give a simple value as a header spells it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value
    return str(list(value)) if isinstance(value, Sequence) else str(value)


def _report_unknown(cls: type[Any], entry: Entry, path: str, report: Report) -> None:
    name = entry.key.value
    known = [field.name for field, _ in knobs(cls)]
    near = suggestion(name, known)
    where = f"under '{path}'" if path else "at the top level"
    hint = f"Did you mean '{near}'?" if near else _elsewhere(name, path) or f"Known here: {', '.join(known)}."
    report.faults.add("doc.unknown-key", f"unknown key '{name[:60]}' {where}", entry.key.line, entry.key.col, hint)


def _elsewhere(name: str, path: str) -> str | None:
    """Say where a key that exists in another group belongs."""
    from dlm.domain.frontmatter import KEY_PATHS

    home = KEY_PATHS.get(name)
    if home is None or home == path:
        return None
    return f"'{name}' belongs under '{home}'." if home else f"'{name}' belongs at the top level, not indented."


def _report_missing(name: str, item: Knob, node: MapNode, path: str, report: Report) -> None:
    full = f"{path}.{name}" if path else name
    report.faults.add("doc.missing-key", f"{full} is missing", node.line, node.col, f"Add '{name}: …'. {item.doc}")


def plain(value: Any) -> Any:
    """Give a group as plain mappings and lists, for JSON."""
    if attrs.has(type(value)):
        return {field.name: plain(getattr(value, field.name)) for field, _ in knobs(type(value))}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (tuple, list)) else value
