"""The exam: what the model knows now, and what became of everything else. Scoring is pure; asking is not done here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from dlm.domain.ordinary import Probe
from dlm.domain.rows import Row

KNOWN_SHARE = 0.75
"""Share of an answer's key words that must come back for it to count as known."""

MAX_OWN_QUESTIONS = 64
"""Own questions asked at most, spread evenly over the document, so that the exam stays a small part of a run."""

_WORD = re.compile(r"[^\W_]+(?:['’.:,-][^\W_]+)*")
_FILLER = frozenset(
    "a an and are as at be been but by can could did do does each every for from had has have he her his how i if in "
    "into is it its may me my no not of on or our she should so some such than that the their them then there these "
    "they this those to was we were what when where which who why will with would you your".split()
)
"""English words that carry no fact. Other languages' fillers only make the score stricter."""


def words_of(text: str) -> tuple[str, ...]:
    """Give the words of a text, case folded; inner points, colons and hyphens stay (``6:40``, ``v1.2``)."""
    return tuple(word.casefold() for word in _WORD.findall(text))


def key_words(answer: str, question: str) -> frozenset[str]:
    """Give what an answer adds to its question: its words without fillers and without the question's own.

    When nothing is left (a yes, a definition that repeats the question) all of its words count.
    """
    words = frozenset(words_of(answer))
    return (words - _FILLER - frozenset(words_of(question))) or words


def share_known(given: str, wanted: str, question: str) -> float:
    """Give the share of the wanted answer's key words found in the given one, 0 to 1.

    An answer without words, such as a sign, has to come back as it is.
    """
    keys = key_words(wanted, question)
    if not keys:
        return 1.0 if wanted.strip() in given else 0.0
    return len(keys & frozenset(words_of(given))) / len(keys)


@attrs.frozen(kw_only=True)
class Question:
    """One question of the exam about the document. ``line`` is where its pair stands in the file."""

    text: str
    wanted: str
    section_id: str
    line: int
    reworded: bool


@attrs.frozen(kw_only=True)
class Graded:
    """A question with what the model said."""

    question: Question
    given: str

    @property
    def known(self) -> bool:
        return share_known(self.given, self.question.wanted, self.question.text) >= KNOWN_SHARE


@attrs.frozen
class Score:
    """``right`` of ``asked``; the share is None when nothing was asked."""

    right: int
    asked: int

    @property
    def share(self) -> float | None:
        return self.right / self.asked if self.asked else None

    def __str__(self) -> str:
        return f"{self.right} of {self.asked}" if self.asked else "none asked"


@attrs.frozen(kw_only=True)
class Exam:
    """The result.

    Args:
        graded: every question about the document.
        leaks: ordinary questions whose answer now holds a name or number of the document.
        probes: ordinary questions asked.
        kept: of those the base answered rightly, how many still are.
        drift: mean KL divergence from the base on ordinary questions, nats per token.
        loss_before, loss_after: mean training loss, nats per token.
    """

    graded: tuple[Graded, ...]
    leaks: tuple[str, ...]
    probes: int
    kept: Score
    drift: float
    loss_before: float | None = None
    loss_after: float | None = None
    seconds: float = 0.0

    @property
    def own(self) -> Score:
        """The document's questions, word for word."""
        return _score(graded for graded in self.graded if not graded.question.reworded)

    @property
    def reworded(self) -> Score:
        """The same questions in forms that were not trained."""
        return _score(graded for graded in self.graded if graded.question.reworded)

    def to_json(self) -> dict[str, Any]:
        """Give the record kept in the run summary and the manifest."""
        return {
            "own": {"right": self.own.right, "asked": self.own.asked},
            "reworded": {"right": self.reworded.right, "asked": self.reworded.asked},
            "leaks": len(self.leaks),
            "probes": self.probes,
            "kept": {"right": self.kept.right, "asked": self.kept.asked},
            "drift": round(self.drift, 4),
            "loss_before": self.loss_before,
            "loss_after": self.loss_after,
            "missed": [
                {"line": graded.question.line, "question": graded.question.text, "given": graded.given}
                for graded in self.graded
                if not graded.known
            ],
            "seconds": round(self.seconds, 2),
        }

    def to_text(self) -> str:
        """Give a few lines for a terminal."""
        lines = [
            f"own questions answered      {self.own}",
            f"reworded questions answered {self.reworded}",
            f"ordinary questions kept     {self.kept}, {len(self.leaks)} of {self.probes} answers mention the document",
            f"drift from the base         {self.drift:.3f} nats/token",
        ]
        missed = [graded for graded in self.graded if not graded.known and not graded.question.reworded]
        lines += [f"  not yet known, line {g.question.line}: {g.question.text}" for g in missed[:10]]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.to_text()


