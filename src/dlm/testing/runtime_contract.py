"""What every runtime promises, as tests. Needs pytest.

class TestMyRuntime(RuntimeContract):
    @pytest.fixture
    def runtime(self):
        return MyRuntime()
"""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from dlm.domain.errors import ExportError
from dlm.domain.rows import Turn
from dlm.ports.runtime import RuntimeJob, RuntimePort

ASK = (Turn("user", "When does the ferry leave?"),)
MANY = 150
"""Requests in a row: more than servers answer over one connection."""


class RuntimeContract:
    """Subclass it and give a ``runtime`` and a ``model`` it can run."""

    @pytest.fixture
    def runtime(self) -> RuntimePort:
        """Give the port under test."""
        raise NotImplementedError("override the runtime fixture")

    @pytest.fixture
    def model(self) -> Path:
        """Give a file."""
        raise NotImplementedError("override the model fixture")

    def test_it_has_a_name_and_nothing_is_missing(self, runtime: RuntimePort) -> None:
        assert runtime.name
        assert runtime.missing() is None

    def test_a_conversation_holds_what_was_said(self, runtime: RuntimePort, model: Path) -> None:
        with runtime.open(RuntimeJob(model=model, context=256)) as running:
            text = running.render([Turn("system", "Be brief."), *ASK])
            longer = running.render([*ASK, Turn("assistant", "At nine."), Turn("user", "And then?")])
            ids = running.token_ids(text)
            assert running.token_ids("") == ()
            assert running.token_ids(text) == ids
        assert text.index("Be brief.") < text.index("When does the ferry leave?")
        assert longer.index("ferry") < longer.index("At nine.") < longer.index("And then?")

    def test_every_token_has_its_probability_after_any_ids(self, runtime: RuntimePort, model: Path) -> None:
        with runtime.open(RuntimeJob(model=model, context=256)) as running:
            ids = running.token_ids(running.render(ASK))
            first = running.next_logprobs(ids)
            draw = random.Random(3)
            for _ in range(MANY):
                drawn = [draw.randrange(len(first)) for _ in range(4)]
                row = running.next_logprobs(drawn)
                assert len(row) == len(first)
                assert math.fsum(map(math.exp, row)) == pytest.approx(1.0, abs=0.01)
            assert list(running.next_logprobs(ids)) == pytest.approx(list(first), abs=1e-3)

    def test_two_models_run_side_by_side(self, runtime: RuntimePort, model: Path) -> None:
        job = RuntimeJob(model=model, context=256)
        with runtime.open(job) as one, runtime.open(job) as other:
            ids = one.token_ids("ab")
            assert list(one.next_logprobs(ids)) == pytest.approx(list(other.next_logprobs(ids)), abs=1e-3)

    def test_an_error_inside_passes_through(self, runtime: RuntimePort, model: Path) -> None:
        with (
            pytest.raises(ValueError, match="enough"),
            runtime.open(RuntimeJob(model=model, context=256)),
        ):
            raise ValueError("enough")

    def test_a_file_that_is_not_there_is_told(self, runtime: RuntimePort, tmp_path: Path) -> None:
        with (
            pytest.raises(ExportError) as caught,
            runtime.open(RuntimeJob(model=tmp_path / 'it\'s not "there".gguf')),
        ):
            pass
        assert caught.value.code == "export.runtime-failed"
