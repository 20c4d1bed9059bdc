"""The short-row attention computes what torch's own does."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from dlm.adapters.torch.short_attention import SHORT, short_attention

ROWS, HEADS, KV_HEADS, DIM = 3, 4, 2, 8


def _inputs(tokens: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(tokens)
    shapes = [(ROWS, heads, tokens, DIM) for heads in (HEADS, KV_HEADS, KV_HEADS)]
    q, k, v = (torch.randn(shape, generator=generator, requires_grad=True) for shape in shapes)
    return q, k, v


def _padded_causal(tokens: int) -> torch.Tensor:
    """Row r has r real tokens fewer than the longest, as right padding."""
    causal = torch.ones(tokens, tokens, dtype=torch.bool).tril()
    keys = torch.arange(tokens) < (tokens - torch.arange(ROWS))[:, None]
    return (causal[None] & keys[:, None])[:, None]


@pytest.mark.parametrize("tokens", [1, 2, 17, SHORT, SHORT + 1])
@pytest.mark.parametrize("padded", [False, True])
def test_outputs_and_gradients_are_those_of_the_fused_attention(tokens: int, padded: bool) -> None:
    if padded and tokens <= ROWS:
        tokens += ROWS
    module = SimpleNamespace(num_key_value_groups=HEADS // KV_HEADS, is_causal=True)
    mask = _padded_causal(tokens) if padded else None
    results = []
    for function in (short_attention, sdpa_attention_forward):
        q, k, v = _inputs(tokens)
        out, _ = function(module, q, k, v, mask, scaling=DIM**-0.5)
        gradients = torch.autograd.grad(out.square().sum(), (q, k, v))
        results.append((out, *gradients))
    for ours, fused in zip(*results, strict=True):
        torch.testing.assert_close(ours, fused, rtol=1e-4, atol=1e-5)


def test_a_step_of_decoding_with_a_cache_is_left_to_the_fused_attention() -> None:
    module = SimpleNamespace(num_key_value_groups=HEADS // KV_HEADS, is_causal=True)
    q, k, v = _inputs(9)
    ours, _ = short_attention(module, q[:, :, -1:], k, v, None, scaling=DIM**-0.5)
    whole, _ = short_attention(module, q, k, v, None, scaling=DIM**-0.5)
    torch.testing.assert_close(ours[:, 0], whole[:, -1], rtol=1e-4, atol=1e-5)
