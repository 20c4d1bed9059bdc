"""Qwen2 (with Qwen2.5) and Qwen3."""

from __future__ import annotations

from dlm.adapters.gguf.architectures.architecture import Architecture
from dlm.adapters.gguf.architectures.reading import Config, require, shape_entries, shape_of, window_notes
from dlm.adapters.gguf.architectures.rope import rope_entries, whole_heads


def qwen2(config: Config) -> Architecture:
    """Qwen2 and Qwen2.5: queries, keys and values have biases."""
    return _qwen("qwen2", config)


def qwen3(config: Config) -> Architecture:
    """Qwen3: queries and keys are normalised per head."""
    return _qwen("qwen3", config)


def _qwen(name: str, config: Config) -> Architecture:
    require(config, "hidden_act", ("silu",))
    shape = shape_of(config)
    return Architecture(
        name=name,
        shape=shape,
        metadata=(*shape_entries(name, config, shape), *rope_entries(name, config, whole_heads(config, shape))),
        biases=frozenset({"q_proj", "k_proj", "v_proj"}),
        notes=window_notes(config) if config.get("use_sliding_window") else (),
    )
