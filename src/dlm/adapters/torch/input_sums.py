"""How strong each input of each linear layer is, summed up while a model runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    import numpy as np
    import torch

NameOf = Callable[[str], "str | None"]
"""A module's name in the model → the name its weight is summed under; None for one that is left out."""

EXPERT_PARTS = ("gate_proj", "up_proj", "down_proj")
"""What transformers stacks into one module per layer; published models have a layer of each per expert."""


@attrs.define
class Sums:
    """Squares of the inputs of one weight.

    Shapes: ``squares (matrices, columns)``, summed over tokens; ``tokens (matrices,)``, how many there were. One
    matrix, or one per expert.
    """

    squares: np.ndarray[Any, Any]
    tokens: np.ndarray[Any, Any]

    @classmethod
    def zero(cls, matrices: int, columns: int) -> Sums:
        """Give sums of nothing. In float64: tens of thousands of tokens are added one piece at a time."""
        import numpy as np

        return cls(np.zeros((matrices, columns), np.float64), np.zeros(matrices, np.int64))

    def add(self, matrix: int, inputs: torch.Tensor) -> None:
        """Add inputs ``(tokens, columns)`` of one matrix."""
        self.squares[matrix] += inputs.detach().float().square().sum(0).cpu().numpy()
        self.tokens[matrix] += len(inputs)


class InputSums:
    """Sums per weight, filled by every forward pass inside ``watching``.

    Mixtures of experts: each expert has sums of its own, over the tokens it was chosen for.
    """

    def __init__(self, name_of: NameOf) -> None:
        self._name_of = name_of
        self.by_name: dict[str, Sums] = {}

    @contextmanager
    def watching(self, model: Any) -> Iterator[None]:
        """Watch a model for the length of a ``with`` block."""
        handles = [handle for name, module in model.named_modules() for handle in self._hooks(name, module)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hooks(self, name: str, module: Any) -> Iterator[Any]:
        import torch

        if isinstance(module, torch.nn.Linear):
            weight = self._name_of(name)
            if weight is not None:
                yield module.register_forward_pre_hook(self._linear_hook(weight, module.in_features))
        elif _has_stacked_experts(module):
            names = [self._name_of(f"{name}.{part}") for part in EXPERT_PARTS]
            if None not in names:
                yield module.register_forward_pre_hook(self._experts_hook(*names))  # type: ignore[arg-type]

    def _linear_hook(self, name: str, columns: int) -> Callable[[Any, Any], None]:
        sums = self.by_name[name] = Sums.zero(1, columns)

        def watch(_: Any, inputs: Any) -> None:
            sums.add(0, inputs[0].reshape(-1, columns))

        return watch

    def _experts_hook(self, gate: str, up: str, down: str) -> Callable[[Any, Any], None]:
        """What goes into ``down`` is computed once more here: no module of its own is fed with it."""
        import torch

        def watch(experts: Any, inputs: Any) -> None:
            hidden, chosen = inputs[0], inputs[1]
            count, _, width = experts.gate_up_proj.shape
            outer = self.by_name.setdefault(up, Sums.zero(count, width))
            inner = self.by_name.setdefault(down, Sums.zero(count, experts.down_proj.shape[-1]))
            self.by_name[gate] = outer
            for expert in chosen.unique().tolist():
                fed = hidden[(chosen == expert).any(-1)]
                outer.add(expert, fed)
                both = torch.nn.functional.linear(fed, experts.gate_up_proj[expert])
                inner.add(expert, experts._apply_gate(both))

        return watch


def _has_stacked_experts(module: Any) -> bool:
    """Whether a module holds all experts of a layer as transformers stacks them: ``gate_up_proj (experts, outputs,
    inputs)`` without biases. Others are left out."""
    stacked = getattr(module, "gate_up_proj", None)
    plain = not getattr(module, "is_transposed", False) and not getattr(module, "has_bias", False)
    return getattr(stacked, "ndim", 0) == 3 and plain and hasattr(module, "_apply_gate")
