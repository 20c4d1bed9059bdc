"""Gemma and Gemma 2."""

from __future__ import annotations

import math

from dlm.adapters.gguf.architectures.architecture import Architecture
from dlm.adapters.gguf.architectures.reading import (
    Config,
    count,
    number,
    require,
    shape_entries,
    shape_of,
    unknown_part,
)
from dlm.adapters.gguf.architectures.rope import rope_entries, whole_heads
from dlm.adapters.gguf.entries import Entry
from dlm.domain.model_shape import ModelShape

_LAYERS_OF_27B = 46


def gemma(config: Config) -> Architecture:
    """Gemma 1."""
    return _gemma("gemma", config, ())


def gemma2(config: Config) -> Architecture:
    """Gemma 2: soft caps, norms before and after, and a sliding window in every other layer."""
    shape = shape_of(config)
    kinds = [("full_attention", "sliding_attention")[layer % 2 == 0] for layer in range(shape.layers)]
    if config.get("layer_types") not in (None, kinds):
        raise unknown_part("its sliding window is not in every other layer (layer_types)")
    _check_scale(config, shape)
    entries = (
        Entry("gemma2.attn_logit_softcapping", "f32", number(config, "attn_logit_softcapping")),
        Entry("gemma2.final_logit_softcapping", "f32", number(config, "final_logit_softcapping")),
        Entry("gemma2.attention.sliding_window", "u32", count(config, "sliding_window")),
    )
    return _gemma("gemma2", config, entries)


def _gemma(name: str, config: Config, entries: tuple[Entry, ...]) -> Architecture:
    for key in ("hidden_activation", "hidden_act"):
        require(config, key, ("gelu_pytorch_tanh", "gelu"))  # the model library takes both for the tanh form
    shape = shape_of(config)
    if not shape.tied_embeddings:
        raise unknown_part("its output head is not its embedding table (tie_word_embeddings)")
    return Architecture(
        name=name,
        shape=shape,
        metadata=(
            *shape_entries(name, config, shape),
            *rope_entries(name, config, whole_heads(config, shape)),
            *entries,
        ),
        norm_shift=1.0,
    )


def _check_scale(config: Config, shape: ModelShape) -> None:
    """llama.cpp divides by the root of the head's width, and for the 27B model by that of hidden size / heads."""
    width = shape.hidden_size // shape.heads if shape.layers == _LAYERS_OF_27B else shape.head_dim
    if not math.isclose(number(config, "query_pre_attn_scalar"), width):
        raise unknown_part(f"its query_pre_attn_scalar is {config['query_pre_attn_scalar']}, not {width}")
