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

ROOM_BYTES = 64 * 2**20
"""Most memory for logits on a CPU, in the base's dtype."""

FEW = 16
"""Positions whose losses are computed at once on a CPU: 16 × 49,152 × 4 bytes is 3 MB, which stays in the cache."""

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


def head_of(model: Any) -> OutputHead:
    """Give a model's output head, its logit scaling and soft cap included (Gemma 2, Granite, Cohere have them)."""
    config = model.config
    scale = float(getattr(config, "logit_scale", None) or 1.0) / float(getattr(config, "logits_scaling", None) or 1.0)
    return OutputHead(model.get_output_embeddings(), scale, getattr(config, "final_logit_softcapping", None))


class OutputHead:
    """Hidden states ``(positions, hidden)`` → logits ``(positions, vocabulary)``, fp32."""

    def __init__(self, matrix: Any, scale: float = 1.0, cap: float | None = None) -> None:
        self.matrix = matrix
        self._scale = scale
        self._cap = cap
        self._room: torch.Tensor | None = None

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        import torch

        logits: torch.Tensor = self.matrix(hidden).float()
        if self._scale != 1.0:
            logits = logits * self._scale
        return torch.tanh(logits / self._cap) * self._cap if self._cap else logits

    @property
    def is_bare(self) -> bool:
        """One matrix on a CPU, nothing before or after it."""
        import torch

        plain = type(self.matrix) is torch.nn.Linear and self.matrix.bias is None
        return plain and self._scale == 1.0 and not self._cap and self.matrix.weight.device.type == "cpu"

    def room(self) -> torch.Tensor:
        """Give memory for the logits of some positions, in the base's dtype; the same each time, as 50 MB of fresh
        pages cost a CPU as long as the product that fills them."""
        if self._room is None:
            weight = self.matrix.weight
            rows = max(16, min(CHUNK, ROOM_BYTES // (weight.shape[0] * weight.element_size())))
            self._room = weight.new_empty(rows, weight.shape[0])
        return self._room


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

    if isinstance(head, OutputHead) and head.is_bare:
        return _bare_backward(hidden.detach(), head, loss_of)
    total = torch.zeros((), device=hidden.device)
    gradient = torch.empty_like(hidden)
    for part in chunks(hidden.shape[0], chunk):
        leaf = hidden[part].detach().requires_grad_(True)
        loss = loss_of(head(leaf), part)
        (gradient[part],) = torch.autograd.grad(loss, leaf)
        total += loss.detach()
    return total, gradient


def _bare_backward(
    hidden: torch.Tensor, head: OutputHead, loss_of: Callable[[torch.Tensor, slice], torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Do the same in place: logits of many positions from one product, losses in fp32 for a few at a time, whose
    gradient takes the place of their logits, and one product back."""
    import torch

    weight, room = head.matrix.weight, head.room()
    slope_of = getattr(loss_of, "slope_of", None) or _slope_by_autograd(loss_of)
    total = torch.zeros(())
    gradient = torch.empty_like(hidden)
    with torch.no_grad():
        for part in chunks(hidden.shape[0], room.shape[0]):
            logits = torch.mm(hidden[part], weight.T, out=room[: part.stop - part.start])
            for few in chunks(logits.shape[0], FEW):
                where = slice(part.start + few.start, part.start + few.stop)
                loss, logits[few] = slope_of(logits[few].to(torch.float32, copy=True), where)
                total += loss
            torch.mm(logits, weight, out=gradient[part])
    return total, gradient


def position_losses(hidden: torch.Tensor, head: Head, targets: torch.Tensor) -> torch.Tensor:
    """Give ``−log p(target)`` in nats at each position, fp32 ``(positions,)``; logits of a few positions at a time, no
    gradient."""
    import torch

    with torch.no_grad():
        parts = [
            torch.nn.functional.cross_entropy(head(hidden[part]), targets[part], reduction="none")
            for part in chunks(hidden.shape[0], 4 * FEW)
        ]
    return torch.cat(parts)


Slope = Callable[["torch.Tensor", slice], "tuple[torch.Tensor, torch.Tensor]"]
"""Logits of a slice of positions, which may be overwritten → their summed loss and its gradient."""


def _slope_by_autograd(loss_of: Callable[[torch.Tensor, slice], torch.Tensor]) -> Slope:
    import torch

    def slope_of(logits: torch.Tensor, part: slice) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.enable_grad():
            loss = loss_of(logits.requires_grad_(True), part)
        (slope,) = torch.autograd.grad(loss, logits)
        return loss.detach(), slope

    return slope_of


def chunks(positions: int, chunk: int = CHUNK) -> Iterator[slice]:
    """Cut ``positions`` into slices of at most ``chunk``."""
    for start in range(0, positions, chunk):
        yield slice(start, min(start + chunk, positions))


def summed_cross_entropy(targets: torch.Tensor) -> CrossEntropy:
    """Give the loss ``−Σ log p(target)`` in nats; ``targets`` is ``(positions,)``."""
    return CrossEntropy(targets)


_RARE = 1e-30
"""Probability above which fp32 keeps its full precision."""


@attrs.frozen(eq=False)
class CrossEntropy:
    """The loss ``−Σ log p(target)`` in nats."""

    targets: torch.Tensor

    def __call__(self, logits: torch.Tensor, part: slice) -> torch.Tensor:
        import torch

        return torch.nn.functional.cross_entropy(logits, self.targets[part], reduction="sum")

    def slope_of(self, logits: torch.Tensor, part: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the loss and its gradient ``p − one-hot`` from one softmax, half the time of the other way."""
        import torch

        targets = self.targets[part, None]
        slope = torch.softmax(logits, dim=-1)
        chances = slope.gather(-1, targets)
        # A token so rare, or not a number, gets its loss from the logits.
        loss = -chances.log().sum() if float(chances.amin()) > _RARE else self(logits, part)
        slope.scatter_add_(-1, targets, slope.new_full(targets.shape, -1.0))
        return loss, slope


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
