"""The JSON Schema of the settings, for editors that complete and check them while one writes.

``python -m dlm.domain.json_schema`` writes ``frontmatter.schema.json`` beside this module; a test keeps it fresh.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs

from dlm.domain.frontmatter import Frontmatter
from dlm.domain.settings import Group, GroupKind, GroupList, GroupsByName, knobs, plain

MEANT_WHEN_ABSENT = {"dlm_version": 1}
"""Keys whose absence means something else than the default of the value in memory."""

SCHEMA_PATH = Path(__file__).with_name("frontmatter.schema.json")


def frontmatter_schema() -> dict[str, Any]:
    """Give the schema (draft 2020-12) of the settings of the current version."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of a .dlm document",
        **_group_schema(Frontmatter),
    }


def schema_text() -> str:
    """Give the schema as the shipped file holds it."""
    return json.dumps(frontmatter_schema(), indent=2, sort_keys=True) + "\n"


def _group_schema(cls: type[Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required: list[str] = []
    for field, knob in knobs(cls):
        schema = {**_kind_schema(knob.kind), "description": knob.doc}
        if field.default is attrs.NOTHING:
            required.append(field.name)
        elif not isinstance(knob.kind, GroupKind) and field.default is not None:
            schema["default"] = MEANT_WHEN_ABSENT.get(field.name, plain(field.default))
        properties[field.name] = schema
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        **({"required": required} if required else {}),
    }


def _kind_schema(kind: Any) -> dict[str, Any]:
    if isinstance(kind, Group):
        return _group_schema(kind.cls)
    if isinstance(kind, GroupList):
        return {"anyOf": [{"type": "array", "items": _group_schema(kind.cls)}, {"type": "null"}]}
    if isinstance(kind, GroupsByName):
        named = {
            "type": "object",
            "propertyNames": {"pattern": kind.pattern.replace(r"\Z", "$"), "not": {"enum": list(kind.reserved)}},
            "additionalProperties": _group_schema(kind.cls),
            "minProperties": 1,
        }
        return {"anyOf": [named, {"type": "null"}]}
    schema: dict[str, Any] = kind.schema()
    if "pattern" in schema:
        schema["pattern"] = schema["pattern"].replace(r"\Z", "$")
    return schema


def main() -> None:
    """Write the schema file."""
    from dlm.domain.text_files import write_atomic

    write_atomic(SCHEMA_PATH, schema_text().encode())


if __name__ == "__main__":
    main()
