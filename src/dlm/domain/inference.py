"""Asking a model: sampling parameters and the inference plan."""

from __future__ import annotations

import attrs

from dlm.domain.choice import Choice
from dlm.domain.plan import Attention, Precision


@attrs.frozen(kw_only=True)
class SamplingParams:
    """How to draw tokens. ``temperature`` 0 is greedy and deterministic; the other knobs act only when set."""

    max_new_tokens: int = 256
    temperature: float = 0.7
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    seed: int | None = None


@attrs.frozen(kw_only=True)
class InferencePlan:
    """How a model is loaded for prompting, with reasons; printed by ``prompt --verbose``."""

    backend: Choice[str]
    precision: Choice[Precision]
    dequantize_on_load: Choice[bool]
    attn_implementation: Choice[Attention]
    load_in_4bit: bool
    device: str
