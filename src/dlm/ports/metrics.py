"""Remembering what runs told, and reading it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import attrs

from dlm.domain.events import Emit
from dlm.domain.metrics import (
    EvalMetrics,
    ExportMetrics,
    RunFilter,
    RunHistory,
    RunMetrics,
    RunPhase,
    StepMetrics,
    TokenizationMetrics,
)


@attrs.frozen(kw_only=True)
class ObservedRun:
    """The run whose events are coming.

    Args:
        store: the document's store; sinks keep their files inside it.
        adapter_name: of a document with several adapters.
        strict: a write that fails ends the run; otherwise it is told once per stream and the run goes on.
    """

    dlm_id: str
    store: Path
    run_id: int
    started_at: datetime
    phase: RunPhase = "sft"
    seed: int
    adapter_name: str | None = None
    strict: bool = False


class RunSink(Protocol):
    """Keeps the events of a run somewhere: the metrics database, TensorBoard, Weights & Biases."""

    @property
    def name(self) -> str: ...

    def observe(self, run: ObservedRun, warn: Callable[[str], None]) -> AbstractContextManager[Emit]:
        """Give an observer for one run. Leaving the block writes what is still waiting and lets go of everything; it
        never hides the exception that is on its way.

        Args:
            warn: told once about each stream that cannot be written; called in the thread that emits.

        Raises:
            MetricsError: the run's start or end cannot be written, or anything with ``strict``.
            MissingExtra: the package behind the sink is not installed.
        """
        ...


class MetricsPort(RunSink, Protocol):
    """The metrics of each store. Reading creates nothing: a store without metrics gives empty results.

    Raises ``MetricsError`` for a database that is there and cannot be read, with what to do.
    """

    def runs(self, dlm_id: str, which: RunFilter) -> tuple[RunMetrics, ...]:
        """Give the chosen runs, newest first. A run that was killed says ``running`` until the next one starts."""
        ...

    def history(self, dlm_id: str, run_id: int) -> RunHistory | None:
        """Give everything about one run as it stood at one moment; None when there is no such run."""
        ...

    def steps(self, dlm_id: str, run_id: int, *, after: int = -1) -> tuple[StepMetrics, ...]:
        """Give the steps of a run above ``after``, in order; evaluations may begin at step 0."""
        ...

    def evals(self, dlm_id: str, run_id: int, *, after: int = -1) -> tuple[EvalMetrics, ...]: ...

    def tokenization(self, dlm_id: str, run_id: int) -> TokenizationMetrics | None: ...

    def exam(self, dlm_id: str, run_id: int) -> Mapping[str, Any] | None: ...

    def add_export(self, dlm_id: str, export: ExportMetrics) -> None:
        """Keep the figures of an export. Raises ``MetricsError`` when they cannot be written."""
        ...

    def backup(self, dlm_id: str, into: Path) -> None:
        """Write a copy of the database as it stands at one moment, whole even while a training writes to it."""
        ...

    def exports(self, dlm_id: str) -> tuple[ExportMetrics, ...]:
        """Give all exports, newest first."""
        ...
