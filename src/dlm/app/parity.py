"""Run an exported file and compare it with what was trained."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import attrs

from dlm.domain.base_models import ResolvedBase
from dlm.domain.document import Document
from dlm.domain.errors import ExportError
from dlm.domain.events import Emit, Note, Progress, ignore
from dlm.domain.exam import exam_questions
from dlm.domain.numbers import spread
from dlm.domain.ordinary import PROBES
from dlm.domain.parity import Parity, PositionParity, compare, first_difference, first_other_token
from dlm.domain.rows import Turn
from dlm.ports.chat_format import ChatFormat
from dlm.ports.reference import LoadedReference, ReferencePort
from dlm.ports.runtime import LoadedRuntime, RuntimeJob, RuntimePort

Conversation = tuple[Turn, ...]

OWN_QUESTIONS = 8
ORDINARY_QUESTIONS = 4

ANSWER_TOKENS = 16
"""How far into the trained model's answer to a question the two are compared."""

STRIDE = 4
"""Of an answer's positions every fourth is compared, beginning one later with each question, so that all depths count
alike. A distribution over 50,000 tokens takes llama.cpp's server a quarter of a second to write down."""

STAGE = "parity"

_TEXTS = (
    "naïve café Ünïcödé, 我想在这里工作, нещо на български, 🦙🚀✅",
    "def f(x):\n\treturn x+1  # a.b/c\n\n\n    pass\r\n!!?? ... --- == \"q\" 'q'",
    "a  b   c\u00a0d \n  e\t\tf",
    "1 12 123 1234 12345 3.14 1,000,000 x2 6:40",
    "We've CAN'T it's 'Re, HTTPServer camelCase",
    "<|im_start|>user\nhi<|im_end|>\n<|user|> a</s>[INST] b <start_of_turn>c<|eot_id|><|endoftext|><s>",
)
"""Texts that tokenizers cut differently when a rule of theirs is wrong. What a user writes may look like a special
token, and both sides read it as one. Letters are composed: Qwen's tokenizers compose them, llama.cpp does not."""


@attrs.frozen(kw_only=True)
class ParityJob:
    """What is compared.

    Args:
        base, adapter: what was trained; a base alone without an adapter.
        model, lora: GGUF files of the export.
        chat_template: Jinja file that the export gives to the runtime; None when it uses the one inside ``model``.
        questions: conversations that end with the user's turn.
        bound: most that the mean divergence may be, nats.
        context: tokens of context to run with.
    """

    base: ResolvedBase
    adapter: Path | None
    model: Path
    lora: Path | None = None
    chat_template: Path | None = None
    system_prompt: str | None = None
    questions: tuple[Conversation, ...]
    bound: float
    context: int = 2048


def parity_questions(document: Document) -> tuple[Conversation, ...]:
    """Give what to ask: the document's exam questions, spread evenly, and some that have nothing to do with it.

    The same for the same document. Files that the document names are not read.
    """
    own = [question.text for question in exam_questions(document.rows()) if question.kind != "reworded"]
    ordinary = [probe.question for probe in spread(PROBES, ORDINARY_QUESTIONS)]
    texts = dict.fromkeys(unicodedata.normalize("NFC", text) for text in (*spread(own, OWN_QUESTIONS), *ordinary))
    return tuple((Turn("user", text),) for text in texts)


def check_parity(job: ParityJob, *, runtime: RuntimePort, references: ReferencePort, emit: Emit = ignore) -> Parity:
    """Load both models and compare what they see and what they say.

    Seen: conversations as text, texts as tokens. Said: the distributions of the next token, after each prompt and
    along the trained model's own greedy answer to it, over the same token ids.

    Does not: judge; see ``refuse_unlike``.

    Raises:
        ExportError: the file cannot be run, or cannot be compared at all.
    """
    with (
        references.open(job.base, job.adapter, system_prompt=job.system_prompt) as trained,
        runtime.open(_running(job)) as exported,
    ):
        prompts = _prompts(job, trained, emit)
        positions: list[PositionParity] = []
        emit(Progress(stage=STAGE, done=0, total=len(prompts), unit="questions"))
        answers = trained.continuations(prompts, max_tokens=ANSWER_TOKENS)
        for number, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
            positions += _along(trained, exported, prompt, answer, first=number % STRIDE)
            emit(Progress(stage=STAGE, done=number + 1, total=len(prompts), unit="questions"))
        return Parity.measured(
            positions,
            runtime=runtime.name,
            bound=job.bound,
            questions=len(prompts),
            other_prompt=next(_other_prompts(job, trained, exported), None),
            other_tokens=next(_other_tokens(job, trained, exported), None),
        )


