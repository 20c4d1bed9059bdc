"""The training plan: how a job runs on a machine, each part with its reason."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from dlm.domain.choice import Choice

Precision = Literal["bf16", "fp16", "fp32"]
Attention = Literal["sdpa", "flash_attention_2", "eager"]


@attrs.frozen(kw_only=True)
class TrainingPlan:
    """How to train on this machine. JSON keys are those of the run log and ``doctor --json``.

    ``est_peak_vram_gb`` is GiB of device memory (RAM on a CPU); ``est_step_seconds`` is one optimiser step at the full
    sequence length. ``micro_batch_tokens`` is the room that ``micro_batch_size`` of the longest rows take; shorter ones
    share it in greater number. None when the document sets the number of rows itself.
    """

    precision: Choice[Precision]
    attn_implementation: Choice[Attention]
    use_qlora: Choice[bool]
    quant_compute_dtype: Precision | None
    micro_batch_size: Choice[int]
    micro_batch_tokens: int | None = None
    grad_accum: Choice[int]
    gradient_checkpointing: Choice[bool]
    sequence_len: Choice[int]
    device: str
    est_peak_vram_gb: float
    est_step_seconds: float
    world_size: int = 1

    @property
    def effective_batch_size(self) -> int:
        """Rows per optimiser step over all processes."""
        return self.micro_batch_size.value * self.grad_accum.value * self.world_size

    def choices(self) -> dict[str, Choice[Any]]:
        """Give every decision by name, in the order in which they are explained."""
        names = (
            "precision",
            "attn_implementation",
            "use_qlora",
            "micro_batch_size",
            "grad_accum",
            "gradient_checkpointing",
            "sequence_len",
        )
        return {name: getattr(self, name) for name in names}

    def to_json(self) -> dict[str, Any]:
        """Give the record written to the run log, ``reason`` joined by commas."""
        choices = {name: choice for name, choice in self.choices().items() if name != "sequence_len"}
        return {
            **{name: choice.value for name, choice in choices.items()},
            "quant_compute_dtype": self.quant_compute_dtype,
            "effective_batch_size": self.effective_batch_size,
            "est_peak_vram_gb": round(self.est_peak_vram_gb, 2),
            "est_step_seconds": round(self.est_step_seconds, 2),
            "reason": ", ".join(f"{name}={choice.value}: {choice.reason}" for name, choice in choices.items()),
            "world_size": self.world_size,
        }
