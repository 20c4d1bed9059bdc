"""Rows of sections that left the document: what of them is still worth reading.

A section that was edited left the document too, in its old form. What the document now says otherwise must not come
back, so a recalled question that the document asks itself is dropped, a sentence that it says in other words as well,
and the old state of a file that is still there.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import attrs

from dlm.domain.body import scan_body
from dlm.domain.document_rows import section_rows
from dlm.domain.exam import words_of
from dlm.domain.lessons import statement_rows
from dlm.domain.replay import Snapshot
from dlm.domain.rows import REPLAY, Row
from dlm.domain.sections import Section
from dlm.domain.sources import source_path
from dlm.domain.text import FaultList

HELD_BACK_FROM = 20
"""Removed sections from which the retention slice is only measured and never read again: one in twenty is then one."""

SAME_MATTER = 0.5
"""Share of the words of two sentences, taken together, that both hold, from which one is an edit of the other."""


def recalled_rows(snapshots: Iterable[Snapshot], current: Sequence[Row]) -> tuple[Row, ...]:
    """Give the rows of remembered sections that the document does not contradict: pairs, sentences of prose, and prose
    as it stood where none of it was edited.

    Of two remembered sections that say different things the one seen later counts.

    Args:
        current: rows of the document as it is.
    """
    present = _Present()
    present.add(current)
    found: list[Row] = []
    for snapshot in sorted(snapshots, key=_last_run, reverse=True):
        valid = list(present.valid(list(_rows_of(snapshot))))
        present.add(valid)
        found += valid
    return tuple(found)


def superseded(snapshots: Iterable[Snapshot], current: Sequence[Row]) -> tuple[str, ...]:
    """Give the ids of remembered sections of which nothing is worth reading, since the document says all of it
    otherwise. Preferences are never among them: this phase does not read them."""
    present = _Present()
    present.add(current)
    return tuple(
        snapshot.section_id
        for snapshot in snapshots
        if snapshot.type != "preference" and not any(True for _ in present.valid(list(_rows_of(snapshot))))
    )


class _Present:
    """What is said now: by the document, and by sections that were removed later."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._questions: set[tuple[str, ...]] = set()
        self._by_word: dict[str, list[frozenset[str]]] = defaultdict(list)

    def add(self, rows: Sequence[Row]) -> None:
        """Take in what rows say."""
        self._files |= {row.source for row in rows if row.source is not None}
        self._questions |= {words_of(row.question) for row in rows if row.kind == "instruction" and not row.statement}
        for row in (*statement_rows(rows), *(row for row in rows if row.statement is not None)):
            words = frozenset(words_of(row.answer))
            for word in words:
                self._by_word[word].append(words)

    def valid(self, rows: Sequence[Row]) -> Iterator[Row]:
        """Give what is still worth reading of one remembered section."""
        if any(row.source in self._files for row in rows if row.source is not None):
            return
        yield from (row for row in rows if row.kind == "instruction" and words_of(row.question) not in self._questions)
        sentences = list(statement_rows(rows))
        kept = [row for row in sentences if not self._says(row.answer)]
        if len(kept) == len(sentences):
            yield from (row for row in rows if row.kind == "prose")
        yield from kept

    def _says(self, sentence: str) -> bool:
        """Tell whether a sentence of the document is this one or an edit of it."""
        words = frozenset(words_of(sentence))
        # An edit shares words; the rarest of them leads to few sentences.
        leads = sorted((self._by_word[word] for word in words if word in self._by_word), key=len)
        needed = len(leads) - math.ceil(SAME_MATTER * len(words)) + 1
        return any(
            len(words & other) >= SAME_MATTER * len(words | other) for lead in leads[: max(0, needed)] for other in lead
        )


def _last_run(snapshot: Snapshot) -> int:
    """Give the last run whose document held the section; unlike a clock, run ids never go back."""
    return max(snapshot.runs_seen, default=0)


def _rows_of(snapshot: Snapshot) -> Iterator[Row]:
    section = _section_of(snapshot)
    if section is None:
        return
    name = f"{REPLAY}{snapshot.section_id}:{snapshot.last_seen_at:%Y-%m-%dT%H:%M:%SZ}"
    for row in section_rows(section):
        yield attrs.evolve(row, section_id=name, line=0, source=source_path(snapshot.content))


def _section_of(snapshot: Snapshot) -> Section | None:
    """Read a remembered section; None for preferences, and for what no longer reads as the section it was."""
    if snapshot.type == "prose":
        return Section(type="prose", content=snapshot.content)
    if snapshot.type != "instruction":
        return None
    faults = FaultList()
    body = scan_body(f"\n::instruction::\n{snapshot.content}\n", 1, 1, faults)
    return body.sections[0] if len(body.sections) == 1 and not faults else None
