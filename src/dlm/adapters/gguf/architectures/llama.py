"""Llama and what is built like it: Mistral, Mixtral (a mixture of experts), SmolLM3."""

from __future__ import annotations

from types import MappingProxyType

from dlm.adapters.gguf.architectures.architecture import Architecture
from dlm.adapters.gguf.architectures.reading import Config, require, shape_entries, shape_of, unknown_part, window_notes
from dlm.adapters.gguf.architectures.rope import ROPE_FREQS, llama3_factors, rope_entries, whole_heads
from dlm.adapters.gguf.entries import Entry
from dlm.domain.model_shape import ModelShape

_REORDERED = frozenset({"q_proj", "k_proj"})
_ATTENTION = frozenset({"q_proj", "k_proj", "v_proj"})
_STRETCHED = ("default", "linear", "yarn", "llama3")
_ALL_LINEAR = _ATTENTION | {"o_proj", "gate_proj", "up_proj", "down_proj"}


def llama(config: Config) -> Architecture:
    """Llama 1 to 3, SmolLM2, Mistral, Mixtral."""
    require(config, "hidden_act", ("silu",))
    shape = shape_of(config)
    factors = llama3_factors(config, shape.head_dim)
    return Architecture(
        name="llama",
        shape=shape,
        metadata=(
            *shape_entries("llama", config, shape),
            *rope_entries("llama", config, whole_heads(config, shape), methods=_STRETCHED),
            *_expert_entries(shape),
        ),
        reordered=_REORDERED,
        biases=_ALL_LINEAR,
        extra=MappingProxyType({ROPE_FREQS: factors} if factors else {}),
        notes=window_notes(config),
    )


def smollm3(config: Config) -> Architecture:
    """SmolLM3: every fourth layer turns no positions, which llama.cpp knows without being told."""
    require(config, "hidden_act", ("silu",))
    shape = shape_of(config)
    turned = [int((layer + 1) % 4 != 0) for layer in range(shape.layers)]
    if config.get("no_rope_layers") not in (None, turned) or config.get("no_rope_layer_interval") not in (None, 4):
        raise unknown_part("other layers than every fourth go without rotary embedding (no_rope_layers)")
    return Architecture(
        name="smollm3",
        shape=shape,
        metadata=(
            *shape_entries("smollm3", config, shape),
            *rope_entries("smollm3", config, whole_heads(config, shape)),
        ),
        reordered=_REORDERED,
        biases=_ATTENTION,
        notes=window_notes(config),
    )


def _expert_entries(shape: ModelShape) -> tuple[Entry, ...]:
    if not shape.experts:
        return ()
    return (
        Entry("llama.expert_count", "u32", shape.experts),
        Entry("llama.expert_used_count", "u32", shape.experts_per_token),
    )
