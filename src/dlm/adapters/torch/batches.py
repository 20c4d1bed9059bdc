"""Order and batches: which examples each optimiser step sees. Fixed by seed and epoch alone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
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


def epoch_steps(n_examples: int, batch_rows: int, *, seed: int, epoch: int) -> list[list[int]]:
    """Give the example indices of each optimiser step of an epoch: shuffled, then cut into steps of ``batch_rows``."""
    order = list(range(n_examples))
    random.Random(f"{seed}:{epoch}").shuffle(order)
    return [order[start : start + batch_rows] for start in range(0, n_examples, batch_rows)]


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
