"""Rows of a job as token sequences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from dlm.adapters.torch.chat import ChatTokenizer, Encoded
from dlm.domain.errors import TrainingError
from dlm.domain.lessons import turns_in_pass
from dlm.domain.rows import Row


@attrs.frozen
class Example:
    """One sequence to train on, as it is read in the first pass.

    Args:
        part: which loss it counts to, ``prose`` or ``instruction``.
        row: where it comes from.
        shortened: its prompt was cut.
    """

    part: str
    encoded: Encoded
    row: Row
    shortened: bool = False

    @property
    def is_prose(self) -> bool:
        return self.part == "prose"


@attrs.frozen
class Reader:
    """Turns rows into tokens.

    Only the first reading of a row is kept; what a later pass asks in other words is written and tokenised when its
    turn comes, so memory does not grow with the number of passes.

    Args:
        rewording: share of the later passes in which a question is asked in other words.
    """

    chat: ChatTokenizer
    sequence_len: int
    rewording: float = 0.0
    seed: int = 0

    def examples(self, rows: Iterable[Row]) -> tuple[Example, ...]:
        """Encode prose and instruction rows in order; prose longer than ``sequence_len`` becomes several examples.

        Raises:
            TrainingError: an answer that does not fit, with its line.
        """
        return tuple(example for row in rows for example in self._of(row))

    def in_pass(self, example: Example, number: int) -> Encoded:
        """Give an example as it is read in a pass."""
        if example.is_prose or number == 0:
            return example.encoded
        turns = turns_in_pass(example.row, number, rewording=self.rewording, seed=self.seed)
        if turns == example.row.turns:
            return example.encoded
        return self._fit(self.chat.encode_exchange(turns), example.row).encoded

    def _of(self, row: Row) -> Iterator[Example]:
        if row.kind == "prose":
            for window in self.chat.encode_prose(row.text.strip(), self.sequence_len):
                yield Example("prose", window, row)
        elif row.kind == "instruction":
            yield self._fit(self.chat.encode_exchange(row.turns), row)

    def _fit(self, encoded: Encoded, row: Row) -> Example:
        """Keep the answer whole; cut the oldest part of a prompt that is too long."""
        excess = len(encoded) - self.sequence_len
        if excess <= 0:
            return Example("instruction", encoded, row)
        answer_tokens = sum(encoded.supervised)
        if answer_tokens + 1 > self.sequence_len:
            raise TrainingError(
                "train.answer-too-long",
                f"the answer at line {row.line} has {answer_tokens} tokens; training.sequence_len is "
                f"{self.sequence_len}",
                hint=f"Split the answer, or set training.sequence_len to at least {answer_tokens + 64}.",
            )
        cut = Encoded(encoded.ids[excess:], encoded.supervised[excess:])
        return Example("instruction", cut, row, shortened=True)
