"""Rows of a job as token sequences."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from dlm.adapters.torch.chat import ChatTokenizer, Encoded
from dlm.domain.errors import TrainingError
from dlm.domain.rows import Row


@attrs.frozen
class Example:
    """One sequence to train on. ``part`` says which loss it counts to; ``shortened`` that a prompt was cut."""

    part: str
    encoded: Encoded
    shortened: bool = False


def encode_rows(rows: Iterable[Row], chat: ChatTokenizer, sequence_len: int) -> tuple[Example, ...]:
    """Encode prose and instruction rows in order; prose longer than ``sequence_len`` becomes several examples.

    Raises:
        TrainingError: an answer that does not fit, with its line.
    """
    examples: list[Example] = []
    for row in rows:
        if row.kind == "prose":
            examples += [Example("prose", window) for window in chat.encode_prose(row.text.strip(), sequence_len)]
        elif row.kind == "instruction":
            examples.append(_fit(chat.encode_exchange(row.turns), row, sequence_len))
    return tuple(examples)


def _fit(encoded: Encoded, row: Row, sequence_len: int) -> Example:
    """Keep the answer whole; cut the oldest part of a prompt that is too long."""
    excess = len(encoded) - sequence_len
    if excess <= 0:
        return Example("instruction", encoded)
    answer_tokens = sum(encoded.supervised)
    if answer_tokens + 1 > sequence_len:
        raise TrainingError(
            "train.answer-too-long",
            f"the answer at line {row.line} has {answer_tokens} tokens; training.sequence_len is {sequence_len}",
            hint=f"Split the answer, or set training.sequence_len to at least {answer_tokens + 64}.",
        )
    return Example("instruction", Encoded(encoded.ids[excess:], encoded.supervised[excess:]), shortened=True)
