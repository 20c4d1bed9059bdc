"""How exported weights are stored: the levels a person chooses between."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import attrs

QuantName = Literal["Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "BF16", "F16"]
GgmlType = Literal["F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q5_1", "Q5_0"]
"""How one tensor is stored."""


@attrs.frozen(kw_only=True)
class Quant:
    """One level.

    Args:
        file_type: ``general.file_type`` of a GGUF file, as llama.cpp numbers them.
        bytes_per_weight: on average over a model, for estimates.
        is_native: whether native code is needed to write it.
        uses_importance: whether an importance matrix makes it better.
        parity_bound: most that next-token distributions may differ from the trained model's, mean KL in nats.
    """

    name: QuantName
    file_type: int
    bytes_per_weight: float
    is_native: bool
    uses_importance: bool
    parity_bound: float


_LEVELS: tuple[tuple[QuantName, int, float, bool, float], ...] = (
    ("Q4_K_M", 15, 0.60, True, 0.10),
    ("Q5_K_M", 17, 0.71, True, 0.05),
    ("Q6_K", 18, 0.82, True, 0.02),
    ("Q8_0", 7, 1.07, False, 0.01),
    ("BF16", 32, 2.0, False, 0.002),
    ("F16", 1, 2.0, False, 0.001),
)
QUANTS: Mapping[QuantName, Quant] = MappingProxyType(
    {
        name: Quant(
            name=name,
            file_type=file_type,
            bytes_per_weight=size,
            is_native=is_k_quant,
            uses_importance=is_k_quant,
            parity_bound=bound,
        )
        for name, file_type, size, is_k_quant, bound in _LEVELS
    }
)
"""Every level by name, smallest file first."""
