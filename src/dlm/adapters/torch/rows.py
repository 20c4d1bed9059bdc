"""Rows of a job as token sequences."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, overload

import attrs

from dlm.adapters.torch.chat import ChatTokenizer, Encoded, prose_windows
from dlm.adapters.torch.tokenizing import TokenisedRow, Tokeniser
from dlm.domain.errors import TrainingError
from dlm.domain.events import Emit, ignore
from dlm.domain.lessons import turns_in_pass
from dlm.domain.rows import Row
from dlm.domain.tokens import MemoryTokens
from dlm.ports.token_cache import Tokens


@attrs.frozen
class Example:
    """One sequence to train on, as it is read in the first pass: the ids ``[start, stop)`` of a row.

    Args:
        row: where it comes from.
        handle: of the row's ids in ``tokens``.
    """

    row: Row
    tokens: Tokens = attrs.field(repr=False)
    handle: int
    start: int
    stop: int

    @property
    def encoded(self) -> Encoded:
        """Its token ids, read anew each time."""
        ids, first = self.tokens.read(self.handle, self.start, self.stop)
        context = max(1, min(first - self.start, len(ids)))
        return Encoded(tuple(ids.tolist()), (False,) * context + (True,) * (len(ids) - context))

    @property
    def part(self) -> str:
        """Which loss it counts to, ``prose`` or ``instruction``."""
        return self.row.kind

    @property
    def is_prose(self) -> bool:
        return self.row.kind == "prose"

    @property
    def shortened(self) -> bool:
        """Whether its prompt was cut."""
        return not self.is_prose and self.start > 0


class Examples(Sequence[Example]):
    """The sequences of a job. Of each only its bounds are in memory, 16 bytes; ids are read when they are asked for."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._rows: list[Row] = []
        self._of_row, self._handles, self._starts, self._stops = (array("I") for _ in range(4))
        self._keys = hashlib.sha256()
        self.longest = 0

    def add(self, row: TokenisedRow, bounds: Sequence[tuple[int, int]]) -> None:
        """Add the sequences ``[start, stop)`` of another row."""
        self._of_row.extend([len(self._rows)] * len(bounds))
        self._handles.extend([row.handle] * len(bounds))
        self._starts.extend([start for start, _ in bounds])
        self._stops.extend([stop for _, stop in bounds])
        self.longest = max([self.longest, *(stop - start for start, stop in bounds)])
        self._rows.append(row.row)
        self._keys.update(row.key.encode())

    @property
    def fingerprint(self) -> str:
        """Digest of the rows' keys in order: with a recipe it decides every sequence."""
        return self._keys.hexdigest()

    @property
    def rows(self) -> Sequence[Row]:
        """The rows that the sequences come from."""
        return self._rows

    def row_of_each(self) -> Iterator[Row]:
        """Give the row of each sequence, in order."""
        return (self._rows[at] for at in self._of_row)

    def row(self, index: int) -> Row:
        """Give the row of a sequence."""
        return self._rows[self._of_row[index]]

    def length(self, index: int) -> int:
        """Give the number of ids of a sequence without reading them."""
        return self._stops[index] - self._starts[index]

    def __len__(self) -> int:
        return len(self._of_row)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Example, ...]: ...
    def __getitem__(self, index: int | slice) -> Example | tuple[Example, ...]:
        if isinstance(index, slice):
            return tuple(self[at] for at in range(*index.indices(len(self))))
        return Example(self.row(index), self._tokens, self._handles[index], self._starts[index], self._stops[index])


class Parts(NamedTuple):
    """The sequences of a job: those to learn, those held out to watch for overfitting, and those of removed sections
    that are measured before and after."""

    learned: Examples
    held: Examples
    measured: Examples


@attrs.frozen
class Reader:
    """Turns rows into tokens.

    Only the first reading of a row is kept; what a later pass asks in other words is written and tokenised when its
    turn comes, so memory does not grow with the number of passes.

    Args:
        rewording: share of the later passes in which a question is asked in other words.
        tokens: where the ids are kept.
    """

    chat: ChatTokenizer
    sequence_len: int
    rewording: float = 0.0
    seed: int = 0
    tokens: Tokens = attrs.field(factory=MemoryTokens)

    def examples(self, *parts: Iterable[Row], emit: Emit = ignore, total: int | None = None) -> tuple[Examples, ...]:
        """Encode prose and instruction rows in order, part by part; prose longer than ``sequence_len`` becomes several
        examples.

        Args:
            total: prose and instruction rows in all, for progress.

        Raises:
            TrainingError: an answer that does not fit, with its line.
        """
        tokeniser = Tokeniser(self.chat, self.tokens, total=total, emit=emit)
        return tuple(self._part(tokeniser.rows(rows)) for rows in parts)

    def in_pass(self, example: Example, number: int) -> Encoded:
        """Give an example as it is read in a pass."""
        if example.is_prose or number == 0:
            return example.encoded
        turns = turns_in_pass(example.row, number, rewording=self.rewording, seed=self.seed)
        if turns == example.row.turns:
            return example.encoded
        encoded = self.chat.encode_exchange(turns)
        start = self._excess(len(encoded), sum(encoded.supervised), example.row)
        return Encoded(encoded.ids[start:], encoded.supervised[start:])

    def _part(self, rows: Iterator[TokenisedRow]) -> Examples:
        examples = Examples(self.tokens)
        for row in rows:
            examples.add(row, self._bounds(row))
        return examples

    def _bounds(self, row: TokenisedRow) -> list[tuple[int, int]]:
        length = self.tokens.length(row.handle)
        if row.row.kind == "prose":
            return prose_windows(length, self.sequence_len)
        _, first = self.tokens.read(row.handle, 0, 0)
        return [(self._excess(length, length - first, row.row), length)]

    def _excess(self, length: int, answer_tokens: int, row: Row) -> int:
        """Give how many ids to leave out: the answer stays whole, the oldest part of a long prompt goes.

        Raises:
            TrainingError: the answer alone is too long.
        """
        excess = max(0, length - self.sequence_len)
        if excess and answer_tokens + 1 > self.sequence_len:
            raise TrainingError(
                "train.answer-too-long",
                f"the answer at line {row.line} has {answer_tokens} tokens; training.sequence_len is "
                f"{self.sequence_len}",
                hint=f"Split the answer, or set training.sequence_len to at least {answer_tokens + 64}.",
            )
        return excess
