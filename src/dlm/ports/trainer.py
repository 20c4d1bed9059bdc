"""Fitting an adapter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from dlm.domain.events import Emit
from dlm.domain.training import TrainingJob, TrainingOutcome
from dlm.ports.token_cache import TokenStore

FillFolder = Callable[[Path], None]
"""Writes files into an empty folder."""


class CheckpointSink(Protocol):
    """Keeps one resumable checkpoint of a run; ``save`` replaces the previous one atomically."""

    def save(self, fill: FillFolder) -> None: ...


class TrainerPort(Protocol):
    """Fits an adapter to a job's rows and writes it into ``into``, an empty folder.

    The folder ends up with ``adapter_config.json``, ``adapter_model.safetensors``, tokenizer files and the training
    state; it loads with plain PEFT. ``stop()`` is asked after each optimiser step: when it turns true the state is
    written as usual and the outcome says ``interrupted``. Same job, same bytes (on a CPU), whatever ``tokens`` held.

    ``tokens`` keeps the rows as token ids, so that they need not fit into memory and are not tokenised again; without
    it they are kept in memory. ``Tokenized`` is emitted once all rows are there.
    Raises ``TrainingError`` (nothing to learn, diverged, out of memory), ``ResumeError``, ``HardwareError``.
    """

    def train(
        self,
        job: TrainingJob,
        *,
        into: Path,
        checkpoints: CheckpointSink,
        emit: Emit,
        stop: Callable[[], bool],
        tokens: TokenStore | None = None,
    ) -> TrainingOutcome: ...
