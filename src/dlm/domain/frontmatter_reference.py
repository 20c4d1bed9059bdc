"""The reference page of the settings, drawn from the same declarations that read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from dlm.domain.frontmatter import CURRENT_VERSION, Frontmatter
from dlm.domain.json_schema import MEANT_WHEN_ABSENT
from dlm.domain.settings import Group, GroupKind, GroupList, GroupsByName, Knob, knobs, yaml_word

_HEAD = f"""# Settings of a document

The lines between the two `---` at the top of a `.dlm` file are its settings, written in YAML. Only `dlm_id` and
`base_model` are required; leave every other key out until you need it. A key that is not listed here is refused.

```yaml
---
dlm_id: 01HQ8Z0000000000000000000A
dlm_version: {CURRENT_VERSION}
base_model: smollm2-135m
training:
  seed: 7
---
```

Words such as `2e-4` count as numbers where a number is expected, and `yes`, `no`, `on`, `off` as `true` and `false`.
Text that looks like a number or a date must be quoted.
"""


def frontmatter_markdown() -> str:
    """Give the page: every key with its type and range, default and meaning."""
    return "\n".join([_HEAD, *_sections(Frontmatter, "", "Top level")])


def _sections(cls: type[Any], path: str, title: str) -> Iterator[str]:
    yield f"## {title}\n"
    yield "| Key | Value | Default | Meaning |\n|---|---|---|---|"
    for field, knob in knobs(cls):
        yield f"| `{field.name}` | {_cell(knob.kind.describe())} | {_default(field, knob)} | {_cell(knob.doc)} |"
    yield ""
    for field, knob in knobs(cls):
        inner = f"{path}.{field.name}".lstrip(".")
        if isinstance(knob.kind, Group):
            yield from _sections(knob.kind.cls, inner, f"`{inner}`")
        elif isinstance(knob.kind, GroupsByName):
            yield from _sections(knob.kind.cls, inner, f"`{inner}.<name>`")
        elif isinstance(knob.kind, GroupList):
            yield from _sections(knob.kind.cls, inner, f"`{inner}[]`")


def _default(field: attrs.Attribute[Any], knob: Knob) -> str:
    if isinstance(knob.kind, Group):
        return "see below"
    if field.default is attrs.NOTHING:
        return "required"
    if field.default is None and not isinstance(knob.kind, GroupKind) and "null" not in knob.kind.describe():
        return "not set"
    return f"`{yaml_word(MEANT_WHEN_ABSENT.get(field.name, field.default))}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
