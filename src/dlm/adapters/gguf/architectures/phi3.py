"""Phi-3, Phi-3.5 and Phi-4-mini: q, k and v in one layer, and rotary embedding with one factor per frequency."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from dlm.adapters.gguf.architectures.architecture import Architecture
from dlm.adapters.gguf.architectures.reading import (
    Config,
    count,
    number,
    require,
    shape_entries,
    shape_of,
    unknown_part,
    window_notes,
)
from dlm.adapters.gguf.architectures.rope import (
    LONG_FACTORS,
    SHORT_FACTORS,
    original_context,
    rope_entries,
    rope_settings,
)
from dlm.adapters.gguf.entries import Entry


def phi3(config: Config) -> Architecture:
    """Phi-3 and what is built like it."""
    require(config, "hidden_act", ("silu",))
    shape = shape_of(config)
    if shape.attention_width != shape.hidden_size:
        raise unknown_part("its heads together are not as wide as the model (head_dim)")
    settings = rope_settings(config)
    turned = int(shape.head_dim * number(settings, "partial_rotary_factor"))
    if not 2 <= turned <= shape.head_dim:
        raise unknown_part("rotary embedding turns no part of a head, or more than a head (partial_rotary_factor)")
    original = original_context(config, settings)
    window = count(config, "sliding_window") if config.get("sliding_window") else 0
    is_stretched = settings["rope_type"] in ("longrope", "su")
    return Architecture(
        name="phi3",
        shape=shape,
        metadata=(
            *shape_entries("phi3", config, shape),
            *rope_entries("phi3", config, turned, methods=("default", "longrope", "su")),
            Entry("phi3.rope.scaling.original_context_length", "u32", original),
            *(_stretch_entries(config, settings, original) if is_stretched else ()),
            # Runtimes take 0 for "looks at everything", as Phi-4 does.
            Entry("phi3.attention.sliding_window", "u32", window),
        ),
        extra=_factors(settings, turned) if is_stretched else MappingProxyType({}),
        notes=(*window_notes(config), *(_stretch_notes(original) if is_stretched else ())),
    )


def _stretch_entries(config: Config, settings: Mapping[str, Any], original: int) -> tuple[Entry, ...]:
    """LongRoPE scales the turned numbers by √(1 + ln s / ln L): L is the length the model was first trained with, s how
    many times as long it became."""
    times = (
        number(settings, "factor") if settings.get("factor") else count(config, "max_position_embeddings") / original
    )
    scale = math.sqrt(1 + math.log(times) / math.log(original)) if times > 1 else 1.0
    if settings.get("attention_factor") is not None:
        scale = number(settings, "attention_factor")
    return (Entry("phi3.rope.scaling.attn_factor", "f32", scale),)


def _factors(settings: Mapping[str, Any], turned: int) -> Mapping[str, tuple[float, ...]]:
    found = {}
    for name, key in ((LONG_FACTORS, "long_factor"), (SHORT_FACTORS, "short_factor")):
        values = settings.get(key)
        if not isinstance(values, list | tuple) or len(values) != turned // 2:
            raise unknown_part(f"its rope settings have no {key} of {turned // 2} numbers")
        found[name] = tuple(number({key: value}, key) for value in values)
    return MappingProxyType(found)


def _stretch_notes(original: int) -> tuple[str, ...]:
    note = (
        f"llama.cpp started with a context above {original} tokens uses the factors for long texts from the first "
        "token on; the model library changes to them only when a text is that long"
    )
    return (note,)
