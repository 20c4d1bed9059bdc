"""Plans for the tiny model."""

from __future__ import annotations

import tiny
from dlm.domain.inference import InferencePlan


def inference_plan() -> InferencePlan:
    """Prompt on the CPU in fp32."""
    return InferencePlan(
        backend=tiny.because("pytorch"),  # type: ignore[arg-type]
        precision=tiny.because("fp32"),  # type: ignore[arg-type]
        dequantize_on_load=tiny.because(False),  # type: ignore[arg-type]
        attn_implementation=tiny.because("sdpa"),  # type: ignore[arg-type]
        load_in_4bit=False,
        device="cpu",
    )
