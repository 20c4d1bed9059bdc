"""A small random model of each family of text bases, with a tokenizer of the family's kind, built on the spot.

Sizes are tiny, kinds are real: the model library's own classes write the weights, the tokenizers cut text by the
published rules and have the family's special tokens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from dlm.domain.base_models import BaseSpec, ResolvedBase
from tiny_tokenizers import (
    CASES,
    CL100K,
    QWEN2,
    Specials,
    byte_level_tokenizer,
    sentencepiece_tokenizer,
)

CHATML = Specials(
    ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), eos="<|im_end|>", unk="<|endoftext|>", pad="<|endoftext|>"
)
CHATML_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA3 = Specials(
    ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>"),
    bos="<|begin_of_text|>",
    eos="<|eot_id|>",
    pad="<|end_of_text|>",
    adds_bos=True,
)
LLAMA3_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
MISTRAL = Specials(("<unk>", "<s>", "</s>"), bos="<s>", eos="</s>", unk="<unk>", adds_bos=True)
MISTRAL_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %} {{ m['content'] }}</s>"
    "{% else %} [INST] {{ m['content'] }} [/INST]{% endif %}{% endfor %}"
)
PHI3 = Specials(
    ("<unk>", "<s>", "</s>", "<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>"),
    bos="<s>",
    eos="<|endoftext|>",
    unk="<unk>",
    pad="<|endoftext|>",
    strips_right=("</s>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>"),
)
PHI3_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
PHI4 = Specials(
    ("<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>"),
    bos="<|endoftext|>",
    eos="<|endoftext|>",
    unk="<|endoftext|>",
)
PHI4_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
GEMMA = Specials(
    ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"),
    bos="<bos>",
    eos="<eos>",
    unk="<unk>",
    pad="<pad>",
    adds_bos=True,
)
GEMMA_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>"
    "{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n{{ m['content'] }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
OLMO2 = Specials(("<|endoftext|>", "<|pad|>"), bos="<|endoftext|>", eos="<|endoftext|>", pad="<|pad|>")
OLMO2_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


class _Family(NamedTuple):
    """How a family's tiny model is made; ``ends`` are the texts of the tokens that end an answer."""

    config_class: str
    label: str
    dialect: str
    template: str
    tokenizer: Callable[[], Any]
    ends: tuple[str, ...]
    settings: Mapping[str, Any]
    layers: int = 2


_LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def _long_rope(pairs: int) -> dict[str, Any]:
    return {
        "rope_type": "longrope",
        "rope_theta": 10_000.0,
        "long_factor": [1.0 + 0.5 * pair for pair in range(pairs)],
        "short_factor": [1.0 + 0.1 * pair for pair in range(pairs)],
        "original_max_position_embeddings": 256,
    }


_FAMILIES: Mapping[str, _Family] = MappingProxyType(
    {
        "smollm2": _Family(
            "LlamaConfig", "smollm", "chatml", CHATML_TEMPLATE, lambda: byte_level_tokenizer("digits", CHATML),
            ("<|im_end|>",), {"tie_word_embeddings": True},
        ),
        "llama3": _Family(
            "LlamaConfig", "llama-bpe", "llama3", LLAMA3_TEMPLATE,
            lambda: byte_level_tokenizer(CL100K, LLAMA3, ignore_merges=True),
            ("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"), {"rope_parameters": _LLAMA3_ROPE},
        ),
        "mistral": _Family(
            "MistralConfig", "default", "mistral", MISTRAL_TEMPLATE,
            lambda: sentencepiece_tokenizer("prepend", MISTRAL), ("</s>",),
            {"sliding_window": None, "head_dim": 32},
        ),
        "mixtral": _Family(
            "MixtralConfig", "default", "mistral", MISTRAL_TEMPLATE,
            lambda: sentencepiece_tokenizer("first", MISTRAL), ("</s>",),
            {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None},
        ),
        "qwen2": _Family(
            "Qwen2Config", "qwen2", "chatml", CHATML_TEMPLATE,
            lambda: byte_level_tokenizer(QWEN2, CHATML, normalizer="NFC"), ("<|im_end|>", "<|endoftext|>"),
            {"tie_word_embeddings": True},
        ),
        "qwen3": _Family(
            "Qwen3Config", "qwen2", "chatml", CHATML_TEMPLATE,
            lambda: byte_level_tokenizer(QWEN2, CHATML, normalizer="NFC"), ("<|im_end|>", "<|endoftext|>"),
            {"head_dim": 32},
        ),
        "phi3": _Family(
            "Phi3Config", "default", "phi3", PHI3_TEMPLATE, lambda: sentencepiece_tokenizer("first", PHI3),
            ("<|end|>", "<|assistant|>", "<|endoftext|>"),
            {
                "rope_parameters": _long_rope(8),
                "original_max_position_embeddings": 256,
                "sliding_window": None,
                "num_key_value_heads": 4,
            },
        ),
        "phi4mini": _Family(
            "Phi3Config", "gpt-4o", "phi4mini", PHI4_TEMPLATE, lambda: byte_level_tokenizer(CASES, PHI4),
            ("<|end|>", "<|endoftext|>"),
            {
                "rope_parameters": {**_long_rope(6), "partial_rotary_factor": 0.75},
                "original_max_position_embeddings": 256,
                "sliding_window": None,
                "tie_word_embeddings": True,
            },
        ),
        "gemma": _Family(
            "GemmaConfig", "default", "gemma2", GEMMA_TEMPLATE, lambda: sentencepiece_tokenizer("never", GEMMA),
            ("<eos>", "<end_of_turn>"), {"head_dim": 32, "tie_word_embeddings": True},
        ),
        "gemma2": _Family(
            "Gemma2Config", "default", "gemma2", GEMMA_TEMPLATE, lambda: sentencepiece_tokenizer("never", GEMMA),
            ("<eos>", "<end_of_turn>"),
            {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 8, "tie_word_embeddings": True},
            layers=4,
        ),
        "smollm3": _Family(
            "SmolLM3Config", "llama-bpe", "smollm3", CHATML_TEMPLATE,
            lambda: byte_level_tokenizer(CL100K, CHATML, ignore_merges=True), ("<|im_end|>",),
            {"tie_word_embeddings": True}, layers=4,
        ),
        "olmo2": _Family(
            "Olmo2Config", "dbrx", "olmo2", OLMO2_TEMPLATE, lambda: byte_level_tokenizer(CL100K, OLMO2),
            ("<|endoftext|>",), {},
        ),
    }
)  # fmt: skip

