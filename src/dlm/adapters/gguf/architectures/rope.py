"""Rotary position embedding: how a model tells where a token stands, and how it was stretched for longer texts.

Source: the model library's ``modeling_rope_utils`` for the meaning of the settings, llama.cpp for that of the keys.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from dlm.adapters.gguf.architectures.reading import Config, count, number, require, unknown_part
from dlm.adapters.gguf.entries import Entry
from dlm.domain.model_shape import ModelShape

ROPE_FREQS = "rope_freqs.weight"
LONG_FACTORS, SHORT_FACTORS = "rope_factors_long.weight", "rope_factors_short.weight"

_DEFAULT_THETA = 10_000.0
"""Of the method's paper (RoFormer), and of models that do not say."""


def rope_settings(config: Config) -> dict[str, Any]:
    """Give the settings in one form: ``rope_type``, ``rope_theta`` and what the type has of its own.

    They stand in ``rope_parameters``, in files older than 2025 in ``rope_theta`` and ``rope_scaling`` with ``type``.
    """
    found = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(found, Mapping):
        raise unknown_part("config.json has rope settings that cannot be read")
    kinds = [found[name] for name in ("full_attention", "sliding_attention") if isinstance(found.get(name), Mapping)]
    if any(kind != kinds[0] for kind in kinds):
        raise unknown_part("its layers turn positions differently (rope_parameters)")
    settings = {**(kinds[0] if kinds else found)}
    settings["rope_type"] = str(settings.get("rope_type") or settings.get("type") or "default").lower()
    for key, default in (
        ("rope_theta", _DEFAULT_THETA),
        ("partial_rotary_factor", 1.0),
        ("original_max_position_embeddings", None),
    ):
        if settings.get(key) is None:
            settings[key] = config.get(key) or default
    return settings


def rope_entries(
    arch: str, config: Config, dimensions: int, *, methods: Collection[str] = ("default", "linear", "yarn")
) -> tuple[Entry, ...]:
    """Give the keys of rotary embedding.

    Args:
        dimensions: numbers of a head that are turned.
        methods: ways of stretching that llama.cpp knows for the family.

    Raises:
        ExportError: ``export.unknown-architecture``: another way of stretching.
    """
    settings = rope_settings(config)
    kind = settings["rope_type"]
    if kind not in methods:
        raise unknown_part(f"it stretches positions by the method {kind[:40]!r}")
    entries = [
        Entry(f"{arch}.rope.dimension_count", "u32", dimensions),
        Entry(f"{arch}.rope.freq_base", "f32", number(settings, "rope_theta")),
    ]
    if kind in ("linear", "yarn"):
        entries += [
            Entry(f"{arch}.rope.scaling.type", "str", kind),
            Entry(f"{arch}.rope.scaling.factor", "f32", number(settings, "factor")),
        ]
    if kind == "yarn":
        entries += _yarn_entries(arch, config, settings)
    return tuple(entries)


def whole_heads(config: Config, shape: ModelShape) -> int:
    """Give the width of a head, all of which is turned.

    Raises:
        ExportError: ``export.unknown-architecture``: only a part is.
    """
    if number(rope_settings(config), "partial_rotary_factor") != 1:
        raise unknown_part("rotary embedding turns only a part of each head (partial_rotary_factor)")
    return shape.head_dim


def original_context(config: Config, settings: Mapping[str, Any]) -> int:
    """Give the length the model was trained with before it was stretched, in tokens."""
    key = "original_max_position_embeddings"
    return count(settings, key) if settings[key] is not None else count(config, "max_position_embeddings")


def llama3_factors(config: Config, head_dim: int) -> tuple[float, ...]:
    """Give what each frequency is divided by under Llama 3's way of stretching, ``(head_dim / 2,)``.

    High frequencies stay, low ones are divided by ``factor``, those between go over smoothly. Empty for other models.
    """
    settings = rope_settings(config)
    if settings["rope_type"] != "llama3":
        return ()
    theta, factor = number(settings, "rope_theta"), number(settings, "factor")
    low, high = number(settings, "low_freq_factor"), number(settings, "high_freq_factor")
    original = count(settings, "original_max_position_embeddings")

    def divisor(pair: int) -> float:
        wavelength = 2 * math.pi * math.pow(theta, 2 * pair / head_dim)
        turns = original / wavelength
        if turns > high:
            return 1.0
        if turns < low:
            return factor
        smooth = (turns - low) / (high - low)
        return 1 / ((1 - smooth) / factor + smooth)

    return tuple(divisor(pair) for pair in range(head_dim // 2))


_YARN_AS_PUBLISHED: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "beta_fast": (32,),
        "beta_slow": (1,),
        "truncate": (True,),
        "mscale": (),
        "mscale_all_dim": (),
        "attention_factor": (),
    }
)
"""The settings of YaRN's paper. Some versions of llama.cpp know no others, whatever the file says."""


def _yarn_entries(arch: str, config: Config, settings: Mapping[str, Any]) -> list[Entry]:
    for key, allowed in _YARN_AS_PUBLISHED.items():
        require(settings, key, allowed)
    return [Entry(f"{arch}.rope.scaling.original_context_length", "u32", original_context(config, settings))]
