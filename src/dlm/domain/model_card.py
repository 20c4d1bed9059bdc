"""``README.md`` of an adapter folder: what the Hub shows, and how the adapter is loaded.

Nothing of the document's text goes into it, and no path: numbers, and names that are public anyway.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from dlm.domain.adapter_facts import AdapterFacts
from dlm.domain.base_models import BaseSpec, is_hub_id
from dlm.domain.frontmatter_text import value_text

CARD = "README.md"

_HUB_LICENSES = frozenset(
    {"apache-2.0", "mit", "gemma", "bsd-2-clause", "bsd-3-clause", "gpl-3.0", "agpl-3.0", "lgpl-3.0", "openrail"}
    | {"cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc0-1.0", "unlicense", "isc", "wtfpl", "zlib"}
)
"""Names under which the Hub knows licences. Source: its list of licence identifiers for model cards."""

_SCORES = (
    ("own", "the document's questions, word for word"),
    ("reworded", "the same questions in other words"),
    ("prose", "facts that only its prose says"),
    ("kept", "ordinary questions that the base answers and the adapter still does"),
)
"""What the exam counts, by its key there."""

_MARKS = re.compile(r"([\\`*_{}\[\]<>()#|!~$&])")


@attrs.frozen(kw_only=True)
class CardFacts:
    """What a card says.

    Args:
        name: the model's name for people.
        version: of the adapter.
        runs: trainings it has behind it.
        exam: of the last one, as ``Exam.to_json``; None when there was none. Only its figures are used.
        vllm_rank: ``--max-lora-rank`` to start vLLM with; None when vLLM cannot run this adapter.
        created_by: program and version.
    """

    name: str
    base: BaseSpec
    adapter: AdapterFacts
    version: int
    runs: int
    created_by: str
    exam: Mapping[str, Any] | None = None
    vllm_rank: int | None = None


def model_card(facts: CardFacts) -> str:
    """Give the text of ``README.md``."""
    parts = [_header(facts), _introduction(facts), _loading(facts), _training(facts)]
    if facts.vllm_rank is not None:
        parts.insert(3, _serving(facts, facts.vllm_rank))
    return "\n".join("".join(f"{line}\n" for line in part) for part in parts)


def _header(facts: CardFacts) -> Iterator[str]:
    """The Hub reads this as YAML. A base of one's own is not on the Hub, so it is not named there."""
    yield "---"
    if _on_hub(facts.base):
        yield f"base_model: {value_text(facts.base.hf_id)}"
        yield "base_model_relation: adapter"
    yield "library_name: peft"
    yield from license_lines(facts.base)
    yield "pipeline_tag: text-generation"
    yield "tags:"
    yield "- lora"
    yield "- dlm"
    yield "---"


def license_lines(base: BaseSpec) -> Iterator[str]:
    """Give the lines of a card's header that name the base's licence as the Hub knows it."""
    name = base.license_spdx.lower()
    if name in _HUB_LICENSES:
        yield f"license: {name}"
        return
    yield "license: other"
    yield f"license_name: {value_text(flat(base.license_spdx))}"
    if base.license_url is not None:
        yield f"license_link: {value_text(flat(base.license_url))}"


def _introduction(facts: CardFacts) -> Iterator[str]:
    yield f"# {words(facts.name)}"
    yield ""
    kind = "DoRA" if facts.adapter.use_dora else "LoRA"
    revision = f", revision `{facts.base.revision}`" if facts.base.revision else ""
    yield f"A {kind} adapter for {words(facts.base.hf_id)}{revision}, trained from a `.dlm` document. It holds what"
    yield "the document taught and needs the base model to run; the base model's licence goes for both."


def _loading(facts: CardFacts) -> Iterator[str]:
    yield "## Use it with Transformers and PEFT"
    yield ""
    yield "```python"
    yield "from peft import PeftModel"
    yield "from transformers import AutoModelForCausalLM, AutoTokenizer"
    yield ""
    yield 'adapter = "."  # this folder, or the name of this repository'
    revision = f", revision={_python(facts.base.revision)}" if facts.base.revision else ""
    yield f"base = AutoModelForCausalLM.from_pretrained({_python(facts.base.hf_id)}{revision})"
    yield "tokenizer = AutoTokenizer.from_pretrained(adapter)"
    yield "model = PeftModel.from_pretrained(base, adapter)"
    yield ""
    if facts.adapter.has_chat_template:
        yield 'turns = [{"role": "user", "content": "Your question"}]'
        yield "prompt = tokenizer.apply_chat_template("
        yield '    turns, add_generation_prompt=True, return_tensors="pt", return_dict=True'
        yield ")"
    else:
        yield 'prompt = tokenizer("Your text", return_tensors="pt")'
    yield "tokens = model.generate(**prompt, max_new_tokens=200)[0]"
    yield 'print(tokenizer.decode(tokens[prompt["input_ids"].shape[1] :], skip_special_tokens=True))'
    yield "```"


def _serving(facts: CardFacts, rank: int) -> Iterator[str]:
    revision = f" --revision {facts.base.revision}" if facts.base.revision else ""
    yield "## Serve it with vLLM"
    yield ""
    yield "```bash"
    yield f"vllm serve {shlex.quote(flat(facts.base.hf_id))}{revision} \\"
    yield f"  --enable-lora --max-lora-rank {rank} --lora-modules adapter=."
    yield "```"
    yield ""
    yield "The model to ask for is called `adapter`."


def _training(facts: CardFacts) -> Iterator[str]:
    adapter = facts.adapter
    yield "## How it was trained"
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| version | {facts.version} |"
    yield f"| training runs | {facts.runs} |"
    yield f"| base held in | {'4 bits' if adapter.trained_4bit else '16 or 32 bits'} |"
    yield f"| highest rank | {adapter.highest_rank} |"
    yield f"| layers changed | {len(adapter.ranks)} |"
    for key, meaning in _SCORES:
        right, asked = _score(facts.exam, key)
        if asked:
            yield f"| {meaning} | {right} of {asked} |"
    drift = (facts.exam or {}).get("drift")
    if _is_number(drift):
        yield f"| drift from the base on ordinary questions | {drift:.3f} nats/token |"
    yield ""
    yield f"Written by {words(facts.created_by)}."


def _score(exam: Mapping[str, Any] | None, key: str) -> tuple[int, int]:
    """Give right and asked; records of other versions may hold anything."""
    score = (exam or {}).get(key)
    right, asked = (score.get("right"), score.get("asked")) if isinstance(score, Mapping) else (None, None)
    return (right, asked) if type(right) is int and type(asked) is int else (0, 0)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _on_hub(base: BaseSpec) -> bool:
    return not base.is_local and is_hub_id(base.hf_id)


def words(text: str) -> str:
    """Give a text that Markdown shows as it is."""
    return _MARKS.sub(r"\\\1", flat(text))


def _python(text: str | None) -> str:
    return json.dumps(flat(text or ""))


def flat(text: str) -> str:
    """Give a text on one line, without half characters and signs that nobody sees."""
    whole = text.encode("utf-8", "replace").decode()
    return " ".join("".join(char if char.isprintable() else " " for char in whole).split())
