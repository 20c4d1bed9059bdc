"""Tiny models of every family: llama.cpp computes from the written file what torch computes from the base."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from dlm.adapters.gguf.architectures import CLASSES, architecture_of
from dlm.adapters.gguf.weights import SafetensorsWeights
from dlm.domain.base_facts import EXPORTABLE_ARCHITECTURES, gguf_arch_of
from dlm.domain.base_models import ResolvedBase
from dlm.domain.errors import ExportError
from dlm.domain.quantization import QUANTS
from gguf_made import write_base
from llama_child import LlamaChild
from tiny_architectures import ARCHITECTURES, tiny_architecture

LENGTHS = (1, 3, 7, 20, 33, 120)
"""Tokens of the texts that are compared; 120 is far beyond Gemma 2's window and Llama 3's unstretched part."""

TEXTS = (
    "Hello world",
    "a  3 and   4",
    "12345 1 22 333 4444 3.14",
    "  leading, trailing  ",
    "\n\n\tx\n \n  y\r\nz",
    "We've it's CAN'T 'Re you'LL",
    "我想在这里工作 нещо на български",
    "🚀✅ 🦙🦙 naïve café Ünïcödé",
    "camelCase HTTPServer a.b/c\nd/e",
    "!!??...--- def f(x):\n\t\treturn x+1",
    "a\u00a0b x²³ ½ ១២៣",
    "text <|im_start|>user\nhi 5<|im_end|>\n and <start_of_turn>user\nHi<end_of_turn>\n",
    "<|user|>\n hi<|end|>\n<|assistant|>\nYes </s> [INST] q [/INST]<|eot_id|>\n\nb",
    " ",
)


def _next_logprobs(model: Any, ids: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    import torch

    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0, -1].double()
    return cast("np.ndarray[Any, np.dtype[np.float64]]", torch.log_softmax(logits, -1).numpy())


def _divergences(base: ResolvedBase, child: LlamaChild) -> list[float]:
    """Give the KL divergence, in nats, of llama.cpp's next-token distribution from torch's, for texts of random tokens.

    Checks on the way that both have the same token on top, unless torch's first two are as good as equal.
    """
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32).eval()
    size = int(model.config.vocab_size)
    random = np.random.default_rng(5)
    found = []
    for length in LENGTHS:
        ids = random.integers(0, size - 3, length).tolist()
        ours = _next_logprobs(model, ids)
        theirs = np.array(child.next_logprobs(ids, vocabulary=size))
        found.append(float((np.exp(ours) * (ours - theirs)).sum()))
        second, first = np.sort(ours)[-2:]
        assert ours.argmax() == theirs.argmax() or first - second < 0.01
    return found


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_each_family_runs_as_in_torch(name: str, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    from transformers import AutoTokenizer

    base = tiny_architecture(name, tmp_path / name)
    tokenizer = AutoTokenizer.from_pretrained(base.folder)
    # "first" puts a blank before a text that begins with none of the special tokens; no conversation does.
    opening = tokenizer.eos_token if name in ("mixtral", "phi3") else ""
    with LlamaChild(write_base(base, tmp_path / "model.gguf")) as child:
        for text in TEXTS:
            expected = tokenizer(opening + text, add_special_tokens=False)["input_ids"]
            assert child.token_ids(opening + text) == expected, text
        divergences = _divergences(base, child)
    assert np.mean(divergences) <= QUANTS["F16"].parity_bound
    print(f"{name}: mean KL {np.mean(divergences):.1e} nats, largest {max(divergences):.1e}")


_YARN = {"rope_type": "yarn", "rope_theta": 10_000.0, "factor": 4.0, "original_max_position_embeddings": 128}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("smollm2", {"rope_parameters": {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 4.0}}),
        ("smollm2", {"attention_bias": True, "mlp_bias": True}),
        ("qwen2", {"rope_parameters": _YARN}),
        ("qwen3", {"rope_parameters": {**_YARN, "beta_fast": 32.0, "beta_slow": 1.0}}),
        ("gemma2", {"num_hidden_layers": 2, "sliding_window": 64}),
        ("llama3", {"hidden": 256}),
    ],
)
def test_variants_run_as_in_torch(name: str, settings: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    base = tiny_architecture(name, tmp_path / name, **settings)
    with LlamaChild(write_base(base, tmp_path / "model.gguf")) as child:
        assert np.mean(_divergences(base, child)) <= QUANTS["F16"].parity_bound


@pytest.mark.parametrize(("kind", "bound"), [("F32", 1e-5), ("BF16", 0.002), ("Q8_0", 0.01)])
def test_every_plain_type_stays_within_its_bound(kind: Any, bound: float, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    base = tiny_architecture("qwen3", tmp_path / "base", hidden=256)
    with LlamaChild(write_base(base, tmp_path / "model.gguf", kind=kind)) as child:
        assert np.mean(_divergences(base, child)) <= bound


def test_what_training_calls_exportable_is_what_can_be_written() -> None:
    assert CLASSES == EXPORTABLE_ARCHITECTURES


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_labels_of_the_registry_are_those_of_the_files(name: str, tmp_path: Path) -> None:
    base = tiny_architecture(name, tmp_path / name)
    assert architecture_of(base.config).name == gguf_arch_of(base.spec.architecture)


@pytest.mark.parametrize(
    ("name", "changes", "part"),
    [
        ("llama3", {"architectures": ["CohereForCausalLM"]}, "CohereForCausalLM"),
        ("llama3", {"architectures": None}, "unknown"),
        ("llama3", {"hidden_act": "gelu"}, "hidden_act: gelu"),
        ("llama3", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "'dynamic'"),
        (
            "llama3",
            {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}},
            "partial_rotary_factor",
        ),
        ("llama3", {"rope_parameters": {"rope_type": "llama3"}}, "no usable number factor"),
        ("llama3", {"rope_parameters": "x"}, "rope settings"),
        ("llama3", {"rms_norm_eps": None}, "rms_norm_eps"),
        ("llama3", {"max_position_embeddings": 1.5}, "max_position_embeddings"),
        ("qwen2", {"rope_parameters": {"rope_type": "llama3", "factor": 2.0}}, "'llama3'"),
        ("qwen2", {"rope_parameters": {**_YARN, "mscale": 0.7}}, "mscale"),
        ("qwen2", {"rope_parameters": {**_YARN, "beta_fast": 16.0}}, "beta_fast"),
        ("qwen2", {"rope_parameters": {**_YARN, "truncate": False}}, "truncate"),
        ("llama3", {"num_hidden_layers": 10**9}, "sizes"),
        ("smollm3", {"num_hidden_layers": 10**9}, "sizes"),
        ("llama3", {"hidden_size": 10**30}, "sizes"),
        ("llama3", {"head_dim": 15}, "sizes"),
        ("llama3", {"rms_norm_eps": 1e300}, "rms_norm_eps"),
        ("phi3", {"sliding_window": "x"}, "sliding_window"),
        ("phi3", {"original_max_position_embeddings": -3, "rope_parameters": {}}, "original_max_position"),
        ("phi3", {"rope_parameters": {"rope_type": "su", "factor": 2, "long_factor": ["x"] * 8}}, "long_factor"),
        ("smollm3", {"no_rope_layers": [1, 1, 1, 1]}, "every fourth"),
        ("gemma2", {"query_pre_attn_scalar": 99}, "query_pre_attn_scalar is 99"),
        ("gemma2", {"tie_word_embeddings": False}, "tie_word_embeddings"),
        ("gemma2", {"layer_types": ["full_attention"] * 4}, "layer_types"),
        ("phi3", {"head_dim": 32}, "head_dim"),
        ("phi3", {"rope_parameters": {"rope_type": "longrope", "long_factor": [1.0]}}, "long_factor of 8"),
        ("olmo2", {"tie_word_embeddings": True}, "tie_word_embeddings"),
        (
            "gemma2",
            {"rope_parameters": {"full_attention": {"rope_theta": 1.0}, "sliding_attention": {"rope_theta": 2.0}}},
            "turn positions differently",
        ),
    ],
)
def test_a_part_that_runtimes_do_not_know_is_refused_by_name(
    name: str, changes: dict[str, Any], part: str, tmp_path: Path
) -> None:
    base = tiny_architecture(name, tmp_path / name)
    with pytest.raises(ExportError) as caught:
        architecture_of({**base.config, **changes})
    assert caught.value.code == "export.unknown-architecture"
    assert part in caught.value.message
    assert "--target vllm" in str(caught.value.hint)


def test_tensors_get_names_or_are_left_out_or_refused(tmp_path: Path) -> None:
    family = architecture_of(tiny_architecture("smollm2", tmp_path / "base").config)
    assert family.tensor_name("model.layers.1.self_attn.q_proj.weight") == "blk.1.attn_q.weight"
    assert family.tensor_name("lm_head.weight") is None  # the table of embeddings is the output
    assert family.tensor_name("model.layers.0.self_attn.rotary_emb.inv_freq") is None
    for odd in ("model.layers.0.self_attn.sinks", "model.layers.2.self_attn.q_proj.weight", "x", "model.norm.bias"):
        with pytest.raises(ExportError, match=odd) as caught:
            family.tensor_name(odd)
        assert caught.value.code == "export.unknown-tensor"


def test_rows_are_reordered_within_heads_and_nothing_else(tmp_path: Path) -> None:
    base = tiny_architecture("llama3", tmp_path / "base")
    family = architecture_of(base.config)
    rows = np.arange(32, dtype=np.float32)[:, None]  # two heads of 16
    name = "model.layers.0.self_attn.k_proj.weight"
    assert family.reorder_rows(name, rows)[:4, 0].tolist() == [0, 8, 1, 9]
    assert family.reorder_rows(name, rows)[16:20, 0].tolist() == [16, 24, 17, 25]
    assert family.rows_together(name) == 16
    other = name.replace("k_proj", "v_proj")
    assert (family.reorder_rows(other, rows) == rows).all()
    weights = SafetensorsWeights(base.folder)
    assert (family.transform(other, weights.read(other)) == weights.read(other)).all()
    gemma = architecture_of(tiny_architecture("gemma2", tmp_path / "gemma").config)
    norm = np.zeros(3, np.float32)
    assert gemma.transform("model.layers.0.post_feedforward_layernorm.weight", norm).tolist() == [1, 1, 1]


def test_where_runtimes_differ_is_said(tmp_path: Path) -> None:
    config = tiny_architecture("mistral", tmp_path / "base").config
    assert architecture_of(config).notes == ()
    (note,) = architecture_of({**config, "sliding_window": 64}).notes
    assert "64 tokens" in note
    assert architecture_of({**config, "sliding_window": 512}).notes == ()
