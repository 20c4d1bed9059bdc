"""OLMo 2: norms after attention and feed-forward, and of all queries and keys of a token together."""

from __future__ import annotations

from dlm.adapters.gguf.architectures.architecture import Architecture
from dlm.adapters.gguf.architectures.reading import Config, require, shape_entries, shape_of, unknown_part
from dlm.adapters.gguf.architectures.rope import rope_entries, whole_heads


def olmo2(config: Config) -> Architecture:
    """OLMo 2 of any size."""
    require(config, "hidden_act", ("silu",))
    shape = shape_of(config)
    if shape.tied_embeddings:
        raise unknown_part("it has no output head of its own (tie_word_embeddings)")
    if shape.attention_width != shape.hidden_size:
        raise unknown_part("its heads together are not as wide as the model (head_dim)")
    return Architecture(
        name="olmo2",
        shape=shape,
        metadata=(*shape_entries("olmo2", config, shape), *rope_entries("olmo2", config, whole_heads(config, shape))),
        biases=frozenset({"q_proj", "k_proj", "v_proj"}),
    )
