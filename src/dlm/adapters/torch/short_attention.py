"""The attention that training asks transformers for: packed rows, and short padded rows on a CPU.

Packs bring their ``cells`` along and are computed per row (``packed_attention``). Padded rows get plain batched
products.

torch's fused CPU attention is made for long rows; on rows of a hundred tokens its backward takes longer than three
plain matrix products (a third of a training step on SmolLM2-135M). Rows above ``SHORT`` tokens keep the fused one,
whose memory does not grow with the square of the length.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from dlm.adapters.torch.packed_attention import packed_attention

if TYPE_CHECKING:
    import torch

    from dlm.adapters.torch.cells import Cells

SHORT = 256
"""Tokens up to which the scores of all heads are held at once: 12 rows × 9 heads × 256² × 2 bytes is 14 MB a layer."""

NAME = "dlm_short"


@cache
def register() -> str:
    """Make the function known to transformers and give its name for ``attn_implementation``."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, short_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    return NAME


def short_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    cells: Cells | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attend as torch's fused attention does, over a pack when there are ``cells``.

    Shapes: ``query (rows, heads, tokens, dim)``; ``key`` and ``value (rows, kv_heads, seen, dim)``; ``attention_mask``
    boolean ``(rows, 1, tokens, seen)``, true where a position is seen, or None for plain causal rows. Gives
    ``(rows, tokens, heads, dim)``.
    """
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if cells is not None:
        return packed_attention(query, key, value, cells, scaling=scaling, softcap=kwargs.get("softcap")), None
    rows, heads, tokens, dim = query.shape
    kv_heads, seen = key.shape[1], key.shape[2]
    softcap = kwargs.get("softcap")
    is_short = tokens <= SHORT and seen == tokens and query.device.type == "cpu"
    # torch's own knows no soft cap (Gemma 2), so such a model is always computed here.
    if (not is_short and softcap is None) or dropout:
        result: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return result
    groups = heads // kv_heads
    # Heads that share a key are one taller matrix, so the key is never copied.
    tall = query.reshape(rows, kv_heads, groups * tokens, dim)
    scores = (tall @ key.transpose(-1, -2)).view(rows, kv_heads, groups, tokens, seen)
    scores = scores * (dim**-0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if attention_mask is None:
        mask = torch.ones(tokens, seen, dtype=torch.bool, device=query.device).tril(seen - tokens)
    else:
        mask = attention_mask[:, :, None]
    # A padding position may see nothing; its row then becomes a uniform average that nobody reads.
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, dim=-1).view(rows, kv_heads, groups * tokens, seen)
    mixed = (weights @ value).view(rows, heads, tokens, dim)
    return mixed.transpose(1, 2).contiguous(), None
