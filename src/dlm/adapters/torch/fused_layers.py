"""Llama's decoder layer over a pack, on a CPU, with gradients written by hand.

On a CPU a training step of a small model spends more time between its matrix products than in them: casts to fp32 and
back, one pass over memory per operation, a graph node for each. Here a layer is two functions, attention and MLP, each
with its norm and its residual. They take few passes and keep what is cheap to keep.

    n = rms_norm(x)         x ← x + o(attend(rotate(q(n), k(n)), v(n)))
    n = rms_norm(x)         x ← x + down(silu(gate(n)) · up(n))

Only layers whose class is exactly known are replaced; all others stay transformers' own. Only packs go this way.
Shapes: states ``(tokens, hidden)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from dlm.adapters.torch.linear_groups import LinearGroup, can_group
from dlm.adapters.torch.loss import chunks
from dlm.adapters.torch.packed_attention import attend, attend_backward
from dlm.adapters.torch.rms_norm import rms_norm, rms_norm_backward

if TYPE_CHECKING:
    import torch

KNOWN = frozenset(
    f"transformers.models.{family.lower()}.modeling_{family.lower()}.{family}DecoderLayer"
    for family in ("Llama", "Mistral", "Qwen2")
)
"""Classes that compute what is written above and nothing else."""


FEW = 96
"""Tokens that pass through the gate at once: for each, six rows of 1,536 numbers in bf16 fit into 2 MB of cache."""


@contextmanager
def fused_layers(adapted: Any, device: str) -> Iterator[int]:
    """Give a PEFT model's known layers the fast way for the length of a ``with`` block; say how many there are."""
    import torch

    model = adapted.get_base_model()
    modules = [module for module in model.modules() if _is_known(module)] if device == "cpu" else []
    layers = [FusedLayer(module) for module in modules]
    if layers:
        _let_go_of_the_file(model)
    copies = [pair for layer in layers for group in layer.groups for pair in group.copies()]
    places, parameters = [place for place, _ in copies], [parameter.data for _, parameter in copies]

    def refresh(*_: Any) -> None:
        if places:
            torch._foreach_copy_(places, parameters)

    hook = model.base_model.register_forward_pre_hook(refresh)
    for module, layer in zip(modules, layers, strict=True):
        module.forward = layer.forward_or(module.forward)
    try:
        yield len(layers)
    finally:
        hook.remove()
        for module, layer in zip(modules, layers, strict=True):
            del module.forward
            layer.release()


def _is_known(module: Any) -> bool:
    kind = type(module)
    if f"{kind.__module__}.{kind.__qualname__}" not in KNOWN:
        return False
    attention, mlp = module.self_attn, module.mlp
    return (
        attention.config.hidden_act == "silu"
        and not attention.config.attention_dropout
        and can_group([attention.q_proj, attention.k_proj, attention.v_proj])
        and can_group([mlp.gate_proj, mlp.up_proj])
        and can_group([attention.o_proj])
        and can_group([mlp.down_proj])
    )


def _let_go_of_the_file(model: Any) -> None:
    """Give the parameters outside of the layers memory of their own: weights are mapped from a file, and one that still
    is keeps all of it in memory, those included that the layers now hold a copy of."""
    import torch

    for parameter in model.parameters():
        if not parameter.requires_grad and parameter.is_contiguous():
            parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)


