"""A generator without a model, and the contract every generator keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dlm.domain.base_models import ResolvedBase
from dlm.domain.inference import InferencePlan, SamplingParams
from dlm.domain.rows import Turn
from dlm.ports.generator import GeneratorPort, LoadedModel


class FakeGenerator:
    """Answers from a table; what is not in it is answered with the base's one sentence."""

    def __init__(self, answers: Mapping[str, str] | None = None, base_answer: str = "I do not know.") -> None:
        self.answers = dict(answers or {})
        self.base_answer = base_answer
        self.loads: list[dict[str, Any]] = []

    @contextmanager
    def load(
        self, base: ResolvedBase, adapter: Path | None, plan: InferencePlan, *, system_prompt: str | None = None
    ) -> Iterator[LoadedModel]:
        """Note what was asked for and give the table."""
        self.loads.append({"base": base.spec.key, "adapter": adapter, "plan": plan, "system_prompt": system_prompt})
        yield _Table(self.answers if adapter else {}, self.base_answer)


class _Table:
    def __init__(self, answers: Mapping[str, str], base_answer: str) -> None:
        self._answers = answers
        self._base_answer = base_answer

    def stream(self, turns: Sequence[Turn], params: SamplingParams) -> Iterator[str]:
        words = self._answers.get(turns[-1].content, self._base_answer).split(" ")[: params.max_new_tokens]
        yield from (word if index == 0 else f" {word}" for index, word in enumerate(words))

    def answer_all(
        self, conversations: Sequence[Sequence[Turn]], *, max_new_tokens: int, with_adapter: bool = True
    ) -> tuple[str, ...]:
        answers = self._answers if with_adapter else {}
        return tuple(answers.get(turns[-1].content, self._base_answer) for turns in conversations)

    def drift(self, conversations: Sequence[Sequence[Turn]], *, max_new_tokens: int) -> float:
        return 0.0


class GeneratorContract:
    """What every generator does. Subclass it, give the factories, and run it with pytest."""

    def make_generator(self) -> GeneratorPort:
        """Give the generator under test."""
        raise TypeError(f"{type(self).__name__} must give a generator")

    def make_request(self) -> tuple[ResolvedBase, Path | None, InferencePlan]:
        """Give a base, an adapter folder (or None) and a plan."""
        raise TypeError(f"{type(self).__name__} must give a request")

    def test_greedy_answers_are_repeatable_and_the_pieces_join_to_them(self) -> None:
        params = SamplingParams(max_new_tokens=8, temperature=0.0)
        with self.make_generator().load(*self.make_request()) as model:
            first = "".join(model.stream([Turn("user", "q1")], params))
            again = "".join(model.stream([Turn("user", "q1")], params))
        assert first == again

    def test_batched_answers_come_back_in_order(self) -> None:
        questions = [[Turn("user", text)] for text in ("q1", "a much longer question than that", "q2")]
        with self.make_generator().load(*self.make_request()) as model:
            together = model.answer_all(questions, max_new_tokens=6)
            alone = tuple(model.answer_all([question], max_new_tokens=6)[0] for question in questions)
        assert together == alone

    def test_a_model_does_not_drift_from_itself(self) -> None:
        base, _, plan = self.make_request()
        with self.make_generator().load(base, None, plan) as model:
            assert abs(model.drift([[Turn("user", "q1")]], max_new_tokens=4)) < 1e-6

    def test_a_stream_can_be_left_early(self) -> None:
        params = SamplingParams(max_new_tokens=64, temperature=0.0)
        with self.make_generator().load(*self.make_request()) as model:
            pieces = model.stream([Turn("user", "q1")], params)
            next(pieces, "")
            close = getattr(pieces, "close", None)
            assert close is not None
            close()
            assert "".join(model.stream([Turn("user", "q1")], params)) is not None
