"""Templates: starter documents with a description, and the rules that make one valid."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import attrs

from dlm.domain.document import Document
from dlm.domain.errors import DocumentError, TemplateError
from dlm.domain.json_record import RecordError, structure
from dlm.domain.text import FaultList, decode_document
from dlm.domain.yaml_text import ListNode, MapNode, Node, ScalarNode, read_mapping

Source = Literal["bundled", "cache", "cache-unsigned"]
"""Where a template came from: the package, a signed gallery, or a gallery nobody vouches for."""

TEMPLATE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
MAX_FILE_BYTES = 256 << 10
"""Largest file of a template; a starter document is a few kilobytes."""


def _name(_: object, __: attrs.Attribute[str], value: str) -> None:
    if not TEMPLATE_NAME.fullmatch(value):
        raise ValueError(f"name must be lower-case letters, digits and hyphens, found {value!r}")


def _says_something(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not value:
        raise ValueError(f"{attribute.name} must not be empty")


def _steps(_: object, __: attrs.Attribute[int | None], value: int | None) -> None:
    if value is not None and value < 1:
        raise ValueError(f"expected_steps must be 1 or more, or null, found {value}")


def _stripped(value: str) -> str:
    return value.strip()


def _trimmed(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value.strip() for value in values)


def _trimmed_map(values: Mapping[str, str]) -> dict[str, str]:
    return {key.strip(): value.strip() for key, value in values.items()}


@attrs.frozen(kw_only=True)
class TemplateMeta:
    """The description of a template. Text is trimmed.

    Args:
        name: also the stem of its two files, ``<name>.dlm`` and ``<name>.meta.yaml``.
        recommended_base: the base a document made from it gets.
        expected_steps: optimiser steps of a first training, roughly; None when unknown.
        expected_duration: kind of machine (``cuda``, ``mps``, ``cpu``) → how long that takes, in words.
        sample_prompts: things to ask after the first training.
    """

    name: str = attrs.field(converter=_stripped, validator=_name)
    title: str = attrs.field(converter=_stripped, validator=_says_something)
    domain_tags: tuple[str, ...] = attrs.field(converter=_trimmed)
    recommended_base: str = attrs.field(converter=_stripped, validator=_says_something)
    expected_steps: int | None = attrs.field(validator=_steps)
    expected_duration: Mapping[str, str] = attrs.field(converter=_trimmed_map)
    summary: str = attrs.field(converter=_stripped, validator=_says_something)
    sample_prompts: tuple[str, ...] = attrs.field(converter=_trimmed)
    source: Source = "bundled"

    def to_json(self) -> dict[str, Any]:
        """Give the object that ``dlm templates list --json`` prints."""
        record = attrs.asdict(self)
        return record | {key: list(record[key]) for key in ("domain_tags", "sample_prompts")}


@attrs.frozen(kw_only=True)
class Template:
    """A template whose two files have been checked."""

    meta: TemplateMeta
    document_text: str


@attrs.frozen(kw_only=True)
class RefreshResult:
    """How fetching a newer gallery ended.

    Args:
        ok: False when what was offered was refused: a bad signature, an older serial, a changed file.
        warning: True when nothing was fetched for a harmless reason, such as no network.
        message: one sentence for a person.
        hint: what to do next, if anything.
    """

    ok: bool
    message: str
    warning: bool = False
    hint: str | None = None


def parse_template(name: str, *, document: bytes, meta: bytes, source: Source) -> Template:
    """Check the two files of a template, the body of the document included.

    Raises:
        TemplateError: ``templates.invalid``, with the place in the file at fault.
    """
    described = parse_meta(name, meta, source)
    if len(document) > MAX_FILE_BYTES:
        raise _invalid(name, f"{name}.dlm is larger than {MAX_FILE_BYTES} bytes")
    try:
        parsed = Document.parse(document, path=f"{name}.dlm")
    except DocumentError as exc:
        raise _invalid(name, exc.message) from exc
    return Template(meta=described, document_text=parsed.text)


def apply_template(template: Template, dlm_id: str) -> Document:
    """Give a document of one's own from a template: with a fresh id, on the base the template recommends.

    The base is written even where the text names another, so that document and store can never disagree.

    Raises:
        TemplateError: the template is no document, or ``dlm_id`` no id.
    """
    changes = {"dlm_id": dlm_id, "base_model": template.meta.recommended_base}
    try:
        return Document.parse(template.document_text, path=f"{template.meta.name}.dlm").edit(set=changes)
    except DocumentError as exc:
        raise _invalid(template.meta.name, exc.message) from exc


def parse_meta(name: str, data: bytes, source: Source) -> TemplateMeta:
    """Read ``<name>.meta.yaml``: every key must be there (``expected_steps`` may be null), no other is allowed.

    Raises:
        TemplateError: ``templates.invalid``.
    """
    path = f"{name}.meta.yaml"
    if len(data) > MAX_FILE_BYTES:
        raise _invalid(name, f"{path} is larger than {MAX_FILE_BYTES} bytes")
    try:
        record = _plain(_read_yaml(data, path))
        if "source" in record:
            raise RecordError("$: unknown key 'source'")
        meta = structure(TemplateMeta, {**record, "source": source})
    except DocumentError as exc:
        raise _invalid(name, exc.message) from exc
    except RecordError as exc:
        raise _invalid(name, f"{path}: {exc.message}") from exc
    if meta.name != name:
        raise _invalid(name, f"{path}: its name is {meta.name}, not {name} as the file")
    return meta


def unknown_template(name: str, known: tuple[str, ...]) -> TemplateError:
    """Give the error for a name that no gallery on this machine has."""
    return TemplateError(
        "templates.unknown",
        f"there is no template named {name!r}; there are: {', '.join(known) or 'none'}",
        hint="dlm templates list describes them.",
    )


def _invalid(name: str, message: str) -> TemplateError:
    return TemplateError(
        "templates.invalid",
        f"the template {name!r} cannot be used: {message}",
        hint="Choose another one from dlm templates list, or fetch the gallery again with --refresh.",
    )


def _read_yaml(data: bytes, path: str) -> MapNode:
    text = decode_document(data, path=path).text
    faults = FaultList()
    node = read_mapping(text, 0, len(text), faults)
    if node is None or faults:
        raise DocumentError(faults.in_file_order(), path=path)
    return node


_INTEGER = re.compile(r"[-+]?\d{1,18}")
# Descriptions may come from strangers and are printed: nothing that steers a terminal or reverses its text.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_WORDS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}


def _plain(node: Node) -> Any:
    """Give a node as the value JSON would hold."""
    if isinstance(node, MapNode):
        return {entry.key.value: _plain(entry.value) for entry in node.entries}
    if isinstance(node, ListNode):
        return [_plain(item) for item in node.items]
    assert isinstance(node, ScalarNode)
    if _CONTROLS.search(node.value):
        raise RecordError(f"line {node.line}: control characters are not allowed")
    if not node.plain or node.block:
        return node.value
    if node.value.lower() in _WORDS:
        return _WORDS[node.value.lower()]
    return int(node.value) if _INTEGER.fullmatch(node.value) else node.value
