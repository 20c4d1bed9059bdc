"""The run's own log: one JSON object a line, and the summary at the end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import attrs

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
from dlm.domain.numbers import perplexity
from dlm.domain.report import RunReport
from dlm.domain.sources import DirectiveCounts
from dlm.domain.training import TrainingOutcome
from dlm.domain.versions import installed_versions
from dlm.ports.clock import Clock
from dlm.ports.store import StoreWriter


def run_name(run_id: int, started: datetime) -> str:
    """Give the stem of a run's files, ``train-000003-20260423T184211``."""
    return f"train-{run_id:06d}-{started:%Y%m%dT%H%M%S}"


class RunLog:
    """Writes events to the run's log and passes them on."""

    def __init__(self, writer: StoreWriter, name: str, clock: Clock) -> None:
        self._writer = writer
        self._name = name
        self._clock = clock
        self.versions = installed_versions()

    def before(self, then: Emit) -> Emit:
        """Give an observer that logs an event when it belongs in the log, then hands it to the next observer."""

        def emit(event: Event) -> None:
            record = self._record(event)
            if record is not None:
                self._writer.append_log(self._name, record)
            then(event)

        return emit

    def _record(self, event: Event) -> dict[str, Any] | None:
        match event:
            case RunStarted():
                return {
                    "type": "banner",
                    "run_id": event.run_id,
                    "seed": event.seed,
                    "determinism_class": event.determinism_class,
                    "determinism_notes": list(event.determinism_notes),
                    "pinned_versions": sorted([name, version] for name, version in event.versions.items()),
                    "plan": dict(event.plan),
                    "recipe": dict(event.recipe),
                }
            case DeltaFound():
                return {"type": "delta", "new": event.new, "unchanged": event.unchanged, "removed": event.removed}
            case EvalDone():
                return {"type": "eval", "step": event.step, "val_loss": event.val_loss, "perplexity": event.perplexity}
            case StepDone():
                return {
                    "type": "step",
                    "step": event.step,
                    "loss": event.loss,
                    "lr": event.lr,
                    "grad_norm": event.grad_norm,
                    "tokens_per_sec": event.tokens_per_s,
                    "val_loss": None,  # evaluations have lines of their own; other readers of this log expect the key
                    "anchor_loss": event.anchor_loss,
                    "timestamp": f"{self._clock.now():%Y-%m-%dT%H:%M:%S}",
                }
            case RetentionMeasured():
                return {
                    "type": "retention",
                    "step": event.step,
                    "loss": event.loss,
                    "loss_before": event.loss_before,
                    "sections": event.sections,
                }
            case Tokenized():
                return {"type": "tokenization", **attrs.asdict(event)}
            case ExamFinished():
                return {"type": "exam", **event.exam}
            case RunFinished():
                return {
                    "type": "run_complete",
                    "run_id": event.run_id,
                    "status": event.status,
                    "adapter_version": event.adapter_version,
                    "steps": event.steps,
                    "elapsed_seconds": event.elapsed_s,
                    "early_stopped": event.early_stopped,
                    "summary_path": event.summary_path,
                    "message": event.message,
                }
        return None


def run_summary(
    report: RunReport, outcome: TrainingOutcome, directives: Sequence[DirectiveCounts] = ()
) -> dict[str, Any]:
    """Give the run summary; numbers that are unknown are None."""
    val_loss = report.final_val_loss
    kept = {part: after for part, (_, after) in outcome.retention.items()}
    gained = {part: after - before for part, (before, after) in outcome.retention.items()}
    return {
        "run_id": report.run_id,
        "adapter_version": report.adapter_version,
        "seed": report.recipe.seed if report.recipe else None,
        "final_train_loss": report.final_train_loss,
        "final_val_loss": val_loss,
        "final_val_perplexity": None if val_loss is None else perplexity(val_loss),
        "train_loss_cpt": outcome.train_losses.get("prose"),
        "train_loss_sft": outcome.train_losses.get("instruction"),
        "val_loss_cpt": outcome.val_losses.get("prose"),
        "val_loss_sft": outcome.val_losses.get("instruction"),
        "retention_loss": kept.get("all"),
        "retention_loss_delta": gained.get("all"),
        "retention_cpt": kept.get("prose"),
        "retention_sft": kept.get("instruction"),
        "probes": [
            {
                "prompt": graded.question.text,
                "response": graded.given,
                "reference": graded.question.wanted,
                "section_id": graded.question.section_id,
            }
            for graded in (report.exam.graded if report.exam else ())
            if graded.question.kind == "own"
        ],
        "exam": report.exam.to_json() if report.exam else None,
        "early_stopped": outcome.stopped == "early-stopped",
        "stopped": outcome.stopped,
        "steps": outcome.steps,
        "duration_seconds": report.seconds,
        "anchor_seconds": outcome.anchor_seconds,
        "determinism_class": report.determinism_class,
        "source_directives": [attrs.asdict(counts) for counts in directives],
    }
