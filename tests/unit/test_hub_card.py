"""The README beside a pack on the Hub."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from ruamel.yaml import YAML

from dlm.domain.hub_card import hub_card
from dlm.domain.pack import PackHeader, PackManifest

HEADER = PackHeader(
    created_at=datetime(2026, 1, 2, tzinfo=UTC), tool_version="0.1.0", content_type="minimal", platform_hint="linux"
)
MANIFEST = PackManifest(
    dlm_id="01ARZ3NDEKTSV4RRFFQ69G5FAV",
    base_model="smollm2-135m",
    base_model_revision="a" * 40,
    base_model_sha256=None,
    adapter_version=3,
    entries={},
    content_sha256="0" * 64,
)


def card(base: str = "smollm2-135m", **changes: Any) -> tuple[dict[str, Any], str]:
    text = hub_card("anna/notes", HEADER, attrs.evolve(MANIFEST, base_model=base), **changes)
    _, header, body = text.split("---\n", 2)
    return YAML(typ="safe").load(header), body


def test_the_header_names_library_tags_base_and_licence() -> None:
    header, _ = card()
    assert header == {
        "base_model": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "base_model_relation": "adapter",
        "library_name": "dlm",
        "license": "apache-2.0",
        "tags": ["dlm", "lora-adapter"],
    }


def test_the_body_says_what_it_is_and_how_to_fetch_it() -> None:
    _, body = card(signed=True, revision="v2")
    assert "dlm pull hf:anna/notes@v2\n" in body
    assert "| dlm_id | 01ARZ3NDEKTSV4RRFFQ69G5FAV |" in body
    assert "| base_model | smollm2-135m \\(HuggingFaceTB/SmolLM2-135M-Instruct\\) |" in body
    assert "| adapter_version | 3 |" in body
    assert "adapter.dlm.pack.minisig" in body
    assert "unknown" not in body


def test_an_unsigned_pack_promises_no_signature() -> None:
    assert "minisig" not in card()[1]


def test_a_base_of_the_hub_outside_the_registry() -> None:
    header, body = card("hf:some/model")
    assert header["base_model"] == "some/model"
    assert "license" not in header
    assert "Look it up" in body


@pytest.mark.parametrize("base", ["path:/home/anna/secret", "hf:../x", "other"])
def test_a_base_that_is_not_on_the_hub_is_not_named_there(base: str) -> None:
    header, body = card(base)
    assert "base_model" not in header
    assert "anna/secret" not in body


def test_no_value_breaks_out() -> None:
    hostile = "x\n---\nlicense: mit | <script>`"
    header = attrs.evolve(HEADER, tool_version=hostile, licensee_acceptance_url=hostile)
    manifest = attrs.evolve(MANIFEST, dlm_id=hostile, base_model=hostile, base_model_revision=hostile)
    lines = hub_card("anna/notes", header, manifest).splitlines()
    assert [line for line in lines if line == "---"] == ["---", "---"]
    assert not [line for line in lines if line.startswith("license")]
    assert "<script>" not in "\n".join(lines)
