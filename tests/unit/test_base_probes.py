"""Describing models nobody listed: what is read off their files, and the checks."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.domain.base_facts import BaseFacts, context_of, estimate_params, gguf_arch_of
from dlm.domain.base_files import is_digested, is_used
from dlm.domain.base_models import ATTENTION_TARGETS, FUSED_TARGETS
from dlm.domain.errors import BaseModelError
from dlm.domain.hub_base import chat_dialect, describe_facts, target_modules_of
from dlm.domain.pretokenizers import FINGERPRINTS, fingerprint, infer_pretokenizer, pretokenizer_label
from dlm.domain.probes import run_probes
from tiny_tokenizers import CASES, CL100K, QWEN2

FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
CHATML = "<|im_start|>{{ role }}<|im_end|>"


def facts(name: str = "org/model", architecture: str = "LlamaForCausalLM", **changes: Any) -> BaseFacts:
    config = {"architectures": [architecture], **changes.pop("config", {})}
    given: dict[str, Any] = {"revision": "0" * 40, "files": FILES, "chat_template": CHATML, **changes}
    return BaseFacts(name=name, config=config, **given)


def test_the_estimate_of_weights_follows_the_formula() -> None:
    config = {"hidden_size": 576, "num_hidden_layers": 30, "vocab_size": 49_152}
    assert estimate_params(config) == 12 * 576**2 * 30 + 2 * 576 * 49_152
    assert estimate_params({}) == 12 * 2048**2 * 24 + 2 * 2048 * 32_000
    assert estimate_params({"num_parameters": 7}) == 7
    assert estimate_params({"n_embd": 768, "n_layer": 12, "vocab_size": 50_257}) == 12 * 768**2 * 12 + 1536 * 50_257


def test_counted_weights_beat_the_estimate() -> None:
    assert describe_facts("hf:org/model", facts(params=123)).params == 123


@given(
    st.dictionaries(
        st.sampled_from(
            ["hidden_size", "num_hidden_layers", "vocab_size", "max_position_embeddings", "num_parameters"]
        ),
        st.one_of(st.integers(), st.floats(), st.text(), st.booleans(), st.none(), st.lists(st.integers())),
    )
)
def test_whatever_a_config_says_the_description_is_valid(config: dict[str, Any]) -> None:
    spec = describe_facts("hf:org/model", facts(config=config))
    assert spec.params > 0
    assert 0 < spec.recommended_seq_len <= min(2048, spec.context_length)


def test_the_context_comes_from_the_config() -> None:
    assert context_of({"max_position_embeddings": 512, "n_positions": 9}) == 512
    assert context_of({"n_positions": 1024}) == 1024
    assert context_of({}) == 4096


@pytest.mark.parametrize(
    ("name", "architecture", "dialect"),
    [
        ("google/gemma-2-2b-it", "Gemma2ForCausalLM", "gemma2"),
        ("HuggingFaceTB/SmolLM3-3B", "SmolLM3ForCausalLM", "smollm3"),
        ("allenai/OLMo-2-7B", "Olmo2ForCausalLM", "olmo2"),
        ("meta-llama/Llama-3.1-8B-Instruct", "LlamaForCausalLM", "llama3"),
        ("microsoft/Phi-4-mini-reasoning", "Phi3ForCausalLM", "phi4mini"),
        ("microsoft/Phi-3-mini", "Phi3ForCausalLM", "phi3"),
        ("mistralai/Mistral-7B", "MistralForCausalLM", "mistral"),
        ("mistralai/Mixtral-8x7B", "MixtralForCausalLM", "mistral"),
        ("Qwen/Qwen2-1.5B", "Qwen2ForCausalLM", "chatml"),
    ],
)
def test_the_family_gives_the_dialect(name: str, architecture: str, dialect: str) -> None:
    assert chat_dialect(facts(name, architecture, chat_template=None)) == dialect


def test_the_chat_template_has_the_last_word_on_the_dialect() -> None:
    tuned = facts("someone/mistral-tuned", "MistralForCausalLM")
    assert chat_dialect(tuned) == "chatml"
    spec = describe_facts("hf:someone/odd", facts("someone/odd", chat_template="USER: {{ x }}"))
    assert "chat template" in str(spec.export_refusal)


def test_layers_are_read_off_the_weights() -> None:
    assert target_modules_of("llama", ()) == ATTENTION_TARGETS
    assert target_modules_of("phi3", ("model.layers.0.self_attn.qkv_proj.weight",)) == FUSED_TARGETS
    falcon = ("h.0.self_attention.query_key_value.weight", "h.0.self_attention.dense.weight", "lm_head.weight")
    assert target_modules_of("falcon", falcon) == ("query_key_value", "dense")
    assert target_modules_of("mystery", ("a.weight",)) == ("all-linear",)


def test_gguf_labels() -> None:
    assert gguf_arch_of("MixtralForCausalLM") == "llama"
    assert gguf_arch_of("CohereForCausalLM") == "cohere"


def test_every_failed_check_is_listed_with_how_many() -> None:
    bad = facts(files=("config.json", "pytorch_model.bin"), chat_template=None, config={"auto_map": {}})
    with pytest.raises(BaseModelError) as caught:
        describe_facts("hf:org/model", bad)
    assert caught.value.code == "base.unsafe-weights"
    assert "5 of 9 checks failed" in caught.value.message
    failed = {"weights", "remote_code", "tokenizer", "chat_template", "pretokenizer_label"}
    assert set(caught.value.details["probes"]) == failed


@pytest.mark.parametrize(
    ("architecture", "config", "code"),
    [
        ("LlavaForConditionalGeneration", {}, "base.media"),
        ("Qwen2VLForConditionalGeneration", {"vision_config": {}}, "base.media"),
        ("InternVLChatModel", {}, "base.media"),
        ("Qwen2AudioForConditionalGeneration", {"audio_config": {}}, "base.media"),
        ("T5ForConditionalGeneration", {"is_encoder_decoder": True}, "base.architecture"),
        ("BertForSequenceClassification", {}, "base.architecture"),
        ("", {}, "base.architecture"),
        ("LlamaForCausalLM", {"quantization_config": {"quant_method": "gptq"}}, "base.quantised"),
    ],
)
def test_models_of_another_kind_are_refused(architecture: str, config: dict[str, Any], code: str) -> None:
    with pytest.raises(BaseModelError) as caught:
        describe_facts("hf:org/model", facts(architecture=architecture, config=config))
    assert (caught.value.code, bool(caught.value.hint)) == (code, True)


def test_export_checks_can_be_left_out() -> None:
    odd = facts(architecture="CohereForCausalLM", chat_template="USER:")
    spec = describe_facts("hf:org/model", odd)
    assert "CohereForCausalLM" in str(spec.export_refusal)
    assert len(spec.notes) == 1  # there is no tokenizer.json to read the cutting rule from
    skipped = describe_facts("hf:org/model", odd, skip_export_probes=True)
    assert (skipped.export_refusal, skipped.notes) == (None, ())
    results = run_probes(odd, dialect=None, pre_note="x", skip_export=True)
    assert {result.name for result in results if result.skipped} == {"gguf_arch", "chat_dialect", "pretokenizer_label"}
    assert all(result.passed for result in results)


GPT4_STYLE = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def digits(*, individual: bool) -> dict[str, Any]:
    steps = [{"type": "Digits", "individual_digits": individual}, {"type": "ByteLevel"}]
    return {"type": "Sequence", "pretokenizers": steps}


def split(numbers: str) -> dict[str, Any]:
    first = {"type": "Split", "pattern": {"Regex": GPT4_STYLE % numbers}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [first, {"type": "ByteLevel", "use_regex": False}]}


@pytest.mark.parametrize(
    ("pre_tokenizer", "label"),
    [
        (split(r"\p{N}"), "qwen2"),
        (split(r"\p{N}{1,3}"), "dbrx"),
        (split(r"\p{N}{1,2}"), None),
        ({"type": "ByteLevel"}, "gpt-2"),
        ({"type": "ByteLevel", "add_prefix_space": True}, None),
        ({"type": "ByteLevel", "use_regex": False}, None),
        (digits(individual=True), "smollm"),
        (digits(individual=False), None),
        ({"type": "Metaspace"}, None),
        (None, None),
        ("x", None),
        ({"type": "Sequence", "pretokenizers": [1, "x"]}, None),
        ({"type": "Split", "pattern": 5}, None),
    ],
)
def test_the_cutting_rule_is_recognised_or_a_note_is_given(pre_tokenizer: object, label: str | None) -> None:
    found, note = infer_pretokenizer({"pre_tokenizer": pre_tokenizer, "model": {"type": "BPE"}})
    assert found == (label or "default")
    assert (note is None) == (label is not None)


@pytest.mark.parametrize(
    ("pattern", "ignores_merges", "label"),
    [
        (CL100K, True, "llama-bpe"),
        (CL100K, False, "dbrx"),
        (QWEN2, False, "qwen2"),
        (QWEN2, True, None),
        (CASES, False, "gpt-4o"),
    ],
)
def test_one_cutting_rule_has_two_labels_where_merging_differs(
    pattern: str, ignores_merges: bool, label: str | None
) -> None:
    steps = [{"type": "Split", "pattern": {"Regex": pattern}}, {"type": "ByteLevel", "use_regex": False}]
    model = {"type": "BPE", "ignore_merges": ignores_merges}
    assert pretokenizer_label({"pre_tokenizer": {"pretokenizers": steps, "type": "Sequence"}, "model": model}) == label


def test_a_fingerprint_is_that_of_the_ids_in_decimal() -> None:
    assert fingerprint([1, 22]) == hashlib.sha256(b"[1, 22]").hexdigest()
    assert all(len(digest) == 64 for digest in FINGERPRINTS)


def test_a_sentencepiece_vocabulary_needs_no_note() -> None:
    assert infer_pretokenizer({"model": {"type": "BPE", "byte_fallback": True}}) == ("default", None)
    assert infer_pretokenizer(None)[1]


@pytest.mark.parametrize(
    ("name", "used", "digested"),
    [
        ("model.safetensors", True, True),
        ("config.json", True, True),
        ("chat_template.jinja", True, True),
        ("tokenizer.model", True, True),
        ("LICENSE", True, False),
        ("consolidated.safetensors", False, False),
        ("onnx/model.safetensors", False, False),
        ("pytorch_model.bin", False, False),
        ("modeling_x.py", False, False),
        ("model.pkl", False, False),
        (".dlm-unpacked", False, False),
        ("README.md", False, False),
    ],
)
def test_which_files_are_fetched_and_count(name: str, used: bool, digested: bool) -> None:
    assert (is_used(name), is_digested(name)) == (used, digested)
