"""Attention over a pack's cells: gather, plain batched products, and back.

Shapes: ``qkv (tokens, heads + 2 × kv_heads, dim)`` with positions already worked in; the result is ``(tokens, heads,
dim)``. See ``cells`` for the gathered side.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from dlm.adapters.torch.cells import Cells, Gather


def packed_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cells: Cells,
    *,
    scaling: float | None = None,
    softcap: float | None = None,
) -> torch.Tensor:
    """Attend as transformers hands it over: ``query (1, heads, tokens, dim)``, keys and values with their own number of
    heads; gives ``(1, tokens, heads, dim)``. On a CPU with gradients written by hand, elsewhere with torch's fused
    attention."""
    import torch

    qkv = torch.cat([query[0], key[0], value[0]]).transpose(0, 1)
    heads, scale = query.shape[1], query.shape[-1] ** -0.5 if scaling is None else scaling
    if query.device.type == "cpu" and softcap is None:
        result: torch.Tensor = _function().apply(qkv.contiguous(), cells, heads, scale)
    else:
        result = _elsewhere(qkv.contiguous(), cells, heads, scale, softcap)
    return result[None]


def attend(qkv: torch.Tensor, gather: Gather, heads: int, scale: float) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Give the result and what :func:`attend_backward` needs besides ``qkv``: weights of each span."""
    import torch

    dim = qkv.shape[-1]
    taken = qkv.reshape(-1, dim).index_select(0, gather.taken)
    queries, keys, values = _parts(taken, gather)
    mixed = taken.new_empty(gather.n_queries, dim)
    weights = []
    for span in gather.spans:
        asked = queries[span.rows].view(keys.shape[0], -1, dim)
        scores = torch.baddbmm(span.bias, asked, keys[:, : span.slots].transpose(1, 2), alpha=scale)
        weights.append(torch.softmax(scores, dim=-1))
        torch.bmm(weights[-1], values[:, : span.slots], out=mixed[span.rows].view(asked.shape))
    return mixed.index_select(0, gather.answered).view(-1, heads, dim), weights


def attend_backward(
    grad: torch.Tensor, qkv: torch.Tensor, weights: list[torch.Tensor], gather: Gather, heads: int, scale: float
) -> torch.Tensor:
    """Give the gradient of ``qkv`` from that of the result ``(tokens, heads, dim)``."""
    import torch

    dim, per_token = qkv.shape[-1], qkv.shape[1]
    taken = qkv.reshape(-1, dim).index_select(0, gather.taken)
    grads = torch.empty_like(taken)
    (queries, keys, values), (d_queries, d_keys, d_values) = _parts(taken, gather), _parts(grads, gather)
    d_mixed = grad.reshape(-1, dim).index_select(0, gather.asked)
    # The last span sees every slot and begins the sums; earlier ones add to theirs.
    for beta, (span, weight) in enumerate(reversed(list(zip(gather.spans, weights, strict=True)))):
        asked = queries[span.rows].view(keys.shape[0], -1, dim)
        d_result = d_mixed[span.rows].view(asked.shape)
        d_weight = torch.bmm(d_result, values[:, : span.slots].transpose(1, 2))
        d_scores = torch._softmax_backward_data(d_weight, weight, -1, weight.dtype)
        torch.bmm(d_scores, keys[:, : span.slots], out=d_queries[span.rows].view(asked.shape))
        _add_product(d_keys[:, : span.slots], d_scores.transpose(1, 2), asked, first=beta == 0)
        _add_product(d_values[:, : span.slots], weight.transpose(1, 2), d_result, first=beta == 0)
    grads[: gather.n_queries + d_keys.shape[0] * gather.n_slots].mul_(scale)
    result = grads.index_select(0, gather.back).view(-1, per_token, dim)
    if gather.prefix:
        shared = grads[gather.n_queries :].view(2, gather.n_cells, -1, gather.n_slots, dim)[:, :, :, : gather.prefix]
        total = shared.sum(1).permute(2, 0, 1, 3)
        result[: gather.prefix, heads:] = total.reshape(gather.prefix, -1, dim)
    return result


def _parts(taken: torch.Tensor, gather: Gather) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cut the gathered side: queries ``(rows, dim)``, keys and values ``(cells × kv_heads, slots, dim)``."""
    keys, values = taken[gather.n_queries :].view(2, -1, gather.n_slots, taken.shape[-1])
    return taken[: gather.n_queries], keys, values


def _add_product(into: torch.Tensor, left: torch.Tensor, right: torch.Tensor, *, first: bool) -> None:
    import torch

    if first:
        torch.bmm(left, right, out=into)
    else:
        into.baddbmm_(left, right)


def _elsewhere(qkv: torch.Tensor, cells: Cells, heads: int, scale: float, softcap: float | None) -> torch.Tensor:
    """Attend with torch's own gradients: fused where it can be, plainly under a soft cap."""
    import torch

    kv_heads, dim = (qkv.shape[1] - heads) // 2, qkv.shape[-1]
    gather = cells.gather(heads, kv_heads, qkv.dtype)
    taken = qkv.reshape(-1, dim).index_select(0, gather.taken)
    queries, keys, values = _parts(taken, gather)
    mixed = []
    for span in gather.spans:
        asked = queries[span.rows].view(keys.shape[0], -1, dim)
        known, told = keys[:, : span.slots], values[:, : span.slots]
        if softcap is None:
            # Fused kernels want four dimensions; heads that share a key are one longer row of queries.
            four = (part.view(gather.n_cells, kv_heads, *part.shape[1:]) for part in (asked, known, told, span.bias))
            q, k, v, bias = four
            mixed.append(torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale))
        else:
            scores = torch.tanh(asked @ known.transpose(1, 2) * (scale / softcap)) * softcap + span.bias
            mixed.append(torch.softmax(scores, dim=-1, dtype=torch.float32).to(qkv.dtype) @ told)
    flat = torch.cat([part.reshape(-1, dim) for part in mixed])
    return flat.index_select(0, gather.answered).view(-1, heads, dim)


@cache
def _function() -> Any:
    import torch

    class PackedAttention(torch.autograd.Function):
        """:func:`attend` with the gradient of :func:`attend_backward`."""

        @staticmethod
        def forward(ctx: Any, qkv: torch.Tensor, cells: Cells, heads: int, scale: float) -> torch.Tensor:
            gather = cells.gather(heads, (qkv.shape[1] - heads) // 2, qkv.dtype)
            result, weights = attend(qkv, gather, heads, scale)
            ctx.save_for_backward(qkv, *weights)
            ctx.gather, ctx.heads, ctx.scale = gather, heads, scale
            return result

        @staticmethod
        def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
            qkv, *weights = ctx.saved_tensors
            return attend_backward(grads[0], qkv, weights, ctx.gather, ctx.heads, ctx.scale), None, None, None

    return PackedAttention
