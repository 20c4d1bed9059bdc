"""The programs a trained document can be exported for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import attrs

TargetName = Literal["ollama", "llama-server", "vllm", "mlx-serve", "hf-adapter"]
WeightsFormat = Literal["gguf", "peft", "mlx"]
"""The form a program reads weights in: one file per model, a PEFT adapter folder, an MLX adapter folder."""


@attrs.frozen(kw_only=True)
class Target:
    """One destination.

    Args:
        weights: which exporter writes its weights.
        folder: of its exports, relative to the store's ``exports``; empty for the folder named by the quant level.
        title: the program's name for people.
    """

    name: TargetName
    weights: WeightsFormat
    folder: str
    title: str


TARGETS: Mapping[TargetName, Target] = MappingProxyType(
    {
        target.name: target
        for target in (
            Target(name="ollama", weights="gguf", folder="", title="Ollama"),
            Target(name="llama-server", weights="gguf", folder="", title="llama-server"),
            Target(name="vllm", weights="peft", folder="vllm", title="vLLM"),
            Target(name="mlx-serve", weights="mlx", folder="mlx-serve", title="MLX"),
            Target(name="hf-adapter", weights="peft", folder="hf-adapter", title="the Hugging Face Hub"),
        )
    }
)
"""Every target by name, in the order help lists them."""
