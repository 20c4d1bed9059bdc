"""A training run as plain values: the job handed to a trainer and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import attrs

from dlm.domain.base_models import ResolvedBase
from dlm.domain.choice import Choice
from dlm.domain.plan import TrainingPlan
from dlm.domain.rows import Row

AdapterKind = Literal["lora", "qlora", "dora"]
StopReason = Literal["completed", "converged", "early-stopped", "max-steps", "interrupted"]


@attrs.frozen(kw_only=True)
class Recipe:
    """The knobs of one run, each with its reason; what the document sets is obeyed to the letter.

    Args:
        learning_rate: peak, AdamW.
        num_epochs: passes over the training rows; an upper bound when ``stop_loss`` is set.
        stop_loss: end after a whole pass whose mean supervised loss (nats/token) is below; None trains all passes.
        batch_rows: rows per optimiser step.
        rewording: share of the passes in which a question is asked in other words, 0 to 1.
        prose_every: passes from one reading of the prose as it stands to the next; its sentences are asked for in each.
        replay_every: passes in which the rows of removed sections come round once.
        anchor_weight: weight of the term that holds ordinary answers to the base's; 0 turns it off.
        anchor_rows: ordinary questions in each step.
        anchor_bank: different ordinary questions in all.
    """

    adapter: Choice[AdapterKind]
    lora_r: Choice[int]
    lora_alpha: Choice[int]
    lora_dropout: Choice[float]
    target_modules: Choice[Literal["auto"] | tuple[str, ...]]
    sequence_len: Choice[int]
    learning_rate: Choice[float]
    num_epochs: Choice[int]
    optimizer: Choice[str]
    lr_scheduler: Choice[str]
    warmup_ratio: Choice[float]
    stop_loss: Choice[float | None]
    batch_rows: Choice[int]
    rewording: Choice[float]
    prose_every: Choice[int]
    replay_every: Choice[int]
    anchor_weight: Choice[float]
    anchor_rows: Choice[int]
    anchor_bank: Choice[int]
    seed: int

    @property
    def step_rows(self) -> int:
        """Sequences an optimiser step reads: the document's rows and the anchors beside them."""
        return self.batch_rows.value + (self.anchor_rows.value if self.anchor_weight.value else 0)


@attrs.frozen(kw_only=True)
class TrainingJob:
    """Everything a trainer needs; it reads no document and no store.

    Args:
        max_steps: optimiser steps after which to stop, counted from the first step ever of the adapter; the learning
            rate schedule does not change, so a capped run is a prefix of the full one. None: no cap.
        resume_from: folder of a version or checkpoint to continue from, with its training state.
        checkpoint_every_s: seconds between resumable checkpoints.
        anchors: unrelated questions whose base answers are to stay as they are.
        retention_rows: rows of removed sections whose loss is measured before and after.
    """

    base: ResolvedBase
    system_prompt: str | None
    train_rows: tuple[Row, ...]
    validation_rows: tuple[Row, ...]
    recipe: Recipe
    plan: TrainingPlan
    max_steps: int | None = None
    resume_from: Path | None = None
    checkpoint_every_s: float = 600.0
    anchors: tuple[str, ...] = ()
    retention_rows: tuple[Row, ...] = ()


@attrs.frozen(kw_only=True)
class TrainingOutcome:
    """What a trainer did. Losses are nats per supervised token.

    Args:
        steps: optimiser steps of the adapter in all, resumed ones included.
        first_train_loss, final_train_loss: of the first and the last step of this run.
        tokens: supervised and context tokens processed in this run.
        val_losses: validation loss by part: ``all``, ``prose``, ``instruction``; absent when the part is empty.
        train_losses: the same over the training rows after training.
        section_losses: loss before and after this run by section id, over at most as many rows as ``train_losses``.
        retention: loss over the retention rows by part ("all", "prose", "instruction"), before and after this run.
        anchor_seconds: what holding on to ordinary answers took.
        peak_memory_mb: of the process or device during training.
    """

    steps: int
    stopped: StopReason
    first_train_loss: float | None
    final_train_loss: float | None
    tokens: int
    seconds: float
    val_losses: Mapping[str, float] = attrs.field(factory=dict)
    train_losses: Mapping[str, float] = attrs.field(factory=dict)
    section_losses: Mapping[str, tuple[float, float]] = attrs.field(factory=dict)
    retention: Mapping[str, tuple[float, float]] = attrs.field(factory=dict)
    peak_memory_mb: int | None = None
    trainable_params: int = 0
    anchor_seconds: float = 0.0
    versions: Mapping[str, str | None] = attrs.field(factory=dict)
