"""The shipped JSON Schema and the reference page follow the declarations."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # has no stubs
import pytest

from dlm.domain.frontmatter import Frontmatter, TrainingConfig
from dlm.domain.frontmatter_reference import frontmatter_markdown
from dlm.domain.json_schema import SCHEMA_PATH, frontmatter_schema, schema_text
from dlm.domain.settings import knobs, plain

VALID = {"dlm_id": "01HQ8Z0000000000000000000A", "base_model": "b"}


def test_the_shipped_schema_is_fresh() -> None:
    assert SCHEMA_PATH.read_text(encoding="utf-8") == schema_text(), "run: python -m dlm.domain.json_schema"


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(frontmatter_schema())


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"training": {"adapters": {"tone": {}, "facts": {"lora_r": 4}}, "gate": {"enabled": True}}},
        {"training": {"sources": [{"path": "x"}], "precision": None, "target_modules": ["q_proj"]}},
        {"export": {"default_temperature": 2}, "system_prompt": None},
    ],
)
def test_good_settings_pass(extra: dict[str, Any]) -> None:
    jsonschema.validate(VALID | extra, frontmatter_schema())


@pytest.mark.parametrize(
    "extra",
    [
        {"dlm_id": "short"},
        {"unknown": 1},
        {"training": None},
        {"training": {"lora_r": 0}},
        {"training": {"learning_rate": 0}},
        {"training": {"adapters": {}}},
        {"training": {"adapters": {"default": {}}}},
        {"training": {"adapters": {"Bad": {}}}},
        {"training": {"sources": [{}]}},
        {"export": {"default_quant": "F16"}},
    ],
)
def test_bad_settings_fail(extra: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(VALID | extra, frontmatter_schema())


def test_defaults_in_memory_satisfy_the_schema() -> None:
    settings = plain(TrainingConfig())
    del settings["preference"]["enabled"]
    jsonschema.validate(VALID | {"training": settings}, frontmatter_schema())


def test_every_key_is_explained_on_the_page_and_in_the_schema() -> None:
    page = frontmatter_markdown()

    def check(cls: type[Any], schema: dict[str, Any]) -> None:
        for field, knob in knobs(cls):
            assert f"| `{field.name}` |" in page
            assert schema["properties"][field.name]["description"] == knob.doc
            assert len(knob.doc) > 20

    check(Frontmatter, frontmatter_schema())
    check(TrainingConfig, frontmatter_schema()["properties"]["training"])
    for line in page.splitlines():
        if line.startswith("|"):
            assert line.count("|") - line.count("\\|") == 5


def test_importing_documents_is_light() -> None:
    code = "import sys, dlm.domain.document; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"ruamel", "numpy", "torch", "cattrs", "json", "difflib", "html", "dlm.domain.edits", "datetime"}
    assert not heavy & set(loaded)


def test_the_schema_command_writes_what_is_shipped() -> None:
    before = SCHEMA_PATH.read_bytes()
    subprocess.run([sys.executable, "-m", "dlm.domain.json_schema"], check=True)
    assert SCHEMA_PATH.read_bytes() == before
    assert json.loads(before)["additionalProperties"] is False
