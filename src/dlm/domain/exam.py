"""The exam: what the model knows now, and what became of everything else. Scoring is pure; asking is not done here."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import attrs

from dlm.domain.asking import exam_question_about
from dlm.domain.lessons import statement_rows
from dlm.domain.numbers import spread
from dlm.domain.ordinary import Probe
from dlm.domain.rephrasing import exam_rephrased
from dlm.domain.rows import Row

KNOWN_SHARE = 0.75
"""Share of an answer's key words that must come back for it to count as known."""

MAX_OWN_QUESTIONS = 64
"""Own questions asked at most, spread evenly over the document, so that the exam stays a small part of a run."""

MAX_PROSE_QUESTIONS = 32
"""Sentences of the prose asked for at most, for the same reason."""

MAX_REMOVED_QUESTIONS = 24
"""Questions about sections that left the document, asked at most."""

QuestionKind = Literal["own", "reworded", "prose", "removed"]

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
    """One question of the exam about the document.

    Args:
        kind: ``own`` (a pair, word for word), ``reworded`` (the same in a form that was not trained), ``prose`` (a
            sentence of the prose, asked for in a form that was not trained) or ``removed`` (a pair or a sentence of a
            section that is no longer in the document).
        wanted: the pair's answer, or the words that the question leaves out of the sentence.
        line: where the pair or the section stands in the file.
        room: words that a whole answer has.
        is_older: its section was learned in an earlier run already.
    """

    text: str
    wanted: str
    section_id: str
    line: int
    kind: QuestionKind
    room: int
    is_older: bool = False


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
        sections: mean loss of each section before and after this run, by section id.
    """

    graded: tuple[Graded, ...]
    leaks: tuple[str, ...]
    probes: int
    kept: Score
    drift: float
    loss_before: float | None = None
    loss_after: float | None = None
    sections: Mapping[str, tuple[float, float]] = attrs.field(factory=dict)
    seconds: float = 0.0

    @property
    def own(self) -> Score:
        """The document's questions, word for word."""
        return self._score("own")

    @property
    def reworded(self) -> Score:
        """The same questions in forms that were not trained."""
        return self._score("reworded")

    @property
    def prose(self) -> Score:
        """What only the prose says, asked as questions that were not trained."""
        return self._score("prose")

    @property
    def older(self) -> Score:
        """The document's own questions and facts of its prose that an earlier run had learned already."""
        items = [graded for graded in self.graded if graded.question.is_older and graded.question.kind != "reworded"]
        return Score(sum(item.known for item in items), len(items))

    @property
    def removed(self) -> Score:
        """What sections said that are no longer in the document."""
        return self._score("removed")

    @property
    def missed(self) -> tuple[Graded, ...]:
        """The document's own questions that were not answered."""
        return tuple(graded for graded in self.graded if graded.question.kind == "own" and not graded.known)

    def _score(self, kind: QuestionKind) -> Score:
        items = [graded for graded in self.graded if graded.question.kind == kind]
        return Score(sum(item.known for item in items), len(items))

    def to_json(self) -> dict[str, Any]:
        """Give the record kept in the run summary and the manifest."""
        return {
            "own": {"right": self.own.right, "asked": self.own.asked},
            "reworded": {"right": self.reworded.right, "asked": self.reworded.asked},
            "prose": {"right": self.prose.right, "asked": self.prose.asked},
            "older": {"right": self.older.right, "asked": self.older.asked},
            "removed": {"right": self.removed.right, "asked": self.removed.asked},
            "leaks": len(self.leaks),
            "probes": self.probes,
            "kept": {"right": self.kept.right, "asked": self.kept.asked},
            "drift": round(self.drift, 4),
            "loss_before": self.loss_before,
            "loss_after": self.loss_after,
            "sections": {name: {"before": before, "after": after} for name, (before, after) in self.sections.items()},
            "missed": [
                {
                    "kind": graded.question.kind,
                    "line": graded.question.line,
                    "question": graded.question.text,
                    "given": graded.given,
                }
                for graded in self.graded
                if not graded.known
            ],
            "seconds": round(self.seconds, 2),
        }

    def to_text(self) -> str:
        """Give a few lines for a terminal."""
        figures = [
            ("own questions answered", str(self.own)),
            ("reworded questions answered", str(self.reworded)),
            ("facts of the prose", str(self.prose)),
            *self._memory(),
            (
                "ordinary questions kept",
                f"{self.kept}, {len(self.leaks)} of {self.probes} answers mention the document",
            ),
            ("drift from the base", f"{self.drift:.3f} nats/token"),
        ]
        lines = [f"{name:<28}{figure}" for name, figure in figures]
        lines += [f"  not yet known, line {g.question.line}: {g.question.text}" for g in self.missed[:10]]
        return "\n".join(lines)

    def _memory(self) -> list[tuple[str, str]]:
        """Tell of earlier runs only where there were any."""
        scores = [("learned in earlier runs", self.older), ("of sections removed since", self.removed)]
        return [(name, str(score)) for name, score in scores if score.asked]

    def __str__(self) -> str:
        return self.to_text()


