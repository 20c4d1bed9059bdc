"""What an adapter may be exported as, decided before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.domain.adapter_facts import AdapterFacts
from dlm.domain.adapter_hygiene import LORA_RANKS, WeightsPlan, names_base, plan_weights, rank_limit, vllm_rank
from dlm.domain.base_models import BaseSpec, Origin, ResolvedBase
from dlm.domain.error_codes import ERROR_CODES
from dlm.domain.errors import ExportError
from dlm.domain.export_targets import TARGETS, TargetName

Q = "model.layers.0.self_attn.q_proj"
DOWN = "model.layers.1.mlp.down_proj"
ROWS = 32
GGUF: tuple[TargetName, ...] = ("ollama", "llama-server")
OTHERS: tuple[TargetName, ...] = ("vllm", "mlx-serve", "hf-adapter")


def base(*, tied: bool | None = True, **changes: Any) -> ResolvedBase:
    values: dict[str, Any] = {
        "key": "tiny",
        "hf_id": "Example/Tiny-1B",
        "revision": "a" * 40,
        "architecture": "LlamaForCausalLM",
        "params": 30_000,
        "size_gb_fp16": 0.001,
        "modality": "text",
        "context_length": 512,
        "recommended_seq_len": 256,
        "template": "chatml",
        "gguf_arch": "llama",
        "tokenizer_pre": "default",
        "target_modules": ("q_proj",),
        "license_spdx": "MIT",
        "license_url": None,
    }
    spec = BaseSpec(**{**values, **changes})
    config = {} if tied is None else {"tie_word_embeddings": tied}
    return ResolvedBase(spec=spec, folder=Path("/models/tiny"), origin="hub-cache", config=config, sha256="b" * 64)


def facts(*modules: str, rank: int = 8, **changes: Any) -> AdapterFacts:
    names = modules or (Q, DOWN)
    values: dict[str, Any] = {
        "base_name": "example/tiny-1b",
        "kind": "LORA",
        "ranks": dict.fromkeys(names, rank),
        "alphas": dict.fromkeys(names, 16.0),
        "vocabulary_size": ROWS,
        "has_chat_template": True,
    }
    return AdapterFacts(**{**values, **changes})


def plan(found: AdapterFacts, target: TargetName, *, on: ResolvedBase | None = None, **options: Any) -> WeightsPlan:
    flags = {"merged": False, "dequantize": False, "writes_template": True, "base_rows": ROWS, **options}
    return plan_weights(found, on or base(), TARGETS[target], **flags)


def refusal(found: AdapterFacts, target: TargetName, *, on: ResolvedBase | None = None, **options: Any) -> ExportError:
    with pytest.raises(ExportError) as caught:
        plan(found, target, on=on, **options)
    return caught.value


def plan_or_refusal(found: AdapterFacts, target: TargetName, **options: Any) -> WeightsPlan | ExportError:
    try:
        return plan(found, target, **options)
    except ExportError as exc:
        return exc


@pytest.mark.parametrize("target", TARGETS)
def test_plain_lora_goes_everywhere_as_it_is(target: TargetName) -> None:
    found = plan(facts(), target)
    assert not found.merged.value
    assert found.merged.reason
    assert found.notes == ()
    assert found.lora_rank_limit == (8 if target == "vllm" else None)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("changes", "probe", "code"),
    [
        ({"base_name": "example/other"}, "adapter_config", "export.foreign-base"),
        ({"base_name": ""}, "adapter_config", "export.foreign-base"),
        ({"nonfinite_tensor": "x.lora_A.weight"}, "finite", "export.bad-weights"),
        ({"vocabulary_size": None}, "tokenizer_vocab", "export.damaged-adapter"),
        ({"vocabulary_size": ROWS + 1}, "tokenizer_vocab", "export.vocabulary"),
        ({"has_chat_template": False}, "chat_template", "export.no-chat-template"),
    ],
)
def test_what_is_wrong_in_itself_is_refused_everywhere(
    target: TargetName, changes: dict[str, Any], probe: str, code: str
) -> None:
    error = refusal(facts(**changes), target)
    assert (error.subject, error.code) == (f"preflight[{probe}]", code)
    assert error.hint


@pytest.mark.parametrize("target", TARGETS)
def test_a_base_that_changed_since_training_is_refused(target: TargetName) -> None:
    error = refusal(facts(), target, recorded_base_sha256="c" * 64)
    assert (error.subject, error.code) == ("preflight[base_identity]", "export.base-changed")
    assert "cccccccccccc" in error.message
    assert "rain again" in (error.hint or "")
    plan(facts(), target, recorded_base_sha256="b" * 64)
    plan(facts(), target, on=attrs.evolve(base(), sha256=None), recorded_base_sha256="c" * 64)


def test_an_export_without_template_needs_none() -> None:
    assert not plan(facts(has_chat_template=False), "ollama", writes_template=False).merged.value


TRAITS: list[tuple[str, AdapterFacts, set[str], bool]] = [
    # the trait's probe, an adapter with it, targets beside GGUF that run it, whether GGUF gets it merged
    ("adapter_kind", facts(kind="IA3", ranks={}, alphas={}), {"hf-adapter"}, False),
    ("adapter_settings", facts(peculiar=("lora_bias",)), {"hf-adapter"}, False),
    ("adapter_tensors", facts(other_tensors=("model.x.weight",)), {"hf-adapter"}, False),
    ("vl_target_modules_lm_only", facts("model.vision_tower.layers.0.q_proj"), {"hf-adapter"}, False),
    ("vl_target_modules_lm_only", facts("model.visual.blocks.0.attn.qkv"), {"hf-adapter"}, False),
    ("vl_target_modules_lm_only", facts("multi_modal_projector.linear_1"), {"hf-adapter"}, False),
    ("embedding_rows", facts(saved_modules=("model.norm", "lm_head")), {"hf-adapter"}, True),
    (
        "embedding_rows",
        facts(saved_modules=("model.embed_tokens",), vocabulary_size=ROWS + 2),
        {"hf-adapter"},
        True,
    ),
    (
        "embedding_rows",
        facts(Q, "model.embed_tokens", other_tensors=("base_model.model.model.embed_tokens.base_layer.weight",)),
        {"hf-adapter"},
        True,
    ),
    ("output_layer", facts(Q, "lm_head"), {"hf-adapter"}, True),
    ("saved_modules", facts(saved_modules=("model.norm",)), {"hf-adapter"}, True),
    ("bias", facts(bias="lora_only"), {"hf-adapter"}, True),
    ("dora", facts(use_dora=True), {"hf-adapter", "mlx-serve"}, True),
]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("probe", "found", "runs_on", "merges"), TRAITS)
def test_what_a_target_cannot_run_is_merged_or_refused(
    target: TargetName, probe: str, found: AdapterFacts, runs_on: set[str], merges: bool
) -> None:
    if target in runs_on:
        assert not plan(found, target).merged.value
    elif target in GGUF and merges:
        decided = plan(found, target).merged
        assert decided.value
        assert "only a merged model can hold" in decided.reason
    else:
        error = refusal(found, target)
        assert (error.subject, error.code) == (f"preflight[{probe}]", "export.cannot-carry")
        assert TARGETS[target].title in error.message
        assert ("--target llama-server" if merges else "--target hf-adapter") in (error.hint or "")


def test_an_output_layer_of_its_own_needs_no_merge() -> None:
    found = facts(Q, "lm_head")
    assert not plan(found, "llama-server", on=base(tied=False)).merged.value
    assert plan(found, "llama-server", on=base(tied=None)).merged.value  # families differ in what they take for granted
    assert refusal(found, "vllm", on=base(tied=False)).subject == "preflight[output_layer]"


@pytest.mark.parametrize(
    "module", ["model.layers.0.mlp.experts.0.down_proj", "model.layers.0.mlp.gate", "transformer.h.0.c"]
)
def test_mlx_gets_only_layers_it_calls_by_the_same_name(module: str) -> None:
    assert refusal(facts(Q, module), "mlx-serve").subject == "preflight[layers]"
    assert not plan(facts(Q, module), "vllm").merged.value
    assert refusal(facts(DOWN), "mlx-serve", on=base(modality="text-moe")).subject == "preflight[layers]"
    assert not plan(facts(Q), "mlx-serve", on=base(modality="text-moe")).merged.value


@pytest.mark.parametrize(
    ("config", "origin", "is_read"),
    [
        ({"model_type": "qwen2", "rope_parameters": {"rope_theta": 1e4}}, "hub", False),
        ({"model_type": "llama", "rope_parameters": {"rope_theta": 1e4, "rope_type": "llama3"}}, "folder", False),
        ({"model_type": "llama", "rope_parameters": {"rope_theta": 1e4, "rope_type": "default"}}, "folder", True),
        ({"model_type": "qwen2", "rope_parameters": {"rope_theta": 1e4}, "rope_theta": 1e4}, "hub", True),
        ({"model_type": "qwen2", "rope_parameters": {"rope_theta": 1e4}}, "package", True),
        ({"model_type": "qwen3", "rope_parameters": {"rope_theta": 5e6}}, "hub", True),
        ({"model_type": "llama", "rope_theta": 5e5}, "hub", True),
    ],
)
def test_mlx_must_find_the_rotary_settings(config: dict[str, Any], origin: Origin, is_read: bool) -> None:
    on = attrs.evolve(base(), config=config, origin=origin)
    if is_read:
        assert not plan(facts(), "mlx-serve", on=on).merged.value
    else:
        error = refusal(facts(), "mlx-serve", on=on)
        assert (error.subject, error.code) == ("preflight[rotary]", "export.cannot-carry")
        assert error.hint
    assert not plan(facts(), "llama-server", on=on).merged.value


@pytest.mark.parametrize("target", GGUF)
def test_a_4bit_adapter_is_merged_only_on_request(target: TargetName) -> None:
    alone = plan(facts(trained_4bit=True), target)
    assert not alone.merged.value
    assert "4-bit" in alone.notes[0]
    asked = refusal(facts(trained_4bit=True), target, merged=True)
    assert (asked.subject, asked.code) == ("merge", "export.merge-4bit")
    assert "--dequantize" in (asked.hint or "")
    assert "leave --merged out" in (asked.hint or "")
    forced = refusal(facts(trained_4bit=True, use_dora=True), target)
    assert (forced.subject, forced.code) == ("merge", "export.merge-4bit")
    assert "DoRA" in forced.message
    assert "--merged --dequantize" in (forced.hint or "")
    assert "training.adapter: lora" in (forced.hint or "")
    for found in (facts(trained_4bit=True), facts(trained_4bit=True, use_dora=True)):
        decided = plan(found, target, merged=True, dequantize=True)
        assert decided.merged.value
        assert decided.merged.reason == "--merged"
        assert "merged into" in decided.notes[0]


@pytest.mark.parametrize("target", OTHERS)
def test_only_gguf_is_ever_merged(target: TargetName) -> None:
    for bits in (False, True):
        assert not plan(facts(trained_4bit=bits), target, merged=True).merged.value


def test_a_rank_beyond_what_vllm_runs_is_refused_there_alone() -> None:
    error = refusal(facts(rank=513), "vllm")
    assert (error.subject, error.code) == ("preflight[lora_rank]", "export.lora-rank")
    assert "512" in error.message
    for target in (*GGUF, "mlx-serve", "hf-adapter"):
        assert plan(facts(rank=513), target).lora_rank_limit is None


@given(st.integers(1, 512))
def test_the_rank_limit_is_the_next_supported_one(rank: int) -> None:
    limit = rank_limit(rank)
    assert limit in LORA_RANKS
    assert limit >= rank
    assert not any(rank <= other < limit for other in LORA_RANKS)


def test_only_what_vllm_runs_has_a_rank_for_it() -> None:
    assert vllm_rank(facts(rank=20), base(), base_rows=ROWS) == 32
    assert vllm_rank(facts(use_dora=True), base(), base_rows=ROWS) is None
    assert vllm_rank(facts(rank=513), base(), base_rows=ROWS) is None


@pytest.mark.parametrize(
    "name",
    [
        "Example/Tiny-1B",
        "example/tiny-1b",
        " example/tiny-1b/ ",
        "/home/a/hub/models--Example--Tiny-1B/snapshots/" + "a" * 40,
        "C:\\hub\\models--Example--Tiny-1B\\snapshots\\" + "a" * 40,
        "/data/example/tiny-1b",
        "./models/example/tiny-1b",
        "/models/tiny",
    ],
)
def test_the_base_is_known_by_its_id_or_a_local_copy(name: str) -> None:
    assert names_base(name, base())
    assert not names_base(name, attrs.evolve(base(hf_id="Example/Other"), folder=Path("/models/other")))


@pytest.mark.parametrize(
    "name",
    ["", "tiny-1b", "other/tiny-1b", "example/tiny-1b-chat", "/x/models--Example--Tiny-1B-chat/snapshots/a", "/"],
)
def test_another_base_is_not_this_one(name: str) -> None:
    assert not names_base(name, base())


def test_a_folder_of_ones_own_is_known_by_its_name() -> None:
    local = base(key="path:/models/tiny", hf_id="tiny", revision=None)
    assert names_base("tiny", local)
    assert names_base("/elsewhere/tiny", local)
    assert not names_base("/elsewhere/tiny2", local)


def test_what_only_peft_runs_is_noted() -> None:
    assert "lora_bias" in plan(facts(peculiar=("lora_bias",)), "hf-adapter").notes[0]
    grown = facts(saved_modules=("model.embed_tokens",), vocabulary_size=ROWS + 2)
    assert "AutoPeftModelForCausalLM" in plan(grown, "hf-adapter").notes[0]


_SOME_FACTS = st.builds(
    facts,
    st.sampled_from([Q, DOWN, "lm_head", "model.embed_tokens", "model.vision_tower.q_proj"]),
    rank=st.integers(1, 600),
    kind=st.sampled_from(["LORA", "LORA", "LORA", "IA3"]),
    use_dora=st.booleans(),
    saved_modules=st.sampled_from([(), (), ("model.norm",), ("model.embed_tokens", "lm_head")]),
    bias=st.sampled_from(["none", "none", "all"]),
    vocabulary_size=st.sampled_from([ROWS, ROWS, ROWS + 1, None]),
    has_chat_template=st.booleans(),
    trained_4bit=st.booleans(),
    peculiar=st.sampled_from([(), (), ("lora_bias",)]),
)


@given(
    _SOME_FACTS,
    st.sampled_from(sorted(TARGETS)),
    st.sampled_from([(False, False), (True, False), (True, True)]),
    st.sampled_from([True, False, None]),
)
def test_every_adapter_gets_a_plan_that_holds_it_or_a_reason(
    found: AdapterFacts, target: TargetName, flags: tuple[bool, bool], tied: bool | None
) -> None:
    merged, dequantize = flags
    decided = plan_or_refusal(found, target, on=base(tied=tied), merged=merged, dequantize=dequantize)
    if isinstance(decided, ExportError):
        assert decided.subject == "merge" or decided.subject.startswith("preflight[")
        assert decided.code in ERROR_CODES
        assert decided.hint
        return
    more_than_lora = found.use_dora or found.saved_modules or found.bias != "none" or found.vocabulary_size != ROWS
    if decided.merged.value:
        assert target in GGUF
        assert dequantize or not found.trained_4bit
    elif target != "hf-adapter" and not (target == "mlx-serve" and found.use_dora):
        assert not more_than_lora
    assert decided.merged.value or not (merged and target in GGUF)
    if target != "hf-adapter":
        assert found.kind == "LORA"
        assert not found.peculiar
