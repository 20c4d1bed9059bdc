"""The shape of a base model: the few numbers of ``config.json`` that decide memory, time and adapter size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import attrs

from dlm.domain.errors import BaseModelError

Targets = Literal["auto"] | tuple[str, ...]


@attrs.frozen
class Linear:
    """One linear layer that an adapter can sit on: ``d_in`` inputs, ``d_out`` outputs."""

    name: str
    d_in: int
    d_out: int

    @property
    def weights(self) -> int:
        """Give the number of weights, bias left out."""
        return self.d_in * self.d_out


@attrs.frozen(kw_only=True)
class ModelShape:
    """A decoder-only transformer in numbers. All counts are per model, ``intermediate_size`` is per expert.

    Args:
        kv_heads: heads of keys and values; fewer than ``heads`` with grouped-query attention.
        head_dim: width of one head; not always ``hidden_size / heads``.
        tied_embeddings: the output head is the embedding table, so it is stored once.
        params: all weights, vision or audio towers included.
        experts: feed-forward experts per layer; 0 means one plain feed-forward block.
        experts_per_token: experts a token passes through.
        fused: q/k/v and gate/up are one linear layer each, as in Phi-3.
        gated: the feed-forward block has a gate beside up and down (SwiGLU, GeGLU).
    """

    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    tied_embeddings: bool
    params: int
    experts: int = 0
    experts_per_token: int = 0
    fused: bool = False
    gated: bool = True

    @classmethod
    def from_config(cls, config: Mapping[str, Any], params: int | None = None) -> ModelShape:
        """Read a parsed ``config.json``; for pictures and sound, its text part.

        Args:
            params: number of weights when it is known; else it is computed from the shape.

        Raises:
            BaseModelError: a needed number is missing or is not a positive whole number.
        """
        text = _text_part(config)
        kind = str(text.get("model_type", config.get("model_type", "")))
        read = _Reader(text, config, kind)
        hidden, heads = read.count("hidden_size"), read.count("heads")
        experts = read.optional("experts") or 0
        shape = cls(
            hidden_size=hidden,
            layers=read.count("layers"),
            heads=heads,
            kv_heads=read.optional("kv_heads") or heads,
            head_dim=read.optional("head_dim") or max(1, hidden // heads),
            intermediate_size=read.optional("intermediate_size") or 4 * hidden,
            vocab_size=read.count("vocab_size"),
            tied_embeddings=read.tied(),
            params=params or 1,
            experts=experts,
            experts_per_token=(read.optional("experts_per_token") or 1) if experts else 0,
            fused=kind in _FUSED,
            gated=kind not in _UNGATED,
        )
        return shape if params else attrs.evolve(shape, params=shape.text_params)

    @classmethod
    def from_params(cls, params: int) -> ModelShape:
        """Guess the shape of a model of this size, for when no ``config.json`` is at hand.

        The guess is the published shape of the open model nearest in size (by ratio); ``params`` is kept exactly.
        """
        if params <= 0:
            raise BaseModelError("base.bad-config", f"a model needs at least one weight, got {params}")
        known = min(_KNOWN_SHAPES, key=lambda row: abs(math.log(row[0] / params)))
        _, hidden, layers, heads, kv_heads, head_dim, intermediate, vocab, tied = known
        return cls(
            hidden_size=hidden,
            layers=layers,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            intermediate_size=intermediate,
            vocab_size=vocab,
            tied_embeddings=tied,
            params=params,
        )

    @property
    def attention_width(self) -> int:
        """Give the width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Give the width of all key (or value) heads together."""
        return self.kv_heads * self.head_dim

    def linears(self) -> tuple[Linear, ...]:
        """Give the linear layers of one block that an adapter can sit on.

        Experts are left out: transformers keeps them as one stacked tensor, which is no linear layer.
        """
        hidden, wide, inner = self.hidden_size, self.attention_width, self.intermediate_size
        if self.fused:
            attention: tuple[Linear, ...] = (
                Linear("qkv_proj", hidden, wide + 2 * self.kv_width),
                Linear("o_proj", wide, hidden),
            )
        else:
            attention = (
                Linear("q_proj", hidden, wide),
                Linear("k_proj", hidden, self.kv_width),
                Linear("v_proj", hidden, self.kv_width),
                Linear("o_proj", wide, hidden),
            )
        return attention if self.experts else attention + self._feed_forward(hidden, inner)

    def targeted(self, targets: Targets) -> tuple[Linear, ...]:
        """Give the linear layers of one block that an adapter sits on; names match by their last dotted part."""
        if targets == "auto":
            return self.linears()
        wanted = {name.rsplit(".", 1)[-1] for name in targets}
        return tuple(linear for linear in self.linears() if linear.name in wanted)

    def lora_params(self, r: int, kind: str = "lora", targets: Targets = "auto") -> int:
        """Give the trainable weights of an adapter.

        Each targeted layer gets ``r·(d_in + d_out)``; DoRA adds one magnitude per output. ``auto`` means all linear
        layers except the output head.
        """
        per_block = sum(r * (linear.d_in + linear.d_out) for linear in self.targeted(targets))
        if kind == "dora":
            per_block += sum(linear.d_out for linear in self.targeted(targets))
        return self.layers * per_block

    @property
    def linear_params(self) -> int:
        """Give the weights of all linear layers of all blocks, experts included, embeddings and head left out."""
        return self.layers * (sum(linear.weights for linear in self.linears()) + self._expert_weights(self.experts))

    @property
    def active_params(self) -> int:
        """Give the weights a token is multiplied with: linear layers, chosen experts and the output head."""
        per_block = sum(linear.weights for linear in self.linears()) + self._expert_weights(self.experts_per_token)
        return self.layers * per_block + self.head_params

    @property
    def head_params(self) -> int:
        """Give the weights of the output head (or of the embedding table, which has the same size)."""
        return self.vocab_size * self.hidden_size

    @property
    def text_params(self) -> int:
        """Give the weights computed from the shape; biases, at most a thousandth, are left out."""
        tables = self.head_params * (1 if self.tied_embeddings else 2)
        norms = (2 * self.layers + 1) * self.hidden_size
        return self.linear_params + tables + norms

    def _feed_forward(self, hidden: int, inner: int) -> tuple[Linear, ...]:
        if self.fused:
            return (Linear("gate_up_proj", hidden, 2 * inner), Linear("down_proj", inner, hidden))
        gate = (Linear("gate_proj", hidden, inner),) if self.gated else ()
        return (*gate, Linear("up_proj", hidden, inner), Linear("down_proj", inner, hidden))

    def _expert_weights(self, experts: int) -> int:
        return experts * 3 * self.hidden_size * self.intermediate_size


_ALIASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "hidden_size": ("hidden_size", "n_embd", "d_model"),
        "layers": ("num_hidden_layers", "n_layer", "num_layers"),
        "heads": ("num_attention_heads", "n_head"),
        "kv_heads": ("num_key_value_heads",),
        "head_dim": ("head_dim",),
        "intermediate_size": ("intermediate_size", "n_inner", "ffn_dim"),
        "vocab_size": ("vocab_size",),
        "experts": ("num_local_experts", "num_experts"),
        "experts_per_token": ("num_experts_per_tok",),
    }
)
"""Our name → the names model families give it."""

_LLAMA_LIKE = {"hidden_size": 4096, "layers": 32, "heads": 32}
_LEFT_OUT: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "llama": {**_LLAMA_LIKE, "intermediate_size": 11008, "vocab_size": 32000},
        "qwen2": {**_LLAMA_LIKE, "vocab_size": 151936},
        "mistral": {**_LLAMA_LIKE, "kv_heads": 8, "intermediate_size": 14336, "vocab_size": 32000},
        "gemma": {"head_dim": 256, "vocab_size": 256000},
        "gemma2": {"head_dim": 256, "vocab_size": 256000},
    }
)
"""Defaults of transformers' config classes: nested ``text_config`` objects leave out what equals them."""

