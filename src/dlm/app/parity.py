"""Run an exported file and compare it with what was trained."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

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
    running = RuntimeJob(model=job.model, lora=job.lora, context=job.context, chat_template=job.chat_template)
    with (
        references.open(job.base, job.adapter, system_prompt=job.system_prompt) as trained,
        runtime.open(running) as exported,
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


def _other_prompts(job: ParityJob, trained: LoadedReference, exported: LoadedRuntime) -> Iterator[str]:
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


def _other_tokens(job: ParityJob, trained: LoadedReference, exported: LoadedRuntime) -> Iterator[str]:
    """Tell where the same text becomes other tokens. Texts stand inside of conversations, as they do in use."""
    awkward = [(Turn("user", text),) for text in _TEXTS]
    for turns in (*job.questions, _talk(job.questions), *awkward):
        text = trained.render(turns)
        difference = first_other_token(text, trained.token_ids(text), exported.token_ids(text))
        if difference is not None:
            yield difference
