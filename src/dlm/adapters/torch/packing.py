"""Rows laid end to end: no padding, and what all of them begin with is read once.

Chat rows of one document begin alike: the template's first words and the system prompt. Under causal attention the
hidden states there are the same in every row, so one copy serves all. Five rows of 50 tokens that share 20 are one
sequence of 20 + 5 × 30 = 170 tokens instead of 250::

    tokens     [ prefix | rest of row 1 | rest of row 2 | … | a row that begins otherwise ]
    positions    0 … P-1  P …             P …                  0 …

Each rest attends to the prefix and, causally, to itself. Losses and gradients are those of padded rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from dlm.adapters.torch.batches import IGNORED, MIN_FILL
from dlm.adapters.torch.cells import Cells, cells_of
from dlm.adapters.torch.chat import Encoded

if TYPE_CHECKING:
    import torch

CPU_TOKENS = 1024
"""Most tokens of a pack on a CPU, unless one row alone is longer: matrix products reach their full rate at about 400
tokens (SmolLM2-135M, AMX), so more would take memory and give no time."""

SHORT_ROW = 128
"""Tokens up to which rows of any length share a pack: padding their attention costs less than another pack."""

MIN_PREFIX = 4
"""Tokens from which a common beginning is worth its bookkeeping."""


@attrs.frozen(eq=False)
class Pack:
    """One flat sequence of ``tokens`` made of several rows.

    Shapes: ``ids`` and ``positions (1, tokens)``; ``labels (tokens,)``, shifted as in a padded batch. Supervised
    positions stand in the order of the rows. ``n_tokens`` counts what the rows hold, the shared part once per row.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    labels: torch.Tensor
    cells: Cells
    n_tokens: int


def pack(rows: Sequence[Encoded], device: str = "cpu", *, share: bool = True) -> Pack:
    """Lay rows end to end.

    Args:
        share: let rows share a common beginning. Not under dropout, where each row draws its own.

    Example: ``[5 6 7 8 1 2]`` and ``[5 6 7 8 3]``, the last two tokens and the last one supervised, share ``5 6 7``:
    ids ``[5 6 7 | 8 1 2 | 8 3]``, positions ``[0 1 2 | 3 4 5 | 3 4]``, labels ``[- - - | 1 2 - | 3 -]``.
    """
    import torch

    prefix, sharing = common_prefix(rows) if share else (0, [])
    offsets = [prefix if index in sharing else 0 for index in range(len(rows))]
    first = rows[min(sharing)].ids[:prefix] if sharing else ()
    ids, positions, labels = list(first), list(range(prefix)), [IGNORED] * prefix
    for row, offset in zip(rows, offsets, strict=True):
        ids += row.ids[offset:]
        positions += range(offset, len(row))
        wanted = zip(row.ids[offset + 1 :], row.supervised[offset + 1 :], strict=True)
        labels += [token if learned else IGNORED for token, learned in wanted] + [IGNORED]
    return Pack(
        torch.tensor([ids], device=device),
        torch.tensor([positions], device=device),
        torch.tensor(labels, device=device),
        cells_of(prefix, [(len(row) - offset, offset > 0) for row, offset in zip(rows, offsets, strict=True)], device),
        sum(map(len, rows)),
    )


def common_prefix(rows: Sequence[Encoded]) -> tuple[int, frozenset[int]]:
    """Give the length of the longest common beginning and the rows that have it.

    Rows whose first token is the commonest one take part. Nothing in the beginning is supervised, and neither is the
    first token after it: it is predicted from the last shared position, which has one label only. Every row keeps at
    least one token of its own. ``(0, frozenset())`` when there is nothing worth sharing.
    """
    first, count = Counter(row.ids[0] for row in rows).most_common(1)[0]
    if count < 2:
        return 0, frozenset()
    sharing = [index for index, row in enumerate(rows) if row.ids[0] == first]
    limit = min(_free(rows[index]) for index in sharing)
    columns = zip(*(rows[index].ids[:limit] for index in sharing), strict=True)
    length = next((at for at, column in enumerate(columns) if len(set(column)) > 1), limit)
    return (length, frozenset(sharing)) if length >= MIN_PREFIX else (0, frozenset())


def _free(row: Encoded) -> int:
    """Give how many tokens a row can share: those before the one that predicts its first supervised token."""
    first = row.supervised.index(True) if any(row.supervised) else len(row)
    return max(0, min(first, len(row)) - 1)


def pack_groups(
    rows: Sequence[Encoded], *, max_rows: int | None, max_tokens: int | None, share: bool = True
) -> list[list[int]]:
    """Choose which rows go into one pack, longest first; each group is sorted.

    Args:
        max_rows: most rows of a group; None is no limit.
        max_tokens: most tokens of a group; a row longer than that goes alone. None is no limit.

    Short rows join any group; a long one takes only rows of at least 60 % of its length with it, as the attention of
    a group is padded to its longest row.
    """
    prefix, sharing = common_prefix(rows) if share and rows else (0, frozenset())
    groups: list[list[int]] = []
    taken = longest = 0
    for index in sorted(range(len(rows)), key=lambda i: (-len(rows[i]), i)):
        own = len(rows[index]) - (prefix if index in sharing else 0)
        full = not groups or len(groups[-1]) == max_rows or (max_tokens is not None and taken + own > max_tokens)
        if full or (longest > SHORT_ROW and len(rows[index]) < MIN_FILL * longest):
            groups.append([])
            taken, longest = prefix, len(rows[index])
        groups[-1].append(index)
        taken += own
    return [sorted(group) for group in groups]
