"""The texts that go beside exported weights for people and for evaluation tools."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from base_made import resolved_base, write_model
from dlm.domain.adapter_facts import AdapterFacts
from dlm.domain.base_models import BaseSpec
from dlm.domain.document import Document
from dlm.domain.evaluation_suite import SuiteModel, suite_text
from dlm.domain.model_card import CardFacts, model_card
from dlm.domain.rows import Row, Turn

ADAPTER = AdapterFacts(base_name="x", kind="LORA", ranks={"q": 8}, alphas={"q": 16.0}, has_chat_template=True)
EXAM = {
    "own": {"right": 7, "asked": 8},
    "prose": {"right": 0, "asked": 0},
    "kept": {"right": "all", "asked": 3},
    "drift": 0.0312,
    "missed": [{"question": "a private question", "given": "a private answer"}],
}


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> BaseSpec:
    return resolved_base(write_model(tmp_path_factory.mktemp("base") / "model")).spec


def card(spec: BaseSpec, **changes: Any) -> str:
    values: dict[str, Any] = {"name": "tides", "adapter": ADAPTER, "version": 3, "runs": 5, "created_by": "dlm-1.0"}
    return model_card(CardFacts(base=spec, **{**values, **changes}))


def yaml(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def header(text: str) -> dict[str, Any]:
    _, front, _ = text.split("---\n", 2)
    found: dict[str, Any] = yaml(front)
    return found


def other(spec: BaseSpec, **changes: Any) -> BaseSpec:
    import attrs

    return attrs.evolve(spec, **changes)


def test_the_hub_learns_base_library_and_licence(spec: BaseSpec) -> None:
    assert header(card(spec)) == {
        "base_model": "Example/Tiny",
        "base_model_relation": "adapter",
        "library_name": "peft",
        "license": "mit",
        "pipeline_tag": "text-generation",
        "tags": ["lora", "dlm"],
    }


def test_a_licence_the_hub_does_not_know_is_named_and_linked(spec: BaseSpec) -> None:
    found = header(card(other(spec, license_spdx="Other: #1", license_url="https://example.org/a?b=c#d")))
    assert (found["license"], found["license_name"]) == ("other", "Other: #1")
    assert found["license_link"] == "https://example.org/a?b=c#d"


def test_a_folder_of_ones_own_is_not_named_as_a_base_on_the_hub(spec: BaseSpec) -> None:
    text = card(other(spec, key="path:/home/ann/tiny", hf_id="tiny", revision=None))
    assert "base_model" not in header(text)
    assert "/home/ann" not in text
    assert "revision" not in text


def test_figures_are_told_and_texts_are_not(spec: BaseSpec) -> None:
    text = card(spec, exam=EXAM)
    assert "| the document's questions, word for word | 7 of 8 |" in text
    assert "| drift from the base on ordinary questions | 0.031 nats/token |" in text
    assert "prose" not in text
    assert "still does" not in text
    assert "private" not in text
    assert "| version | 3 |" in text
    assert "| training runs | 5 |" in text
    assert "nats" not in card(spec)


def test_vllm_is_shown_where_it_can_run_the_adapter(spec: BaseSpec) -> None:
    assert "vllm" not in card(spec)
    command = re.search(r"```bash\n(.*?)```", card(spec, vllm_rank=16), re.DOTALL)
    assert command is not None
    words = shlex.split(command[1].replace("\\\n", " "))
    assert words[:5] == ["vllm", "serve", "Example/Tiny", "--revision", "a" * 40]
    assert words[-3:] == ["16", "--lora-modules", "adapter=."]


@given(st.text(max_size=60), st.text(min_size=1, max_size=30))
def test_hostile_names_stay_names(name: str, folder: str) -> None:
    base = BaseSpec(
        key=f"path:/x/{folder}",
        hf_id=folder,
        revision=None,
        architecture="L",
        params=1,
        size_gb_fp16=0.1,
        modality="text",
        context_length=8,
        recommended_seq_len=8,
        template="chatml",
        gguf_arch="llama",
        tokenizer_pre="default",
        target_modules=("q",),
        license_spdx=folder,
        license_url=None,
    )
    text = card(base, name=name, vllm_rank=8)
    assert set(header(text)) <= {"library_name", "license", "license_name", "pipeline_tag", "tags"}
    headings = [line for line in text.split("\n") if line.startswith("#")]
    assert len(headings) == 4
    code = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    compile(code[0], "card", "exec")
    assert len(shlex.split(re.findall(r"^vllm serve .*", text, re.MULTILINE)[0][:-2])) == 3


@pytest.mark.filterwarnings("ignore:::peft", "ignore:.*is_gradient_checkpointing")
@pytest.mark.parametrize("chat", [True, False])
def test_the_shown_lines_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], chat: bool
) -> None:
    import attrs
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from tiny import tiny_base

    base = tiny_base(tmp_path / "base")
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(str(base.folder)), LoraConfig(target_modules=["q_proj"])
    )
    model.save_pretrained(str(tmp_path))
    AutoTokenizer.from_pretrained(str(base.folder)).save_pretrained(str(tmp_path))
    text = card(base.spec, adapter=attrs.evolve(ADAPTER, has_chat_template=chat))
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    exec(code[1].replace("max_new_tokens=200", "max_new_tokens=3"), {})
    assert capsys.readouterr().out


DOCUMENT = """---
dlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7
dlm_version: 15
base_model: smollm2-135m
---
# Tides

