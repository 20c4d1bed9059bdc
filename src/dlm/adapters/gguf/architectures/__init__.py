"""Families of models that can be written as GGUF, one small module each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from dlm.adapters.gguf.architectures.architecture import Architecture
from dlm.adapters.gguf.architectures.gemma import gemma, gemma2
from dlm.adapters.gguf.architectures.llama import llama, smollm3
from dlm.adapters.gguf.architectures.olmo2 import olmo2
from dlm.adapters.gguf.architectures.phi3 import phi3
from dlm.adapters.gguf.architectures.qwen import qwen2, qwen3
from dlm.adapters.gguf.architectures.reading import unknown_part
from dlm.domain.base_facts import architecture_of as class_name

_FAMILIES: Mapping[str, Callable[[Mapping[str, Any]], Architecture]] = MappingProxyType(
    {
        "LlamaForCausalLM": llama,
        "MistralForCausalLM": llama,
        "MixtralForCausalLM": llama,
        "SmolLM3ForCausalLM": smollm3,
        "Qwen2ForCausalLM": qwen2,
        "Qwen3ForCausalLM": qwen3,
        "Phi3ForCausalLM": phi3,
        "GemmaForCausalLM": gemma,
        "Gemma2ForCausalLM": gemma2,
        "Olmo2ForCausalLM": olmo2,
    }
)

CLASSES = frozenset(_FAMILIES)
"""The model library's classes that can be converted."""


def architecture_of(config: Mapping[str, Any]) -> Architecture:
    """Give the family of a model with its numbers.

    Args:
        config: parsed ``config.json``.

    Raises:
        ExportError: ``export.unknown-architecture``: no such family, or a variant that runtimes do not know.
        BaseModelError: ``base.bad-config``: sizes are missing or impossible.
    """
    name = class_name(config)
    if name not in _FAMILIES:
        raise unknown_part(f"models of class {name[:80] or 'unknown'} have no known form there")
    try:
        return _FAMILIES[name](config)
    except ArithmeticError as exc:
        raise unknown_part("the numbers in config.json cannot be computed with") from exc
