"""Bringing older documents up to the current version.

Every read does so in memory, on the nodes of the header, so that faults keep the places of the file. ``migrate_text``
does the same to the text: it edits the version and the renamed blocks and touches nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from dlm.domain.errors import MigrationError, Place
from dlm.domain.frontmatter import CURRENT_VERSION
from dlm.domain.text import FaultList
from dlm.domain.values import name_of, resolve
from dlm.domain.yaml_text import Entry, MapNode, Node, ScalarNode

HYPERPARAMS = ("beta", "learning_rate", "num_epochs")
OLD_REFERENCE, NEW_REFERENCE = "pre_dpo_adapter", "pre_adapter"


@attrs.frozen(kw_only=True)
class Migration:
    """What bringing a text up to date did. ``steps`` names the steps taken, such as ``1 → 2: …``."""

    from_version: int
    to_version: int
    steps: tuple[str, ...]
    text: str


@attrs.frozen
class _Step:
    """From one version to the next. A step that only added settings has nothing to change."""

    what: str
    nodes: Callable[[MapNode], MapNode] | None = None


def migrate_nodes(root: MapNode, faults: FaultList) -> tuple[MapNode, int | None]:
    """Give the header as the current version has it, and the version that is written; None when that is a fault."""
    version = _version_of(root, faults)
    if version is None:
        return _with_version(root), None
    for number in range(version, CURRENT_VERSION):
        step = _STEPS[number]
        root = step.nodes(root) if step.nodes else root
    return _with_version(root), version


def migrate_text(text: str, path: str | None = None) -> Migration:
    """Give the text of a document as the current version has it: the same bytes except where a step changes them.

    Does not check the settings: parse the text for that.

    Raises:
        DocumentError: no header, or not YAML.
        MigrationError: the version is newer than this program, or none there ever was.
    """
    from dlm.domain.frontmatter_edits import read_header, set_keys
    from dlm.domain.migration_text import TEXT_STEPS

    faults = FaultList()
    version = _version_of(read_header(text, path=path).root, faults)
    if version is None:
        fault = faults.in_file_order()[0]
        raise MigrationError(fault.code, fault.message, hint=fault.hint, place=Place(path, fault.line, fault.col))
    if version == CURRENT_VERSION:
        return Migration(from_version=version, to_version=version, steps=(), text=text)
    for number in range(version, CURRENT_VERSION):
        change = TEXT_STEPS.get(number)
        text = change(text) if change else text
    steps = tuple(f"{number} → {number + 1}: {_STEPS[number].what}" for number in range(version, CURRENT_VERSION))
    text = set_keys(text, {"dlm_version": CURRENT_VERSION})
    return Migration(from_version=version, to_version=CURRENT_VERSION, steps=steps, text=text)


def _version_of(root: MapNode, faults: FaultList) -> int | None:
    entry = root.get("dlm_version")
    if entry is None:
        return 1
    value = resolve(entry.value) if isinstance(entry.value, ScalarNode) else entry.value
    line, col = entry.value.line, entry.value.col
    if isinstance(value, bool) or not isinstance(value, int):
        faults.add(
            "doc.bad-value",
            f"dlm_version must be a whole number, not {name_of(value)}",
            line,
            col,
            f"Write dlm_version: {CURRENT_VERSION}",
        )
        return None
    if value > CURRENT_VERSION:
        faults.add(
            "doc.version-newer",
            f"the document has version {value}; this dlm reads up to {CURRENT_VERSION}",
            line,
            col,
            "Update dlm, or ask the author for an older version of the document.",
        )
        return None
    if value < 1:
        faults.add(
            "doc.version-unknown",
            f"there is no version {value} to migrate from; versions start at 1",
            line,
            col,
            "Write the version the document was made with, or leave the line out for version 1.",
        )
        return None
    return value


def _with_version(root: MapNode) -> MapNode:
    """Write the current version over the one that is there, so that reading the settings finds a good one."""
    return attrs.evolve(root, entries=tuple(_current(entry) for entry in root.entries))


def _current(entry: Entry) -> Entry:
    return _revalued(entry, str(CURRENT_VERSION)) if entry.key.value == "dlm_version" else entry


def _revalued(entry: Entry, value: str) -> Entry:
    node = entry.value
    scalar = ScalarNode(value=value, plain=True, start=node.start, end=node.end, line=node.line, col=node.col)
    return attrs.evolve(entry, value=scalar)


def _renamed(entry: Entry, name: str, value: Node | None = None) -> Entry:
    return Entry(key=attrs.evolve(entry.key, value=name), value=value or entry.value)


def find_dpo(root: MapNode) -> tuple[Entry, Entry] | None:
    """Give the entries ``training`` and ``training.dpo``, where both are there."""
    training = root.get("training")
    dpo = training.value.get("dpo") if training and isinstance(training.value, MapNode) else None
    return (training, dpo) if training and dpo else None


def _dpo_to_preference(root: MapNode) -> MapNode:
    found = find_dpo(root)
    if found is None:
        return root
    training, dpo = found
    group = training.value
    assert isinstance(group, MapNode)
    if group.get("preference"):
        return root  # both names: the old one is reported as unknown
    new = _renamed(dpo, "preference", _preference_node(dpo, dpo.value) if isinstance(dpo.value, MapNode) else None)
    training = attrs.evolve(
        training, value=attrs.evolve(group, entries=tuple(new if entry is dpo else entry for entry in group.entries))
    )
    return attrs.evolve(
        root, entries=tuple(training if entry.key.value == "training" else entry for entry in root.entries)
    )


def _preference_node(dpo: Entry, node: MapNode) -> MapNode:
    method = _revalued(_renamed(dpo, "method"), "dpo")
    hyper = tuple(entry for entry in node.entries if entry.key.value in HYPERPARAMS)
    others = (_new_reference(entry) for entry in node.entries if entry.key.value not in HYPERPARAMS)
    entries = [method, *others]
    if hyper:
        inner = MapNode(
            entries=hyper, flow=node.flow, start=node.start, end=node.end, line=hyper[0].key.line, col=hyper[0].key.col
        )
        entries.append(_renamed(hyper[0], "hyperparams", inner))
    return attrs.evolve(node, entries=tuple(entries))


def _new_reference(entry: Entry) -> Entry:
    return _revalued(entry, NEW_REFERENCE) if has_old_reference(entry) else entry


def has_old_reference(entry: Entry) -> bool:
    """Tell whether this is the reference of the preference phase under its old name."""
    value = entry.value
    return entry.key.value == "reference" and isinstance(value, ScalarNode) and value.value == OLD_REFERENCE


_STEPS = {
    1: _Step("training.dpo becomes training.preference", _dpo_to_preference),
    2: _Step("training.cpt exists"),
    3: _Step("training.adapters and #name suffixes exist"),
    4: _Step("training.precision exists"),
    5: _Step("training.sources exists"),
    6: _Step("marks of harvested sections exist"),
    7: _Step("training.gate exists"),
    8: _Step("training.cache exists"),
    9: _Step("image sections exist"),
    10: _Step("audio sections exist"),
    11: _Step("training.audio exists"),
    12: _Step("more base models are known"),
    13: _Step("marks of mined preferences exist"),
    14: _Step("marks of synthesized sections exist"),
}

__all__ = ["CURRENT_VERSION", "Migration", "migrate_nodes", "migrate_text"]
