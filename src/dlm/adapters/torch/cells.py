"""How the attention of a pack is computed: per row, each with the shared prefix in front of its own keys.

A pack is one flat sequence; attending over all of it would waste most of the work on pairs that may not see each other.
So queries, keys and values are gathered into *cells* of equal shape, one per row (and one or more for the prefix)::

    keys of a cell   [ prefix (P) | void (0 or 1) | own | unused ]
    queries          [ own | padding ]

The void slot is what padding queries look at. It is never read back, so padding gets no gradient and gives none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    import torch

LANES = 32
"""Key slots come in multiples of this: torch's bf16 softmax takes four times as long on a ragged tail."""

CHUNK = 128
"""Queries whose scores exist at once on a CPU: a chunk leaves out the keys that lie ahead of all its queries."""


@attrs.define(eq=False)
class Cells:
    """Which tokens each cell asks from and looks at.

    Shapes: ``queries (cells, n)`` and ``keys (cells, slots)`` are positions in the flat sequence, -1 where there is
    none; ``seen (cells, n, slots)`` is true where a query may look.
    """

    n_tokens: int
    prefix: int
    own: int
    queries: torch.Tensor
    keys: torch.Tensor
    seen: torch.Tensor
    chunk: int
    _gathers: dict[tuple[int, int, torch.dtype], Gather] = attrs.field(factory=dict, init=False, repr=False)

    def gather(self, heads: int, kv_heads: int, dtype: torch.dtype) -> Gather:
        """Give the indices for a number of heads; every layer of a model asks for the same."""
        key = (heads, kv_heads, dtype)
        if key not in self._gathers:
            self._gathers[key] = _gather_of(self, heads, kv_heads, dtype)
        return self._gathers[key]

    def spans(self) -> Iterator[tuple[int, int, int]]:
        """Give first query, end and number of key slots of each chunk of queries."""
        n, slots = self.queries.shape[1], self.keys.shape[1]
        for start in range(0, n, self.chunk):
            end = min(start + self.chunk, n)
            yield start, end, slots if end == n else min(slots, _rounded(self.own + end))


@attrs.frozen(eq=False)
class Span:
    """One chunk of queries: its rows in the gathered queries, its key slots, what is added to its scores.

    ``bias (cells × kv_heads, groups × queries, slots)`` is 0 where a query may look and very negative elsewhere.
    """

    rows: slice
    slots: int
    bias: torch.Tensor


@attrs.frozen(eq=False)
class Gather:
    """Indices from the flat heads into cells and back.

    The flat side is ``(tokens × (heads + 2 × kv_heads), dim)``, a token's query heads before its keys and values. The
    gathered side is queries ``(spans, cells, kv_heads, groups, queries of the span)``, then keys and values ``(cells,
    kv_heads, slots)``, all flat. ``taken`` leads to the gathered side, ``back`` from it; ``asked`` and ``answered`` do
    so for the queries' heads alone. ``back`` is meaningless for keys and values of the prefix, which many cells share.
    """

    taken: torch.Tensor
    back: torch.Tensor
    asked: torch.Tensor
    answered: torch.Tensor
    spans: tuple[Span, ...]
    n_cells: int
    n_slots: int
    n_queries: int
    prefix: int


def cells_of(prefix: int, rows: Sequence[tuple[int, bool]], device: str = "cpu") -> Cells:
    """Describe the cells of a pack.

    Args:
        prefix: tokens at the beginning that rows share.
        rows: for each row its own tokens, and whether the prefix belongs to it.
    """
    import torch

    n = max(length for length, _ in rows)
    padded = any(length < n for length, _ in rows) or prefix % n > 0
    own = prefix + int(padded)
    slots = _rounded(own + n)
    n_prefix_cells = -(-prefix // n)
    queries = torch.full((n_prefix_cells + len(rows), n), -1)
    keys = torch.full((n_prefix_cells + len(rows), slots), -1)
    queries[:n_prefix_cells].view(-1)[:prefix] = torch.arange(prefix)
    keys[:n_prefix_cells, :prefix] = torch.arange(prefix)
    start = prefix
    for cell, (length, has_prefix) in enumerate(rows, n_prefix_cells):
        own_tokens = torch.arange(start, start + length)
        queries[cell, :length] = own_tokens
        keys[cell, own : own + length] = own_tokens
        if has_prefix:
            keys[cell, :prefix] = torch.arange(prefix)
        start += length
    # Flat positions grow within a cell, the prefix comes first: being earlier in the sequence is being visible.
    seen = (keys >= 0)[:, None] & (keys[:, None] <= queries[:, :, None])
    if padded:
        seen[:, :, prefix] = queries < 0
    chunk = CHUNK if device == "cpu" else n
    return Cells(start, prefix, own, queries.to(device), keys.to(device), seen.to(device), chunk)


def _rounded(slots: int) -> int:
    return -(-slots // LANES) * LANES


def _gather_of(cells: Cells, heads: int, kv_heads: int, dtype: torch.dtype) -> Gather:
    import torch

    device = cells.queries.device
    groups, per_token = heads // kv_heads, heads + 2 * kv_heads
    head = torch.arange(heads, device=device).view(kv_heads, groups, 1)
    kv_head = torch.arange(kv_heads, device=device).view(kv_heads, 1)
    tokens, head_of, spans, at = [], [], [], 0
    for start, end, slots in cells.spans():
        part = cells.queries[:, None, None, start:end].expand(-1, kv_heads, groups, -1)
        tokens.append(part.reshape(-1))
        head_of.append(head.expand_as(part).reshape(-1))
        spans.append(
            Span(slice(at, at + part.numel()), slots, _bias(cells.seen[:, start:end, :slots], heads, kv_heads, dtype))
        )
        at += part.numel()
    token, which = torch.cat(tokens), torch.cat(head_of)
    keys = cells.keys[:, None].expand(-1, kv_heads, -1)
    key_head = kv_head.expand_as(keys)
    slot = torch.arange(cells.keys.shape[1], device=device).expand_as(keys)
    own = (keys >= 0) & (slot >= cells.own)
    taken = torch.cat(
        [token.clamp_min(0) * per_token + which]
        + [(keys.clamp_min(0) * per_token + key_head + offset).reshape(-1) for offset in (heads, heads + kv_heads)]
    )
    readable = torch.cat([token >= 0, own.reshape(-1), own.reshape(-1)])
    back = _inverse(taken, readable, cells.n_tokens * per_token)
    asked = token.clamp_min(0) * heads + which
    return Gather(
        taken, back, asked, _inverse(asked, token >= 0, cells.n_tokens * heads), tuple(spans),
        len(cells.queries), cells.keys.shape[1], at, cells.prefix,
    )  # fmt: skip


def _bias(seen: torch.Tensor, heads: int, kv_heads: int, dtype: torch.dtype) -> torch.Tensor:
    """Spread ``seen (cells, queries, slots)`` over heads, as something to add to scores."""
    import torch

    n_cells, _, slots = seen.shape
    bias = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, torch.finfo(dtype).min)
    spread = bias[:, None, None].expand(-1, kv_heads, heads // kv_heads, -1, -1)
    return spread.reshape(n_cells * kv_heads, -1, slots)


def _inverse(taken: torch.Tensor, readable: torch.Tensor, size: int) -> torch.Tensor:
    """Give for each source the place it was taken to, among the readable ones; 0 for those taken nowhere."""
    import torch

    back = torch.zeros(size, dtype=torch.long, device=taken.device)
    back[taken[readable]] = torch.arange(len(taken), device=taken.device)[readable]
    return back
