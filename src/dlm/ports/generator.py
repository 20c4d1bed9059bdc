"""Asking a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from dlm.domain.base_models import ResolvedBase
from dlm.domain.inference import InferencePlan, SamplingParams
from dlm.domain.rows import Turn


class LoadedModel(Protocol):
    """A model in memory, base plus adapter (or base alone).

    ``stream`` yields pieces of text that join to the answer, special tokens stripped; closing the iterator stops the
    generation. ``answer_all`` is greedy and batched: one answer per conversation, in order. ``drift`` is the mean KL
    divergence base‖adapter in nats per token over the base's own greedy answers to the conversations.
    """

    def stream(self, turns: Sequence[Turn], params: SamplingParams) -> Iterator[str]: ...

    def answer_all(
        self, conversations: Sequence[Sequence[Turn]], *, max_new_tokens: int, with_adapter: bool = True
    ) -> tuple[str, ...]: ...

    def drift(self, conversations: Sequence[Sequence[Turn]], *, max_new_tokens: int) -> float: ...


class GeneratorPort(Protocol):
    """Loads models for prompting; ``system_prompt`` leads every conversation.

    Raises ``InferenceError``, ``HardwareError`` and ``BaseModelError`` only.
    """

    def load(
        self, base: ResolvedBase, adapter: Path | None, plan: InferencePlan, *, system_prompt: str | None = None
    ) -> AbstractContextManager[LoadedModel]: ...
