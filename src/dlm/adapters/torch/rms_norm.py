"""RMS norm in few passes, forward and backward; computed in fp32 as transformers does.

    n = w · x / r      r = √(mean(x²) + ε)

Shapes: ``x``, ``n`` and their gradients ``(tokens, hidden)`` in the base's dtype; ``scale = 1 / r`` is ``(tokens, 1)``,
fp32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float, into: torch.Tensor) -> torch.Tensor:
    """Write ``n`` into memory of its shape and give ``scale``."""
    import torch

    wide = x.to(torch.float32, copy=True)
    length: torch.Tensor = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
    scale = length.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
    torch.mul(wide.mul_(scale).to(x.dtype), weight, out=into)
    return scale


def rms_norm_backward(
    dn: torch.Tensor, x: torch.Tensor, scale: torch.Tensor, weight: torch.Tensor, residual: torch.Tensor
) -> torch.Tensor:
    """Give ``dx`` with the gradient of the residual added. With ``d = w dn``: ``dx = d / r − x mean(d x) / r³``."""
    import torch

    wide, d = x.float(), (dn * weight).float()
    along = torch.linalg.vecdot(d, wide).unsqueeze(-1).div_(x.shape[-1]) * scale**3
    return d.mul_(scale).addcmul_(wide, along, value=-1).add_(residual).to(x.dtype)
