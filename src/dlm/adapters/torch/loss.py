"""Losses over supervised positions only; no tensor of the size (positions, vocabulary) outlives a chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    import torch

    from dlm.adapters.torch.batches import Batch
    from dlm.adapters.torch.packing import Pack

CHUNK = 512
"""Positions whose logits exist at once: 512 × 49,152 × 4 bytes is 100 MB."""

Head = Callable[["torch.Tensor"], "torch.Tensor"]
"""Hidden states ``(positions, hidden)`` → logits ``(positions, vocabulary)``, fp32."""


def transformer_of(model: Any) -> Any:
    """Give the transformers model itself, with or without PEFT around it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def hidden_states(model: Any, batch: Batch) -> torch.Tensor:
    """Run a transformer without its output head; ``(rows, longest, hidden)``."""
    hidden: torch.Tensor = model.base_model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False)[0]
    return hidden


def packed_hidden_states(model: Any, pack: Pack) -> torch.Tensor:
    """Run a transformer without its output head over a pack; ``(tokens, hidden)``.

    A mask of four dimensions is taken as it stands, so the model makes none of its own; who sees whom is in the cells.
    """
    import torch

    mask = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=pack.ids.device)
    hidden: torch.Tensor = model.base_model(
        input_ids=pack.ids, attention_mask=mask, position_ids=pack.positions, use_cache=False, cells=pack.cells
    )[0]
    return hidden[0]


def head_of(model: Any) -> Head:
    """Give a model's output head, its logit scaling and soft cap included (Gemma 2, Granite, Cohere have them)."""
    import torch

    matrix = model.get_output_embeddings()
    config = model.config
    cap = getattr(config, "final_logit_softcapping", None)
    scale = float(getattr(config, "logit_scale", None) or 1.0) / float(getattr(config, "logits_scaling", None) or 1.0)

    def head(hidden: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = matrix(hidden).float()
        if scale != 1.0:
            logits = logits * scale
        return torch.tanh(logits / cap) * cap if cap else logits

    return head


def chunked_backward(
    hidden: torch.Tensor,
    head: Head,
    loss_of: Callable[[torch.Tensor, slice], torch.Tensor],
    *,
    chunk: int = CHUNK,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum a per-position loss over ``hidden`` and give its gradient there, one chunk of logits at a time.

    Args:
        hidden: ``(positions, hidden)``; its graph is not touched.
        loss_of: logits of a chunk and the chunk's slice of positions → summed loss, a scalar.

    Returns:
        The summed loss, detached, and the gradient with the shape and dtype of ``hidden``.
    """
    import torch

    total = torch.zeros((), device=hidden.device)
    gradient = torch.empty_like(hidden)
    for part in chunks(hidden.shape[0], chunk):
        leaf = hidden[part].detach().requires_grad_(True)
        loss = loss_of(head(leaf), part)
        (gradient[part],) = torch.autograd.grad(loss, leaf)
        total += loss.detach()
    return total, gradient


def chunks(positions: int, chunk: int = CHUNK) -> Iterator[slice]:
    """Cut ``positions`` into slices of at most ``chunk``."""
    for start in range(0, positions, chunk):
        yield slice(start, min(start + chunk, positions))


def summed_cross_entropy(targets: torch.Tensor) -> Callable[[torch.Tensor, slice], torch.Tensor]:
    """Give the loss ``−Σ log p(target)`` in nats; ``targets`` is ``(positions,)``."""
    import torch

    def loss_of(logits: torch.Tensor, part: slice) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(logits, targets[part], reduction="sum")

    return loss_of


@attrs.frozen
class TopK:
    """A base's next-token distributions, cut to the k likeliest tokens; the rest is one bucket.

    Shapes: ``ids`` int64 and ``log_probs`` fp32, both ``(positions, k)``; ``log_rest`` fp32 ``(positions,)``.
    """

    ids: torch.Tensor
    log_probs: torch.Tensor
    log_rest: torch.Tensor

    @classmethod
    def of(cls, logits: torch.Tensor, k: int) -> TopK:
        """Cut full logits ``(positions, vocabulary)``."""
        import torch

        log_probs, ids = torch.log_softmax(logits, dim=-1).topk(k, dim=-1)
        rest = (1.0 - log_probs.exp().sum(-1)).clamp_min(_TINY)
        return cls(ids, log_probs, rest.log())


_TINY = 1e-8
"""Floor of the rest bucket: below it fp32 sums of probabilities are noise."""


def summed_divergence(base: TopK) -> Callable[[torch.Tensor, slice], torch.Tensor]:
    """Give the loss ``Σ KL(base ‖ model)`` in nats, over the k likeliest tokens and the rest bucket.

    Merging tokens into one bucket can only lower a KL divergence, so this is a lower bound of the full one.
    """
    import torch

    def loss_of(logits: torch.Tensor, part: slice) -> torch.Tensor:
        log_probs = torch.log_softmax(logits, dim=-1).gather(-1, base.ids[part])
        rest = (1.0 - log_probs.exp().sum(-1)).clamp_min(_TINY).log()
        known = base.log_probs[part]
        kept = (known.exp() * (known - log_probs)).sum()
        return kept + (base.log_rest[part].exp() * (base.log_rest[part] - rest)).sum()

    return loss_of