def _score(graded: Iterable[Graded]) -> Score:
    items = list(graded)
    return Score(sum(item.known for item in items), len(items))


def exam_questions(rows: Sequence[Row]) -> tuple[Question, ...]:
    """Give the questions to ask: each pair's own and one rewording, ``!probe`` pairs first, at most
    ``MAX_OWN_QUESTIONS`` pairs."""
    pairs = [row for row in rows if row.kind == "instruction"]
    marked = [row for row in pairs if row.is_probe]
    others = _spread([row for row in pairs if not row.is_probe], MAX_OWN_QUESTIONS - len(marked))
    chosen = [*marked[:MAX_OWN_QUESTIONS], *others]
    return tuple(
        Question(text=text, wanted=row.answer, section_id=row.section_id, line=row.line, reworded=reworded)
        for row in chosen
        for text, reworded in ((row.question, False), (reword(row.question), True))
    )


def _spread(rows: Sequence[Row], limit: int) -> list[Row]:
    if limit <= 0 or len(rows) <= limit:
        return list(rows[: max(0, limit)])
    return [rows[index * len(rows) // limit] for index in range(limit)]


def reword(question: str) -> str:
    """Ask the same in another form: a polite request around the question, its first letter small, without its mark.

    Training never sees this form, so answering it is more than reciting.
    """
    plain = question.strip().rstrip("?!. ")
    return f"I would like to know: {plain[:1].lower()}{plain[1:]}. Can you tell me?"


def names_of(texts: Iterable[str]) -> frozenset[str]:
    """Give the words by which a document would be recognised: those always capitalised inside sentences, and numbers
    of two digits or more."""
    capitalised: set[str] = set()
    lower: set[str] = set()
    for text in texts:
        for match in _WORD.finditer(text):
            word = match.group()
            if word.isdigit():
                capitalised.update([word] if len(word) > 1 else [])
            elif word[0].isupper() and _inside_sentence(text, match.start()):
                capitalised.add(word.casefold())
            elif word[0].islower():
                lower.add(word.casefold())
    return frozenset(capitalised - lower - _FILLER)


def _inside_sentence(text: str, start: int) -> bool:
    before = text[:start].rstrip(" \t\"'“”‘’(")
    return bool(before) and before[-1] not in ".!?:\n#*-"


def leaked(
    names: frozenset[str], questions: Sequence[str], now: Sequence[str], before: Sequence[str]
) -> tuple[str, ...]:
    """Give the questions whose answer now names something of the document that the base did not say."""
    return tuple(
        question
        for question, new, old in zip(questions, now, before, strict=True)
        if (frozenset(words_of(new)) - frozenset(words_of(old)) - frozenset(words_of(question))) & names
    )


def kept(probes: Sequence[Probe], now: Sequence[str], before: Sequence[str]) -> Score:
    """Count the facts the base got right, and how many of them are still right."""
    right = [_accepts(probe, old) for probe, old in zip(probes, before, strict=True)]
    still = [was and _accepts(probe, new) for probe, new, was in zip(probes, now, right, strict=True)]
    return Score(sum(still), sum(right))


def _accepts(probe: Probe, answer: str) -> bool:
    return bool(frozenset(probe.accepted) & frozenset(words_of(answer)))


def exam_from_json(record: Mapping[str, Any]) -> str:
    """Give one line from a stored record, for ``show``."""
    own, reworded, kept_score = (record[key] for key in ("own", "reworded", "kept"))
    return (
        f"own {own['right']}/{own['asked']}, reworded {reworded['right']}/{reworded['asked']}, "
        f"kept {kept_score['right']}/{kept_score['asked']}, leaks {record['leaks']}/{record['probes']}, "
        f"drift {record['drift']:.3f} nats/token"
    )
