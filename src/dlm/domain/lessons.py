"""What is read in which pass: a row is not learned the same way each time.

A pair of the document is asked in its own words in some passes and in other words in the rest. A sentence of prose is
a row of its own, asked for in another way each time. Prose as it stands is read every few passes. All of it follows
from the seed and the number of the pass, so a run can be repeated and continued exactly.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

import attrs

from dlm.domain.asking import question_about
from dlm.domain.numbers import spread
from dlm.domain.rephrasing import rephrased
from dlm.domain.rows import Row, Turn
from dlm.domain.statements import statements

MAX_ASKED_FILES = 256
"""Files whose sentences are asked for, spread evenly over all; the others are read as they stand."""

MAX_FILE_BYTES = 65_536
"""Size up to which a file is asked for: above, it is a book or data, and its sentences would crowd out the rest."""

_WRITTEN_FOR_PEOPLE = frozenset({".md", ".markdown", ".txt", ".text", ".rst", ".org", ".adoc", ".tex"})


def prose_to_ask(rows: Iterable[Row]) -> list[Row]:
    """Choose the prose rows whose sentences are asked for: all of the document, and of the files those that hold
    sentences rather than code or data, as far as there is room."""
    prose = [row for row in rows if row.kind == "prose"]
    readable = [row for row in prose if row.source is not None and _is_written_for_people(row)]
    chosen = {id(row) for row in spread(readable, MAX_ASKED_FILES)}
    return [row for row in prose if row.source is None or id(row) in chosen]


def _is_written_for_people(row: Row) -> bool:
    return PurePosixPath(row.source or "").suffix.lower() in _WRITTEN_FOR_PEOPLE and row.size <= MAX_FILE_BYTES


def statement_rows(rows: Iterable[Row]) -> Iterator[Row]:
    """Give a row for each sentence of the prose to ask for: a question about it, and the sentence as the answer."""
    for row in prose_to_ask(rows):
        for sub, statement in enumerate(statements(row.content)):
            turns = (Turn("user", ""), Turn("assistant", statement.text))
            asked = attrs.evolve(row, kind="instruction", sub=sub, text="", read=None, size=0)
            first = attrs.evolve(asked, turns=turns, statement=statement)
            yield attrs.evolve(first, turns=turns_in_pass(first, 0, rewording=0.0, seed=0))


def turns_in_pass(row: Row, number: int, *, rewording: float, seed: int) -> tuple[Turn, ...]:
    """Give an instruction row's turns as they are read in one pass.

    Args:
        number: of the pass, from 0. In the first pass a pair is read in its own words.
        rewording: share of the later passes in which a pair is asked in other words, 0 to 1.
    """
    draw = random.Random(f"{seed}:{number}:{row.origin}:{row.sub}")
    if row.statement is not None:
        return (Turn("user", question_about(row.statement, draw)), row.turns[-1])
    if number == 0 or draw.random() >= rewording:
        return row.turns
    return (*row.turns[:-2], Turn("user", rephrased(row.question, draw)), row.turns[-1])


SENTENCE_EVERY = 2
"""Passes from one reading of a sentence to the next. Asked for as often as pairs, sentences came up as answers to
questions about pairs (``docs/log.md``)."""


def is_read(row: Row, number: int, *, prose_every: int, replay_every: int = 1) -> bool:
    """Say whether a row is read in a pass: pairs in each, prose as it stands in every ``prose_every``-th, and half of
    the sentences made from it in turn. Rows of removed sections take turns, each ``replay_every`` times more rarely."""
    every = prose_every if row.kind == "prose" else 1 if row.statement is None else SENTENCE_EVERY
    if row.is_replay:
        return (number + _turn(row)) % (every * replay_every) == 0
    return (number + (row.sub if row.statement else 0)) % every == 0


def _turn(row: Row) -> int:
    return zlib.crc32(f"{row.origin}:{row.sub}".encode())