class FusedLayer:
    """One decoder layer's weights, grouped."""

    def __init__(self, module: Any) -> None:
        attention, mlp = module.self_attn, module.mlp
        self.qkv = LinearGroup([attention.q_proj, attention.k_proj, attention.v_proj])
        self.o = LinearGroup([attention.o_proj])
        self.gate_up = LinearGroup([mlp.gate_proj, mlp.up_proj])
        self.down = LinearGroup([mlp.down_proj])
        self.groups = (self.qkv, self.o, self.gate_up, self.down)
        self.first_norm, self.second_norm = module.input_layernorm, module.post_attention_layernorm
        self.dim, self.scale = attention.head_dim, attention.scaling
        self.heads = self.o.n_in // self.dim
        self.switches = attention.q_proj

    def release(self) -> None:
        """Give the layers' weights back."""
        for group in self.groups:
            group.release()

    def forward_or(self, otherwise: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        """Give the layer's new forward, which leaves everything but packs to its old one."""
        attention, mlp = _attention(), _mlp()

        def forward(
            hidden_states: torch.Tensor, *args: Any, position_embeddings: Any = None, cells: Any = None, **kwargs: Any
        ) -> torch.Tensor:
            if cells is None or getattr(self.switches, "disable_adapters", False):
                extra = {} if cells is None else {"cells": cells}
                return otherwise(hidden_states, *args, position_embeddings=position_embeddings, **extra, **kwargs)
            cos, sin = (part[0, :, None] for part in position_embeddings)
            x = hidden_states[0]
            x = attention.apply(x, cos, sin, self, cells, *self.qkv.parameters, *self.o.parameters)
            result: torch.Tensor = mlp.apply(x, self, *self.gate_up.parameters, *self.down.parameters)
            return result[None]

        return forward


def rotate(
    heads: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, into: torch.Tensor, *, back: bool = False
) -> None:
    """Turn ``heads (tokens, heads, dim)`` by their positions' angles, or ``back``, which is the gradient.

    ``cos`` and ``sin`` are ``(tokens, 1, dim)``, both halves of ``dim`` alike.
    """
    import torch

    half = heads.shape[-1] // 2
    sign = -1 if back else 1
    torch.mul(heads, cos, out=into)
    into[..., :half].addcmul_(heads[..., half:], sin[..., :half], value=-sign)
    into[..., half:].addcmul_(heads[..., :half], sin[..., :half], value=sign)


@cache
def _attention() -> Any:
    import torch

    class Attention(torch.autograd.Function):
        """``x + o(attend(rotate(q(n), k(n)), v(n)))`` with ``n`` the norm of ``x``."""

        @staticmethod
        def forward(
            ctx: Any, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, layer: FusedLayer, cells: Any, *_: Any
        ) -> torch.Tensor:
            norm, n_tokens = layer.first_norm, x.shape[0]
            room, out_room = layer.qkv.room(n_tokens), layer.o.room(n_tokens)
            scale = rms_norm(x, norm.weight, norm.variance_epsilon, layer.qkv.split(room)[0])
            plain = layer.qkv.forward(room).view(n_tokens, -1, layer.dim)
            n_turned = (plain.shape[1] + layer.heads) // 2
            qkv = torch.empty_like(plain)
            rotate(plain[:, :n_turned], cos, sin, qkv[:, :n_turned])
            qkv[:, n_turned:] = plain[:, n_turned:]
            gather = cells.gather(layer.heads, n_turned - layer.heads, x.dtype)
            mixed, weights = attend(qkv, gather, layer.heads, layer.scale)
            layer.o.split(out_room)[0].copy_(mixed.view(n_tokens, -1))
            ctx.save_for_backward(x, scale, room, qkv, out_room, cos, sin, *weights)
            ctx.layer, ctx.gather, ctx.n_turned = layer, gather, n_turned
            return layer.o.forward(out_room, residual=x)

        @staticmethod
        def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
            x, scale, room, qkv, out_room, cos, sin, *weights = ctx.saved_tensors
            layer, dy, wants_dx, n_turned = ctx.layer, grads[0], ctx.needs_input_grad[0], ctx.n_turned
            d_out, g = layer.o.backward_input(dy)
            d_o = layer.o.backward_parameters(dy, *layer.o.split(out_room), g)
            d_mixed = d_out.reshape(-1, layer.heads, layer.dim)
            d_turned = attend_backward(d_mixed, qkv, weights, ctx.gather, layer.heads, layer.scale)
            d_plain = torch.empty_like(d_turned)
            rotate(d_turned[:, :n_turned], cos, sin, d_plain[:, :n_turned], back=True)
            d_plain[:, n_turned:] = d_turned[:, n_turned:]
            d_flat = d_plain.view(dy.shape[0], -1)
            dn, g = layer.qkv.backward_input(d_flat, wants_dx=wants_dx)
            d_qkv = layer.qkv.backward_parameters(d_flat, *layer.qkv.split(room), g)
            dx = rms_norm_backward(dn, x, scale, layer.first_norm.weight, residual=dy) if wants_dx else None
            return dx, None, None, None, None, *d_qkv, *d_o

    return Attention


@cache
def _mlp() -> Any:
    import torch

    class Mlp(torch.autograd.Function):
        """``x + down(silu(gate(n)) · up(n))`` with ``n`` the norm of ``x``."""

        @staticmethod
        def forward(ctx: Any, x: torch.Tensor, layer: FusedLayer, *_: Any) -> torch.Tensor:
            norm, n_tokens = layer.second_norm, x.shape[0]
            room, out_room = layer.gate_up.room(n_tokens), layer.down.room(n_tokens)
            scale = rms_norm(x, norm.weight, norm.variance_epsilon, layer.gate_up.split(room)[0])
            both = layer.gate_up.forward(room)
            gate, up = both.chunk(2, dim=-1)
            product = layer.down.split(out_room)[0]
            opened = torch.empty_like(gate, memory_format=torch.contiguous_format)
            for few in chunks(n_tokens, FEW):
                torch.ops.aten.silu.out(gate[few], out=opened[few])
                torch.mul(opened[few], up[few], out=product[few])
            y = layer.down.forward(out_room, residual=x)
            ctx.save_for_backward(x, scale, room, both, opened, layer.down.split(out_room)[1].clone())
            ctx.layer = layer
            return y

        @staticmethod
        def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
            x, scale, room, both, opened, h_out = ctx.saved_tensors
            layer, dy = ctx.layer, grads[0]
            gate, up = both.chunk(2, dim=-1)
            d_product, g = layer.down.backward_input(dy)
            product, d_both = torch.empty_like(opened), torch.empty_like(both)
            d_gate, d_up = d_both.chunk(2, dim=-1)
            for few in chunks(dy.shape[0], FEW):
                torch.mul(opened[few], up[few], out=product[few])
                torch.mul(d_product[few], opened[few], out=d_up[few])
                d_opened = d_product[few] * up[few]
                torch.ops.aten.silu_backward.grad_input(d_opened, gate[few], grad_input=d_gate[few])
            d_down = layer.down.backward_parameters(dy, product, h_out, g)
            dn, g = layer.gate_up.backward_input(d_both)
            d_gate_up = layer.gate_up.backward_parameters(d_both, *layer.gate_up.split(room), g)
            dx = rms_norm_backward(dn, x, scale, layer.second_norm.weight, residual=dy)
            return dx, None, *d_gate_up, *d_down

    return Mlp
