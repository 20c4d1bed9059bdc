"""LoRA's small products without their overhead.

PEFT's linear layer casts activations to fp32, multiplies, casts back: five passes over memory for products that are 2 %
of the arithmetic. Here they stay in the base's dtype and are added in place, forward and backward:

    h = x Aᵀ          y  = x Wᵀ + h (sB)ᵀ
    g = dy (sB)       dx = dy W + g A        dA = gᵀ x        dB = s dyᵀ h

Shapes: ``x (tokens, in)``, ``W (out, in)``, ``A (r, in)``, ``B (out, r)``, ``h, g (tokens, r)``. ``A`` and ``B`` are
fp32 parameters and their gradients are fp32; only the products run in the base's dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def use_fast_lora(adapted: Any) -> int:
    """Give every plain LoRA layer of a PEFT model the fast forward; say how many.

    Layers with dropout, DoRA, merged weights or quantised bases keep PEFT's own.
    """
    from peft.tuners.lora import Linear

    layers = [module for module in adapted.modules() if isinstance(module, Linear) and is_plain(module)]
    for layer in layers:
        layer.forward = _forward_of(layer)
    return len(layers)


def is_plain(layer: Any) -> bool:
    """Say whether a PEFT layer is a frozen linear layer and one LoRA, nothing more."""
    import torch

    names = layer.active_adapters
    return (
        len(names) == 1
        and type(layer.base_layer) is torch.nn.Linear
        and not layer.merged
        and not layer.use_dora[names[0]]
        and isinstance(layer.lora_dropout[names[0]], torch.nn.Identity)
    )


def _forward_of(layer: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    function = _function()
    name = layer.active_adapters[0]
    base, lora_a, lora_b = layer.base_layer, layer.lora_A[name], layer.lora_B[name]
    scale = float(layer.scaling[name])

    def forward(x: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        result: torch.Tensor = (
            base(x)
            if layer.disable_adapters
            else function.apply(x, base.weight, base.bias, lora_a.weight, lora_b.weight, scale)
        )
        return result

    return forward


@cache
def _function() -> Any:
    import torch

    class LoraLinear(torch.autograd.Function):
        """``y = x Wᵀ + b + s (x Aᵀ) Bᵀ`` with gradients for ``x``, ``A`` and ``B``; ``W`` and ``b`` are frozen."""

        @staticmethod
        def forward(
            ctx: Any,
            x: torch.Tensor,
            weight: torch.Tensor,
            bias: torch.Tensor | None,
            a: torch.Tensor,
            b: torch.Tensor,
            scale: float,
        ) -> torch.Tensor:
            flat = x.reshape(-1, x.shape[-1])
            a_low, b_low = a.to(x.dtype), (b * scale).to(x.dtype)
            h = flat @ a_low.T
            y = torch.nn.functional.linear(flat, weight, bias).addmm_(h, b_low.T)
            ctx.save_for_backward(flat, weight, a_low, b_low, h)
            ctx.scale, ctx.shape = scale, x.shape
            return y.view(*x.shape[:-1], -1)

        @staticmethod
        def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
            flat, weight, a_low, b_low, h = ctx.saved_tensors
            dy = grads[0].reshape(-1, grads[0].shape[-1])
            g = dy @ b_low
            db = (dy.T @ h).float() * ctx.scale
            da = (g.T @ flat).float()
            dx = (dy @ weight).addmm_(g, a_low).view(ctx.shape) if ctx.needs_input_grad[0] else None
            return dx, None, None, da, db, None

    return LoraLinear