def exam_questions(
    rows: Sequence[Row], *, new: Collection[str] | None = None, recalled: Sequence[Row] = ()
) -> tuple[Question, ...]:
    """Give the questions to ask: each pair's own and one rewording, ``!probe`` pairs first, at most
    ``MAX_OWN_QUESTIONS`` pairs; then one for each sentence of the prose, at most ``MAX_PROSE_QUESTIONS``; then what
    removed sections said, at most ``MAX_REMOVED_QUESTIONS``.

    Args:
        new: ids of the sections that no earlier run has learned; None when that is not known.
        recalled: rows of removed sections.
    """
    asked = (*_pair_questions(rows), *_prose_questions(rows))
    if new is not None:
        asked = tuple(attrs.evolve(question, is_older=question.section_id not in new) for question in asked)
    return (*asked, *_removed_questions(recalled))


def _pair_questions(rows: Sequence[Row]) -> tuple[Question, ...]:
    pairs = [row for row in rows if row.kind == "instruction"]
    marked = [row for row in pairs if row.is_probe]
    others = spread([row for row in pairs if not row.is_probe], MAX_OWN_QUESTIONS - len(marked))
    chosen = [*marked[:MAX_OWN_QUESTIONS], *others]
    forms: tuple[tuple[QuestionKind, Callable[[str], str]], ...] = (("own", str), ("reworded", exam_rephrased))
    return tuple(
        Question(
            text=form(row.question),
            wanted=row.answer,
            section_id=row.section_id,
            line=row.line,
            kind=kind,
            room=len(row.answer.split()),
        )
        for row in chosen
        for kind, form in forms
    )


def _prose_questions(rows: Sequence[Row]) -> Iterator[Question]:
    for row in spread(list(statement_rows(rows)), MAX_PROSE_QUESTIONS):
        yield _about(row, "prose")


def _removed_questions(recalled: Sequence[Row]) -> Iterator[Question]:
    """Ask pairs word for word and sentences in a form that was not trained."""
    for row in spread([row for row in recalled if row.kind == "instruction"], MAX_REMOVED_QUESTIONS):
        if row.statement is not None:
            yield _about(row, "removed")
        else:
            room = len(row.answer.split())
            yield Question(
                text=row.question, wanted=row.answer, section_id=row.section_id, line=0, kind="removed", room=room
            )


def _about(row: Row, kind: QuestionKind) -> Question:
    """Give the exam's question about the sentence that a row was made from."""
    assert row.statement is not None
    text, wanted = exam_question_about(row.statement)
    room = len(row.statement.text.split())
    return Question(text=text, wanted=wanted, section_id=row.section_id, line=row.line, kind=kind, room=room)


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


_SCORES = ("own", "reworded", "prose", "older", "removed", "kept")
"""In the order in which they are told; older records lack some."""

_NEEDS_A_PAST = frozenset({"older", "removed"})
"""Scores that say nothing in a first run."""


def exam_from_json(record: Mapping[str, Any]) -> str:
    """Give one line from a stored record, for ``show``."""
    told = [(key, record[key]) for key in _SCORES if key in record]
    scores = ", ".join(
        f"{key} {score['right']}/{score['asked']}" for key, score in told if score["asked"] or key not in _NEEDS_A_PAST
    )
    return f"{scores}, leaks {record['leaks']}/{record['probes']}, drift {record['drift']:.3f} nats/token"
