"""What the small files of a model nobody has reviewed say about it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class BaseFacts:
    """What the small files of a model say. Nothing in it is trusted: anybody can publish a model.

    Args:
        name: ``org/name``, or the name of a local folder.
        revision: commit the files are from; None for a local folder.
        config: parsed ``config.json``.
        files: names of the files, relative, ``/`` between parts.
        params: number of weights as counted in the weight files; None when not known.
        tensor_names: names of the weights; empty when not known.
        chat_template: the tokenizer's chat template; None when it has none.
        tokenizer_config: parsed ``tokenizer_config.json``; empty when there is no such file.
        tokenizer: parsed ``tokenizer.json`` without its vocabulary; None when there is no such file.
    """

    name: str
    revision: str | None
    config: Mapping[str, Any]
    files: tuple[str, ...]
    params: int | None = None
    tensor_names: tuple[str, ...] = ()
    chat_template: str | None = None
    tokenizer_config: Mapping[str, Any] = attrs.field(factory=dict)
    tokenizer: Mapping[str, Any] | None = None


def architecture_of(config: Mapping[str, Any]) -> str:
    """Give the first entry of ``architectures``, or an empty string."""
    names = config.get("architectures")
    first = names[0] if isinstance(names, list | tuple) and names else ""
    return first if isinstance(first, str) else ""


def context_of(config: Mapping[str, Any]) -> int:
    """Give the context length in tokens; 4096 when the config does not say."""
    return _whole(config, ("max_position_embeddings", "n_positions"), default=4096)


def estimate_params(config: Mapping[str, Any]) -> int:
    """Estimate the number of weights from ``config.json``: ``num_parameters``, else ``12·h²·L + 2·h·V``.

    h is the hidden size (2048 when absent), L the number of layers (24), V the vocabulary (32 000): twelve h×h
    matrices' worth per transformer layer and an embedding at each end.
    """
    stated = _whole(config, ("num_parameters",), default=0)
    if stated:
        return stated
    hidden = _whole(config, ("hidden_size", "n_embd"), default=2048)
    layers = _whole(config, ("num_hidden_layers", "n_layer"), default=24)
    vocabulary = _whole(config, ("vocab_size",), default=32_000)
    return 12 * hidden**2 * layers + 2 * hidden * vocabulary


_GGUF_ARCH = {
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "llama",
    "MixtralForCausalLM": "llama",
    "SmolLM3ForCausalLM": "smollm3",
    "Olmo2ForCausalLM": "olmo2",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
    "Phi3ForCausalLM": "phi3",
    "GemmaForCausalLM": "gemma",
    "Gemma2ForCausalLM": "gemma2",
}

EXPORTABLE_ARCHITECTURES = frozenset(_GGUF_ARCH)
"""Model classes whose GGUF label is known."""

EXPORTABLE_LABELS = frozenset(_GGUF_ARCH.values())
"""The labels themselves."""


def gguf_arch_of(architecture: str) -> str:
    """Give the GGUF label of a model class; for an unknown class its name in lower case without ``ForCausalLM``."""
    return _GGUF_ARCH.get(architecture) or architecture.lower().removesuffix("forcausallm") or "unknown"


_LARGEST = 10**13
"""Ten trillion: above any model there is, so a larger number in a config is a mistake or an attack."""


def _whole(config: Mapping[str, Any], names: tuple[str, ...], *, default: int) -> int:
    """Give the first sensible positive whole number among ``names``."""
    for name in names:
        value = config.get(name)
        if isinstance(value, float) and math.isfinite(value) and value == int(value):
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST:
            return value
    return default
