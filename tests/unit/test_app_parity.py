"""The parity check on toy models: every way in which an export can differ fails it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from dlm.app.parity import (
    ANSWER_TOKENS,
    ORDINARY_QUESTIONS,
    OWN_QUESTIONS,
    STRIDE,
    ParityJob,
    check_parity,
    parity_questions,
    refuse_unlike,
)
from dlm.domain.base_models import ResolvedBase
from dlm.domain.base_rows import find_base
from dlm.domain.document import Document
from dlm.domain.errors import ExportError
from dlm.domain.events import Event, Note, Progress
from dlm.domain.ordinary import PROBES
from dlm.domain.parity import Parity
from dlm.domain.rows import Turn
from dlm.testing.references import FakeReference, ToyModel
from dlm.testing.runtimes import FakeRuntime

QUESTIONS = tuple((Turn("user", f"Question number {number}?"),) for number in range(9))


@pytest.fixture
def job(tmp_path: Path) -> ParityJob:
    (tmp_path / "model.gguf").write_bytes(b"any")
    base = ResolvedBase(spec=find_base("smollm2-135m"), folder=tmp_path, origin="folder", config={})
    return ParityJob(
        base=base,
        adapter=tmp_path / "adapter",
        model=tmp_path / "model.gguf",
        system_prompt="Be brief.",
        questions=QUESTIONS,
        bound=0.001,
    )


def check(job: ParityJob, model: ToyModel | None = None, events: list[Event] | None = None) -> Parity:
    found: list[Event] = [] if events is None else events
    return check_parity(job, runtime=FakeRuntime(model), references=FakeReference(), emit=found.append)


def changed(job: ParityJob, **changes: Any) -> ParityJob:
    return attrs.evolve(job, **changes)


def led(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    return (Turn("system", "Be brief."), *turns)


class _Counting(ToyModel):
    """Notes which ids it was asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[int, ...]] = []

    def logprobs(self, ids: Sequence[int]) -> Sequence[float]:
        self.asked.append(tuple(ids))
        return super().logprobs(ids)

    def matched(self, questions: Sequence[tuple[Turn, ...]]) -> list[tuple[tuple[int, ...], tuple[Turn, ...]]]:
        """Give the asked ids, each with the question that they begin with."""
        prompts = {self.token_ids(self.render(led(turns))): turns for turns in questions}
        return [(ids, turns) for ids in self.asked for prompt, turns in prompts.items() if ids[: len(prompt)] == prompt]