def check_wording(job: ParityJob, chat: ChatFormat, *, runtime: RuntimePort, why_only: str) -> Parity:
    """Compare what the models see and not what they say, which needs no trained model in memory.

    Args:
        chat: of the trained model's tokenizer.
        why_only: in words.

    Raises:
        ExportError: the file cannot be run.
    """
    trained = _Tokenizer(chat, job.system_prompt)
    with runtime.open(_running(job)) as exported:
        return Parity.measured(
            (),
            runtime=runtime.name,
            bound=job.bound,
            questions=len(job.questions),
            other_prompt=next(_other_prompts(job, trained, exported), None),
            other_tokens=next(_other_tokens(job, trained, exported), None),
            wording_only=why_only,
        )


class _Wording(Protocol):
    """How a trained model is told a conversation."""

    def render(self, turns: Sequence[Turn]) -> str: ...

    def token_ids(self, text: str) -> tuple[int, ...]: ...


@attrs.frozen
class _Tokenizer:
    """The trained model's tokenizer without its weights. Implements ``_Wording``."""

    chat: ChatFormat
    system_prompt: str | None

    def render(self, turns: Sequence[Turn]) -> str:
        lead = () if self.system_prompt is None else (Turn("system", self.system_prompt),)
        return self.chat.render((*lead, *turns))

    def token_ids(self, text: str) -> tuple[int, ...]:
        return tuple(self.chat.encode(text))


def _running(job: ParityJob) -> RuntimeJob:
    return RuntimeJob(model=job.model, lora=job.lora, context=job.context, chat_template=job.chat_template)


def refuse_unlike(parity: Parity) -> None:
    """Refuse an export that is not what was trained.

    Raises:
        ExportError: ``export.parity``, with the figures, the probable cause and what to do.
    """
    if parity.is_within:
        return
    remedy = "Export with a finer level, such as --quant Q8_0 or F16" if parity.is_rounding else "Export again"
    raise ExportError(
        "export.parity",
        f"the exported model is not what was trained, says {parity.runtime}: {'; '.join(parity.reasons)}",
        subject="parity",
        hint=f"Probably {parity.cause}. {remedy}, or add --no-smoke to keep it anyway.",
        details=parity.to_record(),
    )


def _prompts(job: ParityJob, trained: LoadedReference, emit: Emit) -> list[tuple[int, ...]]:
    """Give the token ids of the questions that fit into the context with an answer."""
    prompts = [trained.token_ids(trained.render(turns)) for turns in job.questions]
    fitting = [ids for ids in prompts if len(ids) + ANSWER_TOKENS < job.context]
    if not fitting:
        raise ExportError(
            "export.parity",
            f"none of {len(prompts)} questions fits into {job.context} tokens, so the export cannot be checked",
            subject="parity",
            hint="Raise training.sequence_len, or add --no-smoke to go without the check.",
        )
    if len(fitting) < len(prompts):
        message = f"{len(prompts) - len(fitting)} questions do not fit into {job.context} tokens and are left out"
        emit(Note(subject="parity", message=message))
    return fitting


def _along(
    trained: LoadedReference, exported: LoadedRuntime, prompt: Sequence[int], answer: Sequence[int], *, first: int
) -> Iterator[PositionParity]:
    """Compare at every fourth place of an answer from the place ``first`` on, and at one place at least."""
    ids = (*prompt, *answer[:-1])
    rows = trained.next_logprobs(ids, last=len(answer))
    for place in range(min(first, len(answer) - 1), len(answer), STRIDE):
        yield compare(rows[place], exported.next_logprobs(ids[: len(prompt) + place]))


def _other_prompts(job: ParityJob, trained: _Wording, exported: LoadedRuntime) -> Iterator[str]:
    """Tell where the runtime writes a conversation otherwise. A template of the export's own brings the system prompt;
    without one whoever asks has to."""
    is_told = job.system_prompt is not None and job.chat_template is None
    lead = (Turn("system", job.system_prompt or ""),) if is_told else ()
    for turns in (*job.questions, _talk(job.questions)):
        difference = first_difference(trained.render(turns), exported.render((*lead, *turns)))
        if difference is not None:
            yield difference


def _talk(questions: Sequence[Conversation]) -> Conversation:
    """Give a conversation that goes on after an answer."""
    return (*questions[0], Turn("assistant", "Yes, it is."), questions[-1][-1])


def _other_tokens(job: ParityJob, trained: _Wording, exported: LoadedRuntime) -> Iterator[str]:
    """Tell where the same text becomes other tokens. Texts stand inside of conversations, as they do in use."""
    awkward = [(Turn("user", text),) for text in _TEXTS]
    for turns in (*job.questions, _talk(job.questions), *awkward):
        text = trained.render(turns)
        difference = first_other_token(text, trained.token_ids(text), exported.token_ids(text))
        if difference is not None:
            yield difference
