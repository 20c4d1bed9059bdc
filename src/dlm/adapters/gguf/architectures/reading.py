"""Reading a model's ``config.json`` for conversion: what is there is checked, what runtimes cannot do is refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from dlm.adapters.gguf.entries import Entry
from dlm.domain.errors import ExportError
from dlm.domain.model_shape import ModelShape

Config = Mapping[str, Any]

_MOST_LAYERS = 1000
"""Llama 3.1 405B has 126; DeepSeek V3 has 256 experts in a layer."""

_LARGEST = 1 << 24
"""Of a width or a vocabulary; the largest vocabularies have a quarter of a million tokens."""

_FLOAT32_LIMIT = 3e38


def unknown_part(part: str) -> ExportError:
    """Give the refusal of a model that has a part which GGUF, or llama.cpp, does not know."""
    return ExportError(
        "export.unknown-architecture",
        f"the base cannot be written as GGUF: {part}",
        hint="Export with --target vllm or --target hf-adapter, which use the model as it is.",
    )


def require(config: Config, key: str, allowed: Collection[Any]) -> None:
    """Refuse a setting that runtimes take to be one of ``allowed``. A setting that is not there is fine.

    Raises:
        ExportError: ``export.unknown-architecture``.
    """
    value = config.get(key)
    if value is not None and value not in allowed:
        raise unknown_part(f"config.json says {key}: {str(value)[:80]}, which llama.cpp does not do")


def number(config: Config, key: str) -> float:
    """Give a number that fits float32.

    Raises:
        ExportError: ``export.unknown-architecture``: it is missing or something else.
    """
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _FLOAT32_LIMIT:
        raise unknown_part(f"config.json has no usable number {key}")
    return float(value)


def count(config: Config, key: str) -> int:
    """Give a whole number above 0. Raises as ``number`` does."""
    value = number(config, key)
    if not value.is_integer() or not 0 < value < 1 << 32:
        raise unknown_part(f"config.json says {key}: {value}")
    return int(value)


def shape_of(config: Config) -> ModelShape:
    """Give the sizes of the model.

    Raises:
        ExportError: ``export.unknown-architecture``: more layers, or larger sizes, than any model has.
        BaseModelError: ``base.bad-config``: sizes are missing.
    """
    shape = ModelShape.from_config(config)
    sizes = (shape.hidden_size, shape.heads, shape.kv_heads, shape.head_dim, shape.intermediate_size, shape.vocab_size)
    if shape.layers > _MOST_LAYERS or shape.experts > _MOST_LAYERS or max(sizes) > _LARGEST or shape.head_dim % 2:
        raise unknown_part("the sizes in config.json cannot be those of a model")
    return shape


def shape_entries(arch: str, config: Config, shape: ModelShape) -> tuple[Entry, ...]:
    """Give the keys that every decoder has: sizes, heads and the epsilon of norms."""

    def size(key: str, value: int) -> Entry:
        return Entry(f"{arch}.{key}", "u32", value)

    return (
        size("block_count", shape.layers),
        size("context_length", count(config, "max_position_embeddings")),
        size("embedding_length", shape.hidden_size),
        size("feed_forward_length", shape.intermediate_size),
        size("attention.head_count", shape.heads),
        size("attention.head_count_kv", shape.kv_heads),
        size("attention.key_length", shape.head_dim),
        size("attention.value_length", shape.head_dim),
        Entry(f"{arch}.attention.layer_norm_rms_epsilon", "f32", number(config, "rms_norm_eps")),
    )


def window_notes(config: Config) -> tuple[str, ...]:
    """Say from where on a runtime that knows no sliding window for this family differs; nothing when it never does."""
    window, context = config.get("sliding_window"), config.get("max_position_embeddings")
    if not isinstance(window, int) or config.get("use_sliding_window") is False:
        return ()
    if not isinstance(context, int) or window >= context:
        return ()
    note = (
        f"the model looks back {window} tokens in some layers, llama.cpp looks back over everything: answers may "
        "differ once a conversation is longer than that"
    )
    return (note,)
