"""The registry table: its promises hold for each row."""

from __future__ import annotations

import subprocess
import sys

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.domain.base_facts import gguf_arch_of
from dlm.domain.base_models import REVISION, TEMPLATES, BaseSpec, is_hub_id
from dlm.domain.base_rows import (
    BASES,
    DEFAULT_BASE,
    bases_markdown,
    describe_listed,
    find_base,
    refuse_unusable,
    row_of_hub_id,
)
from dlm.domain.errors import BaseModelError
from dlm.domain.pretokenizers import DEFAULT_PRE, FINGERPRINTS
from dlm.testing.registries import tiny_base

EACH = pytest.mark.parametrize("row", list(BASES.values()), ids=list(BASES))


def test_the_table_has_its_27_rows_in_order() -> None:
    keys = list(BASES)
    assert len(keys) == 27
    assert keys[:2] == ["qwen2.5-0.5b", "qwen2.5-1.5b"]
    assert keys[-1] == "qwen2-audio-7b-instruct"
    assert DEFAULT_BASE in BASES


@EACH
def test_each_row_is_pinned_and_named(row: BaseSpec) -> None:
    assert find_base(row.key) is row
    assert REVISION.fullmatch(str(row.revision))
    assert is_hub_id(row.hf_id)
    assert row.license_url
    assert row.recommended_seq_len <= row.context_limit <= row.context_length
    assert row.suggested_temperature == (0.6 if row.reasoning_tuned else 0.7)


@EACH
def test_the_stated_size_fits_the_number_of_weights(row: BaseSpec) -> None:
    assert row.size_gb_fp16 == pytest.approx(2 * row.params / 1e9, rel=0.3)


@EACH
def test_gated_rows_may_not_be_bundled_and_others_may(row: BaseSpec) -> None:
    assert row.requires_acceptance == (not row.redistributable)


def test_what_the_rows_say_that_is_special() -> None:
    def those(name: str) -> set[str]:
        return {key for key, row in BASES.items() if getattr(row, name)}

    assert those("requires_acceptance") == {
        "llama-3.2-1b",
        "llama-3.2-3b",
        "llama-3.3-8b-instruct",
        "gemma-2-2b-it",
        "gemma-2-9b-it",
        "paligemma-3b-mix-224",
    }
    assert those("refusal") == those("trust_remote_code") == {"internvl2-2b", "internvl3-2b"}
    assert those("redistributable_conditions") == {"qwen2.5-3b"}
    assert those("capability_warning") == {"smollm2-135m"}
    assert those("provenance_url") == {"llama-3.3-8b-instruct"}
    assert those("media_plan") == {key for key, row in BASES.items() if "language" in row.modality}
    assert {row.template for row in BASES.values()} == set(TEMPLATES)


def test_labels_of_text_bases_are_those_of_their_families() -> None:
    text = [row for row in BASES.values() if row.modality in ("text", "text-moe")]
    assert {row.key: row.gguf_arch for row in text} == {row.key: gguf_arch_of(row.architecture) for row in text}
    assert {row.tokenizer_pre for row in text} <= {DEFAULT_PRE, *FINGERPRINTS.values()}
    assert find_base("smollm3-3b").tokenizer_pre == "llama-bpe"
    assert find_base("olmo-2-7b-instruct").tokenizer_pre == "dbrx"
    assert find_base("phi-4-mini-reasoning").tokenizer_pre == "gpt-4o"
    with_sentencepiece = ("phi-3.5-mini", "mixtral-8x7b-instruct", "gemma-2-2b-it", "gemma-2-9b-it")
    assert {find_base(key).tokenizer_pre for key in with_sentencepiece} == {DEFAULT_PRE}


def test_adapters_of_media_bases_stay_in_the_language_model() -> None:
    import re

    scope = find_base("paligemma-3b-mix-224").lora_scope
    assert scope
    assert re.fullmatch(scope, "model.language_model.layers.0.self_attn.q_proj")
    assert not re.fullmatch(scope, "model.vision_tower.vision_model.encoder.layers.0.self_attn.q_proj")
    assert find_base("qwen2.5-1.5b").lora_scope is None