class TestCheck:
    def test_the_same_model_passes_with_all_questions(self, job: ParityJob) -> None:
        events: list[Event] = []
        parity = check(job, events=events)
        refuse_unlike(parity)
        assert parity.is_within
        assert (parity.runtime, parity.bound, parity.questions) == ("fake", 0.001, 9)
        assert (parity.mean_kl, parity.top1_agreement) == (pytest.approx(0.0, abs=1e-12), 1.0)
        done = [event.done for event in events if isinstance(event, Progress)]
        assert done == list(range(10))

    def test_places_inside_answers_are_compared_all_depths_alike(self, job: ParityJob) -> None:
        model = _Counting()
        parity = check(job, model)
        depths = [len(ids) - len(model.token_ids(model.render(led(turns)))) for ids, turns in model.matched(QUESTIONS)]
        assert parity.positions == len(depths) == len(model.asked)
        assert min(depths) == 0
        assert max(depths) == ANSWER_TOKENS - 1
        assert len(set(depths)) == ANSWER_TOKENS
        assert parity.positions <= len(QUESTIONS) * ANSWER_TOKENS / STRIDE

    def test_adapter_system_prompt_and_files_reach_both_sides(self, job: ParityJob, tmp_path: Path) -> None:
        for name in ("lora.gguf", "chat.jinja"):
            (tmp_path / name).write_bytes(b"any")
        references, runtime = FakeReference(), FakeRuntime()
        job = changed(job, lora=tmp_path / "lora.gguf", chat_template=tmp_path / "chat.jinja", context=300)
        check_parity(job, runtime=runtime, references=references)
        assert references.opened == [{"base": "smollm2-135m", "adapter": job.adapter, "system_prompt": "Be brief."}]
        (opened,) = runtime.opened
        assert (opened.model, opened.lora, opened.chat_template, opened.context) == (
            job.model,
            job.lora,
            job.chat_template,
            300,
        )
        assert not check_parity(changed(job, adapter=None), runtime=runtime, references=references).is_within

    @pytest.mark.parametrize(
        ("model", "cause"),
        [
            (ToyModel(seed=7), "another adapter"),
            (ToyModel(seed=1), "another adapter"),  # the bare base
            (ToyModel(sharpness=1.03), "more bits"),
            (ToyModel(template="[{role}] {content}"), "chat template"),
            (ToyModel(template="<{role}>{content}\n\n"), "chat template"),
            (ToyModel(alphabet=1), "tokenizer"),
        ],
    )
    def test_every_difference_fails(self, job: ParityJob, model: ToyModel, cause: str) -> None:
        parity = check(job, model)
        assert not parity.is_within
        with pytest.raises(ExportError, match="is not what was trained, says fake") as caught:
            refuse_unlike(parity)
        assert (caught.value.code, caught.value.subject) == ("export.parity", "parity")
        assert cause in str(caught.value.hint)
        assert "--no-smoke" in str(caught.value.hint)
        assert ("--quant" in str(caught.value.hint)) == (cause == "more bits")
        assert Parity.from_record({**caught.value.details}) == parity

    def test_a_little_rounding_passes(self, job: ParityJob) -> None:
        parity = check(job, ToyModel(sharpness=1.005))
        assert 0.0 < parity.mean_kl < parity.bound
        assert parity.is_within

    def test_a_template_that_fails_only_after_an_answer_is_found(self, job: ParityJob) -> None:
        parity = check(job, _Forgetful())
        assert not parity.prompts_alike
        assert "Yes, it is." in parity.reasons[0]

    def test_a_tokenizer_that_fails_only_on_odd_text_is_found(self, job: ParityJob) -> None:
        parity = check(job, _Composing())
        assert parity.prompts_alike
        assert not parity.tokenizers_alike

    def test_another_vocabulary_cannot_be_compared(self, job: ParityJob) -> None:
        with pytest.raises(ExportError, match="300 tokens, the trained model 256"):
            check(job, ToyModel(vocabulary=300))

    def test_questions_that_do_not_fit_are_left_out_and_told(self, job: ParityJob) -> None:
        events: list[Event] = []
        long = (Turn("user", "word " * 500),)
        parity = check(changed(job, questions=(long, *QUESTIONS)), events=events)
        assert parity.questions == 9
        assert [event.message for event in events if isinstance(event, Note)] == [
            "1 questions do not fit into 2048 tokens and are left out"
        ]

    def test_when_none_fits_that_is_an_error(self, job: ParityJob) -> None:
        with pytest.raises(ExportError, match="none of 9 questions fits into 20 tokens"):
            check(changed(job, context=20))

    def test_a_runtime_that_fails_is_told(self, job: ParityJob) -> None:
        with pytest.raises(ExportError, match="not installed"):
            check_parity(job, runtime=FakeRuntime(missing="not installed"), references=FakeReference())


class _Forgetful(ToyModel):
    """Leaves out what the assistant said."""

    def render(self, turns: Sequence[Turn]) -> str:
        return super().render([turn for turn in turns if turn.role != "assistant"])


class _Composing(ToyModel):
    """Cuts letters that are not ASCII otherwise."""

    def token_ids(self, text: str) -> tuple[int, ...]:
        return super().token_ids(text.replace("ï", "i"))


class TestQuestions:
    def document(self, pairs: int) -> Document:
        body = "\n\n".join(f"### Q\nWhat is thing {number}?\n### A\nIt is {number}." for number in range(pairs))
        head = "---\ndlm_id: 01ARZ3NDEKTSV4RRFFQ69G5FAV\nbase_model: smollm2-135m\n---\n"
        return Document.parse(f"{head}\n::instruction::\n{body}\n")

    def test_some_of_the_documents_and_some_ordinary_ones(self) -> None:
        texts = [turns[-1].content for turns in parity_questions(self.document(40))]
        assert len(texts) == OWN_QUESTIONS + ORDINARY_QUESTIONS
        assert texts[:3] == ["What is thing 0?", "What is thing 5?", "What is thing 10?"]
        assert set(texts[OWN_QUESTIONS:]) <= {probe.question for probe in PROBES}
        assert parity_questions(self.document(40)) == parity_questions(self.document(40))

    def test_of_a_document_without_questions_the_ordinary_ones_are_left(self) -> None:
        head = "---\ndlm_id: 01ARZ3NDEKTSV4RRFFQ69G5FAV\nbase_model: smollm2-135m\n---\n"
        assert len(parity_questions(Document.parse(head))) == ORDINARY_QUESTIONS

    def test_letters_are_composed_and_questions_asked_once(self) -> None:
        head = "---\ndlm_id: 01ARZ3NDEKTSV4RRFFQ69G5FAV\nbase_model: smollm2-135m\n---\n"
        pairs = "### Q\nWho sings in the cafe\u0301?\n### A\nAda.\n\n### Q\nWho sings in the caf\u00e9?\n### A\nAda.\n"
        texts = [turns[-1].content for turns in parity_questions(Document.parse(f"{head}\n::instruction::\n{pairs}"))]
        assert texts.count("Who sings in the caf\u00e9?") == 1
        assert all("\u0301" not in text for text in texts)
