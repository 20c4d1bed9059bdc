"""Metrics that live as long as the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import attrs

from dlm.domain.errors import Interrupted
from dlm.domain.events import (
    DeltaFound,
    Emit,
    EvalDone,
    Event,
    ExamFinished,
    RetentionMeasured,
    RunFinished,
    RunStarted,
    StepDone,
    Tokenized,
)
from dlm.domain.json_record import finite
from dlm.domain.metrics import (
    EvalMetrics,
    ExportMetrics,
    RunFilter,
    RunHistory,
    RunMetrics,
    StepMetrics,
    TokenizationMetrics,
)
from dlm.ports.clock import Clock
from dlm.ports.metrics import ObservedRun
from dlm.testing.clocks import FixedClock


class MemoryMetrics:
    """Keeps ``MetricsPort``'s contract without a disk. ``observed`` lists every run it was asked to observe."""

    name = "metrics"

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or FixedClock()
        self._runs: dict[str, dict[int, RunHistory]] = {}
        self.observed: list[ObservedRun] = []
        self._exports: dict[str, list[ExportMetrics]] = {}

    @contextmanager
    def observe(self, run: ObservedRun, warn: Callable[[str], None]) -> Iterator[Emit]:
        self.observed.append(run)
        shelf = self._runs.setdefault(run.dlm_id, {})
        for run_id, item in shelf.items():
            if item.run.status == "running":
                shelf[run_id] = attrs.evolve(item, run=attrs.evolve(item.run, status="failed", ended_at=_last(item)))
        begun = RunMetrics(
            run_id=run.run_id,
            started_at=run.started_at,
            phase=run.phase,
            seed=run.seed,
            status="running",
            adapter_name=run.adapter_name,
        )
        shelf[run.run_id] = RunHistory(run=begun)

        def emit(event: Event) -> None:
            shelf[run.run_id] = self._folded(shelf[run.run_id], event)

        try:
            yield emit
        except (KeyboardInterrupt, Interrupted):
            self._end(shelf, run.run_id, "cancelled")
            raise
        finally:
            self._end(shelf, run.run_id, "failed")

    def _end(self, shelf: dict[int, RunHistory], run_id: int, status: str) -> None:
        item = shelf[run_id]
        if item.run.status == "running":
            now = self._clock.now()
            run = attrs.evolve(item.run, status=cast(Any, status), ended_at=now)
            run = attrs.evolve(run, steps=max((step.step for step in item.steps), default=0))
            shelf[run_id] = attrs.evolve(item, run=run)

    def _folded(self, item: RunHistory, event: Event) -> RunHistory:
        now = self._clock.now()
        match event:
            case StepDone(step=step):
                made = StepMetrics(
                    step=step,
                    loss=finite(event.loss),
                    lr=finite(event.lr),
                    grad_norm=finite(event.grad_norm),
                    tokens_per_sec=finite(event.tokens_per_s),
                    peak_vram_mb=event.peak_memory_mb,
                    at=now,
                )
                others = [other for other in item.steps if other.step != step]
                return attrs.evolve(item, steps=tuple(sorted([*others, made], key=lambda one: one.step)))
            case EvalDone():
                figures = {"val_loss": finite(event.val_loss), "perplexity": finite(event.perplexity)}
                return self._looked(item, event.step, figures)
            case RetentionMeasured():
                return self._looked(item, event.step, {"retention": finite(event.loss)})
            case Tokenized():
                tokens = TokenizationMetrics(
                    total_sections=event.total_sections,
                    cache_hits=event.cache_hits,
                    cache_misses=event.cache_misses,
                    total_tokenize_seconds=event.seconds,
                    cache_bytes_after=event.cache_bytes_after,
                    at=now,
                )
                return attrs.evolve(item, tokenization=tokens)
            case ExamFinished():
                return attrs.evolve(item, exam=finite(event.exam))
            case _:
                return attrs.evolve(item, run=_told(item.run, event, self._clock))

    def _looked(self, item: RunHistory, step: int, figures: dict[str, Any]) -> RunHistory:
        now = self._clock.now()
        looks = {look.step: look for look in item.evals}
        looks[step] = attrs.evolve(looks.get(step, EvalMetrics(step=step, at=now)), at=now, **figures)
        return attrs.evolve(item, evals=tuple(looks[number] for number in sorted(looks)))

    def runs(self, dlm_id: str, which: RunFilter) -> tuple[RunMetrics, ...]:
        newest_first = [item.run for _, item in sorted(self._runs.get(dlm_id, {}).items(), reverse=True)]
        chosen = [
            run
            for run in newest_first
            if which.run_id in (None, run.run_id)
            and which.phase in (None, run.phase)
            and (which.since is None or run.started_at >= which.since)
        ]
        return tuple(chosen[: which.limit])

    def history(self, dlm_id: str, run_id: int) -> RunHistory | None:
        return self._runs.get(dlm_id, {}).get(run_id)

    def steps(self, dlm_id: str, run_id: int, *, after: int = -1) -> tuple[StepMetrics, ...]:
        item = self.history(dlm_id, run_id)
        return tuple(step for step in item.steps if step.step > after) if item else ()

    def evals(self, dlm_id: str, run_id: int, *, after: int = -1) -> tuple[EvalMetrics, ...]:
        item = self.history(dlm_id, run_id)
        return tuple(look for look in item.evals if look.step > after) if item else ()

    def tokenization(self, dlm_id: str, run_id: int) -> TokenizationMetrics | None:
        item = self.history(dlm_id, run_id)
        return item.tokenization if item else None

    def exam(self, dlm_id: str, run_id: int) -> Mapping[str, Any] | None:
        item = self.history(dlm_id, run_id)
        return item.exam if item else None

    def add_export(self, dlm_id: str, export: ExportMetrics) -> None:
        self._exports.setdefault(dlm_id, []).insert(0, export)

    def backup(self, dlm_id: str, into: Path) -> None:
        into.write_text(repr(self._runs.get(dlm_id)), encoding="utf-8")

    def exports(self, dlm_id: str) -> tuple[ExportMetrics, ...]:
        return tuple(self._exports.get(dlm_id, ()))


def _told(run: RunMetrics, event: Event, clock: Clock) -> RunMetrics:
    """Give the run's own row after an event about the run as a whole."""
    match event:
        case RunStarted():
            return attrs.evolve(run, phase=cast(Any, event.phase), seed=event.seed)
        case DeltaFound():
            return attrs.evolve(run, new=len(event.new), unchanged=len(event.unchanged), removed=len(event.removed))
        case RunFinished():
            return attrs.evolve(
                run,
                status="ok" if event.status == "completed" else event.status,
                ended_at=clock.now(),
                adapter_version=event.adapter_version,
                steps=event.steps,
                seconds=finite(event.elapsed_s),
                anchor_seconds=finite(event.anchor_s),
                tokens=event.tokens,
                peak_memory_mb=event.peak_memory_mb,
                final_train_loss=finite(event.final_train_loss),
                final_val_loss=finite(event.final_val_loss),
                stopped=event.stopped or ("early-stopped" if event.early_stopped else None),
                message=event.message,
            )
        case _:
            return run


def _last(item: RunHistory) -> Any:
    return max((step.at for step in item.steps), default=item.run.started_at)