The tide turns at nine.

::instruction::
### Q
When does the tide turn?
### A
At nine.
And again at three.

### Q
Who says: "it's #1"?
### A
- nobody
"""
BASE = SuiteModel(kind="hf", base="Example/Tiny")
EXPORT = SuiteModel(kind="gguf", base="base.Q8_0.gguf", adapter="adapter.gguf")


def test_the_suite_holds_every_question_with_its_answer() -> None:
    rows = Document.parse(DOCUMENT).rows()
    found = yaml(suite_text(rows, source="tides.dlm", before=BASE, exported=EXPORT, system_prompt="Be brief."))
    assert list(found) == ["version", "dlm_source", "models", "defaults", "suite"]
    assert found["models"] == {
        "base": {"kind": "hf", "base": "Example/Tiny"},
        "ft": {"kind": "gguf", "base": "base.Q8_0.gguf", "adapter": "adapter.gguf"},
    }
    assert found["defaults"] == {"seed": 0, "coverage_threshold": 0.75, "system_prompt": "Be brief."}
    pairs = [row for row in rows if row.kind == "instruction"]
    assert [(item["prompt"], item["reference"]) for item in found["suite"]] == [
        ("When does the tide turn?", "At nine.\nAnd again at three."),
        ('Who says: "it\'s #1"?', "- nobody"),
    ]
    assert [item["name"] for item in found["suite"]] == [f"{row.section_id}-{row.sub}" for row in pairs]
    assert all(item["reworded"] != item["prompt"] for item in found["suite"])


def test_a_document_without_questions_has_an_empty_suite() -> None:
    rows = Document.parse(DOCUMENT.partition("::instruction::")[0]).rows()
    found = yaml(suite_text(rows, source="tides.dlm", before=BASE, exported=EXPORT))
    assert found["suite"] == []
    assert "system_prompt" not in found["defaults"]


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)


@given(_TEXT, _TEXT, _TEXT)
def test_every_text_comes_back_as_it_was(question: str, answer: str, name: str) -> None:
    row = Row(kind="instruction", section_id="0" * 16, turns=(Turn("user", question), Turn("assistant", answer)))
    found = yaml(suite_text([row], source=name, before=BASE, exported=EXPORT, system_prompt=answer))
    (item,) = found["suite"]
    assert (item["prompt"], item["reference"]) == (question, answer)
    assert found["dlm_source"] == name
    assert found["defaults"]["system_prompt"] == answer