@pytest.mark.parametrize("typo", ["smollm2-135", "Qwen2.5-1.5B", "qwen2.5-1-5b", "llama3.2-1b"])
def test_a_typo_is_answered_with_the_key_that_was_meant(typo: str) -> None:
    with pytest.raises(BaseModelError) as caught:
        find_base(typo)
    assert caught.value.code == "base.unknown"
    assert caught.value.details["close"]
    assert "22 more" in caught.value.message
    assert "hf:" in str(caught.value.hint)


@given(st.text(max_size=300))
def test_anything_else_is_unknown_and_told_shortly(selector: str) -> None:
    if selector in BASES:
        return
    with pytest.raises(BaseModelError) as caught:
        find_base(selector)
    assert len(caught.value.message) < 1200


def test_a_refused_row_says_what_to_use_instead() -> None:
    with pytest.raises(BaseModelError, match="qwen2-vl-2b-instruct") as caught:
        refuse_unusable(find_base("internvl3-2b"))
    assert caught.value.code == "base.refused"
    refuse_unusable(find_base("qwen2.5-1.5b"))


def test_a_listed_hub_id_is_found_without_regard_to_case() -> None:
    row = find_base("smollm2-135m")
    assert row_of_hub_id(row.hf_id.upper()) == row
    assert describe_listed(row.hf_id.lower()) == attrs.evolve(row, key=f"hf:{row.hf_id.lower()}")
    assert describe_listed("nobody/nothing") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"key": ""},
        {"hf_id": "no-slash"},
        {"hf_id": "a/b/c"},
        {"revision": "main"},
        {"revision": "A" * 40},
        {"architecture": ""},
        {"params": 0},
        {"size_gb_fp16": -1.0},
        {"context_length": 0},
        {"context_length_effective": 1024},
        {"context_length_effective": 0},
        {"recommended_seq_len": 0},
        {"template": "morse"},
        {"target_modules": ()},
        {"target_modules": ("q_proj", "")},
        {"requires_acceptance": True},
        {"modality": "smell"},
        {"modality": "vision-language"},
        {"media_plan": {"target_size": (1, 1)}},
        {"modality": "audio-language", "media_plan": {"sample_rate": 16_000}},
        {"provenance_url": "https://example.org"},
        {"refresh_check_hf_gating": False},
    ],
    ids=str,
)
def test_a_row_that_breaks_a_rule_cannot_be_built(changes: dict[str, object]) -> None:
    with pytest.raises(BaseModelError) as caught:
        tiny_base(**changes)
    assert caught.value.code == "base.bad-row"


@pytest.mark.parametrize("name", ["target_size", "num_image_tokens", "image_token", "resize_policy"])
def test_a_media_plan_with_an_impossible_value_cannot_be_built(name: str) -> None:
    row = find_base("qwen2-vl-2b-instruct")
    bad = {"target_size": (0, 1), "num_image_tokens": 0, "image_token": "", "resize_policy": "stretch"}
    with pytest.raises(BaseModelError):
        attrs.evolve(row, media_plan={**(row.media_plan or {}), name: bad[name]})


def test_the_markdown_table_has_a_line_per_row() -> None:
    lines = bases_markdown().splitlines()
    assert len(lines) == 2 + len(BASES)
    assert all(line.count("|") == lines[0].count("|") for line in lines)
    assert all(f"`{key}`" in line for key, line in zip(BASES, lines[2:], strict=True))


def test_describing_a_row_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from dlm.adapters.folder_base import FolderBaseSource\n"
        "from dlm.adapters.hub import HubCacheSource, HubDownloadSource, HubModelLookup\n"
        "from dlm.adapters.registry import ChainRegistry\n"
        "from dlm.adapters.weight_package import WeightPackageSource\n"
        "home = Path('unused')\n"
        "sources = (FolderBaseSource(), WeightPackageSource(home=home), HubCacheSource({}), HubDownloadSource({}))\n"
        "registry = ChainRegistry(sources=sources, hub=HubModelLookup(home, {}), home=home)\n"
        "assert registry.describe('smollm2-135m').params\n"
        "heavy = {'torch', 'transformers', 'huggingface_hub', 'numpy', 'gguf', 'safetensors', 'tqdm', 'httpx'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
