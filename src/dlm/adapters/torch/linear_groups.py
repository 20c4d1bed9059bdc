"""Frozen linear layers that share an input, with their LoRAs, as one product.

q, k and v read the same states, and so do gate and up. Three layers with weights ``W₁ W₂ W₃`` and LoRAs ``A₁B₁ …`` are

    W = [W₁; W₂; W₃]    A = [A₁; A₂; A₃]    B = diag(B₁, B₂, B₃)

    h = x Aᵀ            y  = x Wᵀ + s h Bᵀ
    g = s dy B          dx = dy W + g A        dA = gᵀ x        dB = s dyᵀ h   (its diagonal blocks)

Shapes: ``x (tokens, in)``, ``W (out, in)``, ``A (ranks, in)``, ``B (out, ranks)``, ``h, g (tokens, ranks)``. ``A`` and
``B`` here are copies of the fp32 parameters in the base's dtype, made anew before each pass through the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dlm.adapters.torch.fast_lora import is_plain

if TYPE_CHECKING:
    import torch


class LinearGroup:
    """Some layers of one input, each a ``torch.nn.Linear`` or PEFT's LoRA around one.

    Their weights become views of one matrix, so nothing is held twice; :meth:`release` gives each its own again.
    """

    def __init__(self, layers: Sequence[Any]) -> None:
        import torch

        self.bases = [getattr(layer, "base_layer", layer) for layer in layers]
        self.weight = torch.cat([base.weight.data for base in self.bases])
        self.bias = torch.cat([base.bias.data for base in self.bases]) if self.bases[0].bias is not None else None
        sizes = [base.out_features for base in self.bases]
        for base, rows in zip(self.bases, torch.split(self.weight, sizes), strict=True):
            base.weight.data = rows
        adapted = [(layer, sum(sizes[:at])) for at, layer in enumerate(layers) if hasattr(layer, "lora_A")]
        self.scale = _scale(adapted[0][0]) if adapted else 1.0
        self.parameters: list[torch.Tensor] = []
        self._blocks: list[tuple[slice, slice]] = []
        ranks = 0
        for layer, start in adapted:
            a, b = (part[layer.active_adapters[0]].weight for part in (layer.lora_A, layer.lora_B))
            self.parameters += [a, b]
            self._blocks.append((slice(start, start + b.shape[0]), slice(ranks, ranks + a.shape[0])))
            ranks += a.shape[0]
        self.a = self.weight.new_zeros(ranks, self.weight.shape[1])
        self.b = self.weight.new_zeros(self.weight.shape[0], ranks)

    def copies(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Give where each parameter's copy lives, and the parameter."""
        places = [part for rows, ranks in self._blocks for part in (self.a[ranks], self.b[rows, ranks])]
        return list(zip(places, self.parameters, strict=True))

    def release(self) -> None:
        """Give each layer a weight of its own again."""
        for base in self.bases:
            base.weight.data = base.weight.data.clone()

    def forward(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Give ``y``, with ``residual (tokens, out)`` added to it, and ``h``."""
        import torch

        weight = self.weight.T
        y = x @ weight if residual is None else torch.addmm(residual, x, weight)
        if self.bias is not None:
            y.add_(self.bias)
        h = x @ self.a.T
        if self.parameters:
            y.addmm_(h, self.b.T, alpha=self.scale)
        return y, h

    def backward(
        self, dy: torch.Tensor, x: torch.Tensor, h: torch.Tensor, *, wants_dx: bool = True
    ) -> tuple[torch.Tensor | None, list[torch.Tensor]]:
        """Give ``dx`` and the gradients of :attr:`parameters`, fp32."""
        grads: list[torch.Tensor] = []
        dx = dy @ self.weight if wants_dx else None
        if self.parameters:
            g = (dy @ self.b).mul_(self.scale)
            da, db = (g.T @ x).float(), dy.T @ h
            for rows, ranks in self._blocks:
                grads += [da[ranks], db[rows, ranks].float().mul_(self.scale)]
            if dx is not None:
                dx.addmm_(g, self.a)
        return dx, grads


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