_TIED_BY_DEFAULT = frozenset({"gemma", "gemma2", "gemma3_text", "smollm3", "gpt2", "opt", "cohere"})
_FUSED = frozenset({"phi3", "phi4mm"})
_UNGATED = frozenset({"gpt2", "opt", "phi", "gpt_neox", "starcoder2"})

_KNOWN_SHAPES = (
    # params, hidden, layers, heads, kv heads, head width, intermediate, vocabulary, tied: the models' config.json
    (135_000_000, 576, 30, 9, 3, 64, 1536, 49_152, True),  # SmolLM2-135M
    (360_000_000, 960, 32, 15, 5, 64, 2560, 49_152, True),  # SmolLM2-360M
    (500_000_000, 896, 24, 14, 2, 64, 4864, 151_936, True),  # Qwen2.5-0.5B
    (1_500_000_000, 1536, 28, 12, 2, 128, 8960, 151_936, True),  # Qwen2.5-1.5B
    (3_000_000_000, 2048, 36, 16, 2, 128, 11_008, 151_936, True),  # Qwen2.5-3B
    (3_800_000_000, 3072, 32, 32, 32, 96, 8192, 32_064, False),  # Phi-3.5-mini
    (8_000_000_000, 4096, 32, 32, 8, 128, 14_336, 128_256, False),  # Llama-3.1-8B
    (14_800_000_000, 5120, 40, 40, 8, 128, 17_408, 151_936, False),  # Qwen3-14B
    (24_000_000_000, 5120, 40, 32, 8, 128, 32_768, 131_072, False),  # Mistral-Small-24B
    (32_800_000_000, 5120, 64, 64, 8, 128, 25_600, 151_936, False),  # Qwen3-32B
    (70_600_000_000, 8192, 80, 64, 8, 128, 28_672, 128_256, False),  # Llama-3.1-70B
)


def _text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    for key in ("text_config", "llm_config"):
        nested = config.get(key)
        if isinstance(nested, Mapping):
            return nested
    return config


@attrs.frozen
class _Reader:
    """Reads counts from a config: the text part first, then the whole, then what the family leaves out."""

    text: Mapping[str, Any]
    whole: Mapping[str, Any]
    kind: str

    def optional(self, name: str) -> int | None:
        for part in (self.text, self.whole):
            for alias in _ALIASES[name]:
                if part.get(alias) is not None:
                    return _positive(alias, part[alias])
        return _LEFT_OUT.get(self.kind, {}).get(name)

    def count(self, name: str) -> int:
        found = self.optional(name)
        if found is None:
            raise BaseModelError(
                "base.bad-config",
                f"config.json of the base has no {_ALIASES[name][0]}",
                hint="Use a decoder-only text model, or one that dlm lists.",
            )
        return found

    def tied(self) -> bool:
        for part in (self.text, self.whole):
            if part.get("tie_word_embeddings") is not None:
                return bool(part["tie_word_embeddings"])
        return self.kind in _TIED_BY_DEFAULT


def _positive(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise BaseModelError(
            "base.bad-config",
            f"config.json of the base says {name}: {value!r}, which is not a positive whole number",
            hint="The folder may be damaged; download the base again.",
        )
    return value
