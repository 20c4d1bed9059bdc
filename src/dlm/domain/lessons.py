"""What is read in which pass: a row is not learned the same way each time.

A pair of the document is asked in its own words in some passes and in other words in the rest. A sentence of prose is
a row of its own, asked for in another way each time. Prose as it stands is read every few passes. All of it follows
from the seed and the number of the pass, so a run can be repeated and continued exactly.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import attrs

from dlm.domain.asking import question_about
from dlm.domain.rephrasing import rephrased
from dlm.domain.rows import Row, Turn
from dlm.domain.statements import statements


def statement_rows(rows: Iterable[Row]) -> Iterator[Row]:
    """Give a row for each sentence of the prose rows: a question about it, and the sentence as the answer."""
    for row in rows:
        if row.kind != "prose":
            continue
        for sub, statement in enumerate(statements(row.text)):
            turns = (Turn("user", ""), Turn("assistant", statement.text))
            first = attrs.evolve(row, kind="instruction", sub=sub, text="", turns=turns, statement=statement)
            yield attrs.evolve(first, turns=turns_in_pass(first, 0, rewording=0.0, seed=0))


def turns_in_pass(row: Row, number: int, *, rewording: float, seed: int) -> tuple[Turn, ...]:
    """Give an instruction row's turns as they are read in one pass.

    Args:
        number: of the pass, from 0. In the first pass a pair is read in its own words.
        rewording: share of the later passes in which a pair is asked in other words, 0 to 1.
    """
    draw = random.Random(f"{seed}:{number}:{row.section_id}:{row.sub}")
    if row.statement is not None:
        return (Turn("user", question_about(row.statement, draw)), row.turns[-1])
    if number == 0 or draw.random() >= rewording:
        return row.turns
    return (*row.turns[:-2], Turn("user", rephrased(row.question, draw)), row.turns[-1])


SENTENCE_EVERY = 2
"""Passes from one reading of a sentence to the next. Asked for as often as pairs, sentences came up as answers to
questions about pairs (``docs/log.md``)."""


def is_read(row: Row, number: int, prose_every: int) -> bool:
    """Say whether a row is read in a pass: pairs in each, prose as it stands in every ``prose_every``-th, and half of
    the sentences made from it in turn."""
    if row.kind == "prose":
        return number % prose_every == 0
    return row.statement is None or (number + row.sub) % SENTENCE_EVERY == 0
