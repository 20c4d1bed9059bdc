"""Whether a model can be fed packs: asked of the model itself, by a small trial."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlm.adapters.torch.batches import collate
from dlm.adapters.torch.chat import Encoded
from dlm.adapters.torch.loss import hidden_states, packed_hidden_states
from dlm.adapters.torch.packing import pack
from dlm.adapters.torch.short_attention import NAME

if TYPE_CHECKING:
    import torch

TOLERANCE = 0.05
"""Largest relative difference of hidden states between packed and padded rows. Rounding in bf16 makes about 0.01; a
model that takes no positions, or lets rows see one another, is off by 0.2 and more."""

_TRIAL = tuple(
    Encoded((3, 4, 5, 6, 7, *rest), (False,) * 6 + (True,) * len(rest[1:])) for rest in ((8, 9, 10), (11, 3))
)


def why_not_packed(model: Any, longest: int) -> str | None:
    """Give the reason why rows must be padded on this transformers model; None when they can be packed.

    Args:
        longest: tokens of the longest row there will be.
    """
    attention = getattr(model.config, "_attn_implementation", None)
    if attention != NAME:
        return f"its attention is {attention}"
    for name in ("sliding_window", "attention_chunk_size"):
        window = getattr(model.config, name, None)
        if window is not None and longest > window:
            return f"rows of {longest} tokens are longer than its attention window of {window}"
    return _trial(model)


def _trial(model: Any) -> str | None:
    import torch

    device = str(next(model.parameters()).device)
    batch, packed = collate(_TRIAL, 0, device), pack(_TRIAL, device)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            wanted = hidden_states(model, batch)[batch.mask == 1]
            seen = packed_hidden_states(model, packed)
    except (TypeError, ValueError, RuntimeError, AttributeError, IndexError) as exc:
        return f"it does not take packed rows ({type(exc).__name__}: {exc})"
    finally:
        model.train(was_training)
    prefix, first, second = packed.cells.prefix, len(_TRIAL[0]), len(_TRIAL[1])
    given = torch.cat([seen[:first], seen[:prefix], seen[first : first + second - prefix]])
    return _difference(wanted.float(), given.float())


def _difference(wanted: torch.Tensor, given: torch.Tensor) -> str | None:
    error = float((wanted - given).norm() / wanted.norm().clamp_min(1e-9))
    if error <= TOLERANCE:
        return None
    return f"packed rows give other results than padded ones (by {error:.0%})"
