"""Order and batches: which examples each optimiser step sees. Fixed by seed and epoch alone."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

import attrs

from dlm.adapters.torch.chat import Encoded

if TYPE_CHECKING:
    import torch

IGNORED = -100
"""Label of positions without loss, as everywhere in torch."""


@attrs.frozen
class Batch:
    """Padded sequences, each row one document: rows never see one another.

    Shapes: all ``(rows, longest)``, int64. ``labels[r, t]`` is the token to predict *at* position ``t`` (already
    shifted: it is ``ids[r, t + 1]``), or ``IGNORED``.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    labels: torch.Tensor

    @property
    def n_tokens(self) -> int:
        """Real tokens, padding left out."""
        return int(self.mask.sum())


class Order:
    """Which examples each optimiser step reads, over a whole run.

    A pass reads its members once, shuffled by seed and number, cut into even steps of at most ``batch_rows``. Example:
    a pass of 14 with ``batch_rows`` 9 is two steps of 7.

    Args:
        members: number of a pass, from 0 → indices of the examples that it reads.
    """

    def __init__(self, members: Callable[[int], Sequence[int]], *, batch_rows: int, passes: int, seed: int = 0) -> None:
        self._members = members
        self._batch_rows = batch_rows
        self._seed = seed
        self._ends = list(accumulate(self._steps_for(len(members(number))) for number in range(passes)))
        self._shuffled: tuple[int, list[int]] = (-1, [])

    @property
    def total(self) -> int:
        """Steps of the run."""
        return self._ends[-1]

    def pass_of(self, step: int) -> int:
        """Give the number of the pass that a step belongs to, both from 0."""
        return bisect_right(self._ends, step)

    def ends_after(self, steps: int) -> bool:
        """Say whether a pass is complete after so many steps."""
        place = bisect_left(self._ends, steps)
        return place < len(self._ends) and self._ends[place] == steps

    def examples_of(self, step: int) -> list[int]:
        """Give the indices of the examples of a step."""
        number = self.pass_of(step)
        index, order = step - (self._ends[number - 1] if number else 0), self._in_pass(number)
        steps = self._steps_for(len(order))
        return order[index * len(order) // steps : (index + 1) * len(order) // steps]

    def _steps_for(self, rows: int) -> int:
        return -(-rows // self._batch_rows)

    def _in_pass(self, number: int) -> list[int]:
        """Shuffle once a pass, not once a step: with 10,000 rows that alone would take longer than the training."""
        if self._shuffled[0] != number:
            order = list(self._members(number))
            random.Random(f"{self._seed}:{number}").shuffle(order)
            self._shuffled = (number, order)
        return self._shuffled[1]


MIN_FILL = 0.6
"""Shortest row of a batch as a share of its longest: padding is wasted work, but so is a batch of one."""


def length_groups(lengths: Sequence[int], *, max_rows: int | None, max_tokens: int | None) -> list[list[int]]:
    """Put rows of like length together, longest first.

    Args:
        max_rows: most rows of a group; None is no limit.
        max_tokens: most tokens of a group, padding included; a row longer than that goes alone. None is no limit.

    Example: lengths ``[50, 400, 48, 52]`` without limits give ``[[1], [3, 0, 2]]``, as 48 fills less than 60 % of 400.
    """
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        rows, longest = (len(groups[-1]), lengths[groups[-1][0]]) if groups else (0, 0)
        full = rows == max_rows or (max_tokens is not None and (rows + 1) * longest > max_tokens)
        if groups and not full and lengths[index] >= MIN_FILL * longest:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def micro_batches(
    examples: Sequence[Encoded], rows_per_batch: int, pad_id: int, device: str = "cpu"
) -> Iterator[Batch]:
    """Collate examples, ``rows_per_batch`` at a time, in the given order."""
    for start in range(0, len(examples), rows_per_batch):
        yield collate(examples[start : start + rows_per_batch], pad_id, device)


def collate(examples: Sequence[Encoded], pad_id: int, device: str = "cpu") -> Batch:
    """Pad on the right to the longest. Example, pad 0: ids ``[5 6 7], [8 9]`` with everything after the first token
    supervised gives ids ``[5 6 7; 8 9 0]``, mask ``[1 1 1; 1 1 0]``, labels ``[6 7 -; 9 - -]``."""
    import torch

    longest = max(len(example) for example in examples)
    ids = torch.full((len(examples), longest), pad_id, dtype=torch.long)
    mask = torch.zeros((len(examples), longest), dtype=torch.long)
    labels = torch.full((len(examples), longest), IGNORED, dtype=torch.long)
    for row, example in enumerate(examples):
        length = len(example)
        tokens = torch.tensor(example.ids, dtype=torch.long)
        ids[row, :length] = tokens
        mask[row, :length] = 1
        wanted = torch.tensor(example.supervised[1:], dtype=torch.bool)
        labels[row, : length - 1] = torch.where(wanted, tokens[1:], IGNORED)
    return Batch(ids.to(device), mask.to(device), labels.to(device))