ARCHITECTURES = tuple(_FAMILIES)
"""The families, by the name that ``tiny_architecture`` takes."""


def tiny_architecture(name: str, folder: Path, *, hidden: int = 64, **settings: Any) -> ResolvedBase:
    """Write a model into ``folder``, once, and describe it.

    Args:
        hidden: width of the model, a multiple of 32; with 256 the rows fit the blocks of K-quants.
        settings: replace values of the configuration.
    """
    family = _FAMILIES[name]
    if not (folder / "config.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer = family.tokenizer()
        tokenizer.chat_template = family.template
        tokenizer.save_pretrained(str(folder))
        _write_model(folder, family, tokenizer, hidden, settings)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    spec = BaseSpec(
        key=f"path:{folder}",
        hf_id=folder.name,
        revision=None,
        architecture=config["architectures"][0],
        params=100_000,
        size_gb_fp16=0.001,
        modality="text-moe" if name == "mixtral" else "text",
        context_length=512,
        recommended_seq_len=256,
        template=family.dialect,
        gguf_arch=name,
        tokenizer_pre=family.label,
        target_modules=("q_proj", "k_proj", "v_proj", "o_proj") if "phi" not in name else ("qkv_proj", "o_proj"),
        license_spdx="MIT",
        license_url=None,
    )
    return ResolvedBase(spec=spec, folder=folder, origin="folder", config=config)


def _write_model(folder: Path, family: _Family, tokenizer: Any, hidden: int, settings: Mapping[str, Any]) -> None:
    import torch
    import transformers

    values = {
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": family.layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": len(tokenizer) + 3,  # as real tables have more rows than tokens
        "max_position_embeddings": 512,
        "tie_word_embeddings": False,
        "initializer_range": 0.1,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": [tokenizer.convert_tokens_to_ids(text) for text in family.ends],
        "pad_token_id": tokenizer.pad_token_id,
        **family.settings,
        **settings,
    }
    config = getattr(transformers, family.config_class)(**_widened(values, hidden))
    with torch.random.fork_rng():
        torch.manual_seed(11)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        for name, parameter in model.named_parameters():
            if name.endswith("mlp.gate.weight"):
                parameter.data *= 8  # clear choices of experts, so that rounding does not turn one
            if parameter.dim() == 1:  # norms and biases start as all ones or zeros, which would hide mistakes
                torch.nn.init.normal_(parameter, mean=float(parameter.detach().mean()), std=0.2)
    model.save_pretrained(str(folder))


def _widened(values: dict[str, Any], hidden: int) -> dict[str, Any]:
    """Fit what depends on the width of a head, given for 64 / 4."""
    rope = values.get("rope_parameters")
    if rope and "long_factor" in rope:
        pairs = int(hidden // values["num_attention_heads"] * rope.get("partial_rotary_factor", 1)) // 2
        values["rope_parameters"] = {**rope, **{key: _long_rope(pairs)[key] for key in ("long_factor", "short_factor")}}
    return values
