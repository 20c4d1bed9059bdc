"""The trained model as the exported one is measured against."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from dlm.domain.base_models import ResolvedBase
from dlm.domain.rows import Turn


class LoadedReference(Protocol):
    """The trained model, in the precision that rounds least on this machine."""

    def render(self, turns: Sequence[Turn]) -> str:
        """Give the conversation as it was trained, with the opening of the answer."""
        ...

    def token_ids(self, text: str) -> tuple[int, ...]:
        """Tokenise rendered text: special tokens are read, none is added."""
        ...

    def continuations(self, prompts: Sequence[Sequence[int]], *, max_tokens: int) -> tuple[tuple[int, ...], ...]:
        """Continue each prompt greedily, in order; a token that ends the answer is the last of it."""
        ...

    def next_logprobs(self, ids: Sequence[int], *, last: int) -> Sequence[Sequence[float]]:
        """Give, for each of the ``last`` positions at the end of ``ids``, the natural logarithm of each token's
        probability to come next, over the whole vocabulary."""
        ...


class ReferencePort(Protocol):
    """Loads the base with its adapter (or alone). ``system_prompt`` leads every conversation.

    Raises ``InferenceError``, ``HardwareError`` and ``BaseModelError`` only.
    """

    def open(
        self, base: ResolvedBase, adapter: Path | None, *, system_prompt: str | None = None
    ) -> AbstractContextManager[LoadedReference]: ...
