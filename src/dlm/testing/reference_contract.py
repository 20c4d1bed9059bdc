"""What every reference promises, as tests. Needs pytest.

class TestMyReference(ReferenceContract):
    @pytest.fixture
    def reference(self):
        return MyReference()
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from dlm.domain.base_models import ResolvedBase
from dlm.domain.rows import Turn
from dlm.ports.reference import LoadedReference, ReferencePort

ASK = (Turn("user", "When does the ferry leave?"),)


def prompt(model: LoadedReference) -> tuple[int, ...]:
    """Give the ids of a question."""
    return model.token_ids(model.render(ASK))


class ReferenceContract:
    """Subclass it and give a ``reference``, a ``base`` and an ``adapter`` that changes what the base says."""

    @pytest.fixture
    def reference(self) -> ReferencePort:
        """Give the port under test."""
        raise NotImplementedError("override the reference fixture")

    @pytest.fixture
    def base(self) -> ResolvedBase:
        """Give a base."""
        raise NotImplementedError("override the base fixture")

    @pytest.fixture
    def adapter(self) -> Path:
        """Give an adapter's folder."""
        raise NotImplementedError("override the adapter fixture")

    def test_a_conversation_holds_what_was_said_and_opens_the_answer(
        self, reference: ReferencePort, base: ResolvedBase, adapter: Path
    ) -> None:
        with reference.open(base, adapter, system_prompt="Be brief.") as model:
            text = model.render(ASK)
            own = model.render([Turn("system", "Be long."), *ASK])
            longer = model.render([*ASK, Turn("assistant", "At nine."), Turn("user", "And then?")])
        assert text.index("Be brief.") < text.index("When does the ferry leave?")
        assert "Be long." in own
        assert "Be brief." not in own
        assert longer.index("ferry") < longer.index("At nine.") < longer.index("And then?")

    def test_without_a_system_prompt_there_is_none(
        self, reference: ReferencePort, base: ResolvedBase, adapter: Path
    ) -> None:
        with reference.open(base, adapter) as model:
            assert "Be brief." not in model.render(ASK)

    def test_text_becomes_the_same_ids_each_time(
        self, reference: ReferencePort, base: ResolvedBase, adapter: Path
    ) -> None:
        with reference.open(base, adapter) as model:
            assert model.token_ids("") == ()
            assert model.token_ids("ab") == model.token_ids("ab") != model.token_ids("ba")

    def test_a_continuation_takes_the_likeliest_token_each_time(
        self, reference: ReferencePort, base: ResolvedBase, adapter: Path
    ) -> None:
        with reference.open(base, adapter) as model:
            ids = prompt(model)
            other, answer = model.continuations([ids[:5], ids], max_tokens=6)
            rows = model.next_logprobs((*ids, *answer[:-1]), last=len(answer))
            assert 1 <= len(answer) <= 6
            assert model.continuations([ids], max_tokens=1) == (answer[:1],)
            assert model.continuations([ids[:5]], max_tokens=6) == (other,)
            assert model.continuations([], max_tokens=6) == ()
        for token, row in zip(answer, rows, strict=True):
            assert row[token] == pytest.approx(max(row), abs=1e-4)

    def test_distributions_are_whole_and_look_back_only(
        self, reference: ReferencePort, base: ResolvedBase, adapter: Path
    ) -> None:
        with reference.open(base, adapter) as model:
            ids = prompt(model)
            rows = model.next_logprobs(ids, last=3)
            (shorter,) = model.next_logprobs(ids[:-1], last=1)
        assert len(rows) == 3
        for row in rows:
            assert len(row) == len(shorter)
            assert math.fsum(map(math.exp, row)) == pytest.approx(1.0, abs=1e-9)
        assert list(rows[1]) == pytest.approx(list(shorter), abs=1e-4)

    def test_the_adapter_counts_and_leaves_the_base_as_it_was(
        self, reference: ReferencePort, base: ResolvedBase, adapter: Path
    ) -> None:
        found = []
        for folder in (None, adapter, None):
            with reference.open(base, folder) as model:
                found.append(list(model.next_logprobs(prompt(model), last=1)[0]))
        assert found[0] == found[2]
        assert max(abs(old - new) for old, new in zip(found[0], found[1], strict=True)) > 0.01
