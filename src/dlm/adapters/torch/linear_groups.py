"""Frozen linear layers that share an input, with their LoRAs, as one product.

q, k and v read the same states, and so do gate and up. Three layers with weights ``W₁ W₂ W₃`` and LoRAs ``A₁B₁ …`` are

    W = [W₁; W₂; W₃]    A = [A₁; A₂; A₃]    B = diag(B₁, B₂, B₃)

    h = s x Aᵀ          y  = [x h] [W B]ᵀ
    [d g] = dy [W B]    dx = d + s g A          dA = s gᵀ x         dB = dyᵀ h   (its diagonal blocks)

``W`` and ``B`` lie side by side in one matrix, and ``x`` and ``h`` in one ``room``, so a LoRA costs no pass of its own
over ``y`` and ``dy``, the largest tensors there are.

Shapes: ``x (tokens, in)``, ``W (out, in)``, ``A (ranks, in)``, ``B (out, ranks)``, ``h, g (tokens, ranks)``. ``A`` and
``B`` here are copies of the fp32 parameters in the base's dtype, made anew before each pass through the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dlm.adapters.torch.fast_lora import is_plain

if TYPE_CHECKING:
    import torch


LANES = 32
"""Columns come in multiples of this, the depth of a tile of AMX in bf16."""


class LinearGroup:
    """Some layers of one input, each a ``torch.nn.Linear`` or PEFT's LoRA around one.

    Their weights become views of one matrix, so nothing is held twice; :meth:`release` gives each its own again.
    """

    def __init__(self, layers: Sequence[Any]) -> None:
        import torch

        self.bases = [getattr(layer, "base_layer", layer) for layer in layers]
        adapted = [layer for layer in layers if hasattr(layer, "lora_A")]
        self.scale = _scale(adapted[0]) if adapted else 1.0
        self.n_in = self.bases[0].in_features
        ranks = sum(_pair(layer)[0].shape[0] for layer in adapted)
        width = -(-(self.n_in + ranks) // LANES) * LANES if ranks else self.n_in
        sizes = [base.out_features for base in self.bases]
        self.weight = self.bases[0].weight.data.new_zeros(sum(sizes), width)
        self.a = self.weight.new_zeros(width - self.n_in, self.n_in)
        self.bias = torch.cat([base.bias.data for base in self.bases]) if self.bases[0].bias is not None else None
        self.parameters: list[torch.Tensor] = []
        self._blocks: list[tuple[slice, slice]] = []
        row = rank = 0
        for layer, base, size in zip(layers, self.bases, sizes, strict=True):
            own = self.weight[row : row + size, : self.n_in]
            base.weight.data = own.copy_(base.weight.data)
            if hasattr(layer, "lora_A"):
                a, b = _pair(layer)
                self.parameters += [a, b]
                self._blocks.append((slice(row, row + size), slice(rank, rank + a.shape[0])))
                rank += a.shape[0]
            row += size

    def copies(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Give where each parameter's copy lives, and the parameter."""
        b = self.weight[:, self.n_in :]
        places = [part for rows, ranks in self._blocks for part in (self.a[ranks], b[rows, ranks])]
        return list(zip(places, self.parameters, strict=True))

    def release(self) -> None:
        """Give each layer a weight of its own again."""
        import torch

        for base in self.bases:
            base.weight.data = base.weight.data.clone(memory_format=torch.contiguous_format)

    def room(self, tokens: int) -> torch.Tensor:
        """Give memory for ``x`` and ``h``; the first ``n_in`` columns are to be filled with ``x``."""
        room: torch.Tensor = self.weight.new_empty(tokens, self.weight.shape[1])
        return room

    def forward(self, room: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        """Give ``y``, with ``residual (tokens, out)`` added to it; ``h`` is written into ``room``."""
        import torch

        if self.parameters:
            room[:, self.n_in :] = (room[:, : self.n_in] @ self.a.T).mul_(self.scale)
        y = room @ self.weight.T if residual is None else torch.addmm(residual, room, self.weight.T)
        if self.bias is not None:
            y.add_(self.bias)
        return y

    def backward_input(self, dy: torch.Tensor, *, wants_dx: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
        """Give ``dx`` (empty unless wanted) and ``s g``."""
        import torch

        both = dy @ (self.weight if wants_dx else self.weight[:, self.n_in :])
        g = both[:, self.n_in if wants_dx else 0 :] * self.scale
        if not wants_dx:
            return both[:, :0], g
        return (torch.addmm(both[:, : self.n_in], g, self.a) if self.parameters else both), g

    def backward_parameters(
        self, dy: torch.Tensor, x: torch.Tensor, h: torch.Tensor, g: torch.Tensor
    ) -> list[torch.Tensor]:
        """Give the gradients of :attr:`parameters`, fp32; ``h`` and ``g`` scaled, as they come."""
        if not self.parameters:
            return []
        da, db = (g.T @ x).float(), dy.T @ h.contiguous()
        return [part for rows, ranks in self._blocks for part in (da[ranks], db[rows, ranks].float())]

    def split(self, room: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give ``x`` and ``h`` of a room."""
        return room[:, : self.n_in], room[:, self.n_in :]


def can_group(layers: Sequence[Any]) -> bool:
    """Say whether layers are plain enough: LoRA without extras or none, one scale, all with a bias or none."""
    import torch
    from peft.tuners.lora import Linear

    bases = [getattr(layer, "base_layer", layer) for layer in layers]
    adapted = [layer for layer in layers if isinstance(layer, Linear)]
    return (
        all(type(base) is torch.nn.Linear for base in bases)
        and all(is_plain(layer) for layer in adapted)
        and len({_scale(layer) for layer in adapted}) <= 1
        and len({base.bias is None for base in bases}) == 1
        and len({base.weight.dtype for base in bases}) == 1
    )


def _scale(layer: Any) -> float:
    return float(layer.scaling[layer.active_adapters[0]])


def _pair(layer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    name = layer.active_adapters[0]
    return layer.lora_A[name].weight, layer.lora_B[name].weight
