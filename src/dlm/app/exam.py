"""Examine a trained document: ask its own questions, reworded ones and ordinary ones."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from pathlib import Path

from dlm.app.base_access import open_base, trained_adapter
from dlm.app.callers import shielded, unwrapped
from dlm.app.corpus_of import read_corpus
from dlm.app.recalling import recall
from dlm.domain.base_models import ResolvedBase
from dlm.domain.document import Document
from dlm.domain.events import Emit, Progress, ignore
from dlm.domain.exam import Exam, Graded, Question, exam_questions, kept, leaked, names_of
from dlm.domain.inference import InferencePlan
from dlm.domain.inference_plan import resolve_inference_plan
from dlm.domain.numbers import spread
from dlm.domain.ordinary import PROBE_TOKENS, PROBES
from dlm.domain.rows import Row, Turn
from dlm.ports.clock import Clock
from dlm.ports.generator import GeneratorPort, LoadedModel
from dlm.ports.hardware import HardwareProbe
from dlm.ports.registry import RegistryPort
from dlm.ports.replay import ReplayPort
from dlm.ports.sources import SourcesPort
from dlm.ports.store import StorePort

TOKENS_PER_WORD = 2
"""Room for an answer: English takes 1.3 tokens a word, names and code more."""


def exam(
    document: Document,
    *,
    store: StorePort,
    registry: RegistryPort,
    hardware: HardwareProbe,
    generator: GeneratorPort,
    sources: SourcesPort,
    replay: ReplayPort,
    clock: Clock,
    emit: Emit = ignore,
) -> Exam:
    """Examine the current adapter of a document. Changes nothing.

    Raises:
        InferenceError: the document was never trained, or on another base.
    """
    manifest = store.manifest(document.dlm_id)
    adapter = trained_adapter(document, manifest, store)
    access = open_base(document, manifest, registry=registry, now=clock.now())
    plan = resolve_inference_plan(
        hardware.probe(), backend="pytorch", trained_with_qlora=store.trained_with_qlora(adapter), modality="text"
    )
    safe = shielded(emit)
    with unwrapped():
        corpus = read_corpus(document, sources=sources, store=store, emit=safe)
        seed = document.frontmatter.training.seed
        recalled = recall(corpus, replay, manifest, n_new=0, seed=seed, emit=safe)
        return examine(
            corpus.rows,
            document.frontmatter.system_prompt,
            registry.fetch(access.spec, bundled=store.bundled_base(document.dlm_id), emit=safe),
            adapter.folder,
            plan,
            recalled=recalled.rows,
            generator=generator,
            emit=safe,
        )


def examine(
    rows: Sequence[Row],
    system_prompt: str | None,
    base: ResolvedBase,
    adapter: Path,
    plan: InferencePlan,
    *,
    new: Collection[str] | None = None,
    recalled: Sequence[Row] = (),
    generator: GeneratorPort,
    emit: Emit = ignore,
) -> Exam:
    """Ask an adapter everything the exam asks.

    Args:
        new: ids of the sections that no earlier run has learned; None when that is not known.
        recalled: rows of sections that left the document.
    """
    began = time.monotonic()
    questions = exam_questions(rows, new=new, recalled=recalled)
    with generator.load(base, adapter, plan, system_prompt=system_prompt) as model:
        emit(Progress(stage="exam", done=0, total=3))
        graded = _grade(model, questions)
        emit(Progress(stage="exam", done=1, total=3))
        asked = [probe.question for probe in PROBES]
        now, before = (
            model.answer_all(_alone(asked), max_new_tokens=PROBE_TOKENS, with_adapter=on) for on in (True, False)
        )
        emit(Progress(stage="exam", done=2, total=3))
        drift = model.drift(_alone(asked), max_new_tokens=PROBE_TOKENS)
        emit(Progress(stage="exam", done=3, total=3))
    names = names_of(_texts(rows))
    return Exam(
        graded=graded,
        leaks=leaked(names, asked, now, before),
        probes=len(asked),
        kept=kept(PROBES, now, before),
        drift=drift,
        seconds=time.monotonic() - began,
    )


def _grade(model: LoadedModel, questions: Sequence[Question]) -> tuple[Graded, ...]:
    if not questions:
        return ()
    budget = min(256, 12 + TOKENS_PER_WORD * max(question.room for question in questions))
    answers = model.answer_all(_alone([question.text for question in questions]), max_new_tokens=budget)
    return tuple(Graded(question=q, given=answer) for q, answer in zip(questions, answers, strict=True))


def _alone(questions: Sequence[str]) -> list[list[Turn]]:
    return [[Turn("user", question)] for question in questions]


READ_FILES = 256
"""Files read for the names in them, spread evenly: names that matter come up in more than one."""


def _texts(rows: Sequence[Row]) -> list[str]:
    files = spread([row for row in rows if row.read is not None], READ_FILES)
    own = [text for row in rows for text in (row.text, *(turn.content for turn in row.turns)) if text]
    return own + [row.content for row in files]
