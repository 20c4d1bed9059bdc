"""Small arithmetic with a name."""

from __future__ import annotations

import math


def perplexity(loss: float) -> float:
    """Give ``exp(loss)``, infinite where a loss is not finite or negative."""
    return math.exp(loss) if 0.0 <= loss < 700.0 else math.inf
