"""The invented documents of ``tests/learning`` and how a trained model is graded on them.

Each folder there holds documents, beside each a JSON file with three rewordings of every question (a moderate one, a
strong one, a terse one) and questions about facts that only the prose states, and 60 prompts unrelated to all of them.
``dev`` is what the recipe was chosen with; ``report`` is only looked at to report.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from dlm.domain.document import Document
from dlm.domain.exam import KNOWN_SHARE, kept, key_words, leaked, names_of, share_known, words_of
from dlm.domain.ordinary import Probe
from dlm.domain.rows import Turn
from dlm.ports.generator import LoadedModel

FOLDER = Path(__file__).parent / "learning"
SHAPES = ("faq", "glossary", "procedure", "code_notes", "persona", "mixed_languages")
ANSWER_TOKENS = 48
"""Enough for the longest answer of 22 words."""

ORDINARY_TOKENS = 32


@attrs.frozen
class Case:
    """A document, rewordings of its questions, and questions about its prose."""

    name: str
    document: Document
    reworded: dict[str, tuple[str, str, str]]
    prose: tuple[tuple[str, str], ...]

    @classmethod
    def load(cls, set_name: str, shape: str) -> Case:
        record = json.loads((FOLDER / set_name / f"{shape}.json").read_text(encoding="utf-8"))
        return cls(
            shape,
            Document.load(FOLDER / set_name / f"{shape}.dlm"),
            {question: tuple(forms) for question, forms in record["reworded"].items()},
            tuple((item["question"], item["answer"]) for item in record["prose"]),
        )


def unrelated(set_name: str) -> tuple[Probe, ...]:
    """Give the prompts that have nothing to do with any document of a set."""
    record = json.loads((FOLDER / set_name / "unrelated.json").read_text(encoding="utf-8"))
    return tuple(Probe(item["question"], tuple(item["accepted"])) for item in record)


@attrs.frozen(kw_only=True)
class Figures:
    """What one trained document reached; shares from 0 to 1, drift in nats per token."""

    own: float
    reworded: float
    moderate: float
    strong: float
    terse: float
    prose: float
    leak: float
    kept: float
    drift: float


def grade(model: LoadedModel, case: Case, ordinary: Sequence[Probe]) -> Figures:
    """Ask a trained model everything there is to ask about a case, greedily."""
    pairs = [row for row in case.document.rows() if row.kind == "instruction"]
    own = _known(model, [(row.question, row.answer) for row in pairs])
    forms = [_known(model, [(case.reworded[row.question][form], row.answer) for row in pairs]) for form in range(3)]
    asked = [probe.question for probe in ordinary]
    now, before = (
        model.answer_all(_alone(asked), max_new_tokens=ORDINARY_TOKENS, with_adapter=on) for on in (True, False)
    )
    texts = [text for row in case.document.rows() for text in (row.text, *(turn.content for turn in row.turns)) if text]
    still = kept(ordinary, now, before)
    return Figures(
        own=_mean(own),
        reworded=_mean([known for form in forms for known in form]),
        moderate=_mean(forms[0]),
        strong=_mean(forms[1]),
        terse=_mean(forms[2]),
        prose=_mean(_told(model, case.prose)),
        leak=len(leaked(names_of(texts), asked, now, before)) / len(asked),
        kept=still.right / max(1, still.asked),
        drift=model.drift(_alone(asked), max_new_tokens=ORDINARY_TOKENS),
    )


def _known(model: LoadedModel, asked: Sequence[tuple[str, str]]) -> list[bool]:
    answers = model.answer_all(_alone([question for question, _ in asked]), max_new_tokens=ANSWER_TOKENS)
    return [
        share_known(given, wanted, question) >= KNOWN_SHARE
        for given, (question, wanted) in zip(answers, asked, strict=True)
    ]


def _told(model: LoadedModel, asked: Sequence[tuple[str, str]]) -> list[bool]:
    """A fact of the prose is short: most of its key words have to stand in the answer."""
    answers = model.answer_all(_alone([question for question, _ in asked]), max_new_tokens=ANSWER_TOKENS)
    keys = [key_words(wanted, "") for _, wanted in asked]
    return [len(key & set(words_of(given))) >= KNOWN_SHARE * len(key) for key, given in zip(keys, answers, strict=True)]


def _alone(questions: Sequence[str]) -> list[list[Turn]]:
    return [[Turn("user", question)] for question in questions]


def _mean(values: Sequence[Any]) -> float:
    return sum(values) / max(1, len(values))
