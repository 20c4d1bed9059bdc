"""A trained model without torch: a toy language whose tokens are bytes."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dlm.domain.base_models import ResolvedBase
from dlm.domain.rows import Turn

END = 0
"""The byte that ends an answer."""


class ToyModel:
    """A model of bytes: the two last ones decide, pseudo-randomly, what is likely next.

    Implements ``LoadedReference``, but for the arguments of ``next_logprobs``.

    Args:
        seed: models with different seeds have learned different things.
        sharpness: 1 is the model itself, 1.01 one whose numbers were rounded a little.
        template: how a turn is written.
        alphabet: added to every byte, for another tokenizer.
        vocabulary: number of tokens, 256 or more.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        sharpness: float = 1.0,
        template: str = "<{role}>{content}\n",
        alphabet: int = 0,
        vocabulary: int = 256,
    ) -> None:
        self._seed = seed
        self._sharpness = sharpness
        self._template = template
        self._alphabet = alphabet
        self._vocabulary = vocabulary

    def render(self, turns: Sequence[Turn]) -> str:
        texts = [self._template.format(role=turn.role, content=turn.content) for turn in turns]
        return "".join([*texts, self._template.format(role="assistant", content="").rstrip("\n")])

    def token_ids(self, text: str) -> tuple[int, ...]:
        return tuple((byte + self._alphabet) % 256 for byte in text.encode())

    def continuations(self, prompts: Sequence[Sequence[int]], *, max_tokens: int) -> tuple[tuple[int, ...], ...]:
        return tuple(self.continuation(ids, max_tokens=max_tokens) for ids in prompts)

    def continuation(self, ids: Sequence[int], *, max_tokens: int) -> tuple[int, ...]:
        """Continue one prompt."""
        answer: list[int] = []
        while len(answer) < max_tokens and END not in answer:
            logprobs = self.logprobs([*ids, *answer])
            answer.append(max(range(len(logprobs)), key=logprobs.__getitem__))
        return tuple(answer)

    def logprobs(self, ids: Sequence[int]) -> Sequence[float]:
        """Give the distribution after ``ids``."""
        draw = random.Random(f"{self._seed}:{list(ids[-2:])}")
        scores = [self._sharpness * draw.gauss(0.0, 3.0) for _ in range(self._vocabulary)]
        total = math.log(math.fsum(map(math.exp, scores)))
        return array("d", [score - total for score in scores])


class FakeReference:
    """Implements ``ReferencePort`` with toy models: ``trained`` for a base with an adapter, ``bare`` for a base alone.

    ``opened`` lists what was asked for.
    """

    def __init__(self, trained: ToyModel | None = None, bare: ToyModel | None = None) -> None:
        self._trained = trained or ToyModel()
        self._bare = bare or ToyModel(seed=1)
        self.opened: list[dict[str, Any]] = []

    @contextmanager
    def open(
        self, base: ResolvedBase, adapter: Path | None, *, system_prompt: str | None = None
    ) -> Iterator[_Reference]:
        self.opened.append({"base": base.spec.key, "adapter": adapter, "system_prompt": system_prompt})
        yield _Reference(self._trained if adapter else self._bare, system_prompt)


class _Reference:
    def __init__(self, model: ToyModel, system_prompt: str | None) -> None:
        self._model = model
        self._lead = (Turn("system", system_prompt),) if system_prompt is not None else ()
        self.token_ids = model.token_ids
        self.continuations = model.continuations

    def render(self, turns: Sequence[Turn]) -> str:
        lead = () if turns[0].role == "system" else self._lead
        return self._model.render([*lead, *turns])

    def next_logprobs(self, ids: Sequence[int], *, last: int) -> Sequence[Sequence[float]]:
        return [self._model.logprobs(ids[:end]) for end in range(len(ids) - last + 1, len(ids) + 1)]
