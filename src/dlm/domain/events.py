"""Typed events of long work. Progress bars, logs and notebooks are observers of one stream; nothing below prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import attrs

Severity = Literal["info", "warning"]


@attrs.frozen(kw_only=True)
class Event:
    """Base of all events."""


@attrs.frozen(kw_only=True)
class Note(Event):
    """Something a person should know: a fallback with its reason, a warning, an estimate."""

    subject: str
    message: str
    severity: Severity = "info"


@attrs.frozen(kw_only=True)
class Progress(Event):
    """Work done so far in one stage; ``total`` is None when unknown."""

    stage: str
    done: int
    total: int | None
    unit: str = ""


@attrs.frozen(kw_only=True)
class RunStarted(Event):
    """First event of a run: what will be done and why."""

    run_id: int
    seed: int
    determinism_class: str
    determinism_notes: tuple[str, ...]
    versions: Mapping[str, str | None]
    plan: Mapping[str, Any]
    recipe: Mapping[str, Any]
    phase: str = "sft"


@attrs.frozen(kw_only=True)
class DeltaFound(Event):
    """Section ids against the last successful run."""

    new: tuple[str, ...]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...]


@attrs.frozen(kw_only=True)
class StepDone(Event):
    """One optimiser step. ``loss`` in nats per supervised token; ``anchor_loss`` in nats per anchor token."""

    step: int
    total_steps: int
    loss: float
    lr: float
    grad_norm: float
    tokens_per_s: float
    anchor_loss: float | None = None
    peak_memory_mb: int | None = None


@attrs.frozen(kw_only=True)
class EvalDone(Event):
    """One evaluation on the held-out rows."""

    step: int
    val_loss: float
    perplexity: float


@attrs.frozen(kw_only=True)
class Tokenized(Event):
    """All rows are token ids. Hits and misses of the cache count rows."""

    total_sections: int
    cache_hits: int
    cache_misses: int
    seconds: float
    cache_bytes_after: int


@attrs.frozen(kw_only=True)
class RetentionMeasured(Event):
    """Loss over sections that left the document and were kept out of training, before and after the run."""

    step: int
    loss: float
    loss_before: float
    sections: int


@attrs.frozen(kw_only=True)
class CheckpointSaved(Event):
    """A resumable checkpoint replaced the previous one."""

    step: int


@attrs.frozen(kw_only=True)
class ExamFinished(Event):
    """The exam's result, as ``Exam.to_json``."""

    exam: Mapping[str, Any]


@attrs.frozen(kw_only=True)
class RunFinished(Event):
    """Last event of a run. ``adapter_version`` is None when nothing was committed."""

    run_id: int
    status: Literal["completed", "failed", "cancelled"]
    adapter_version: int | None
    steps: int
    elapsed_s: float
    early_stopped: bool
    summary_path: str | None
    message: str | None = None
    stopped: str | None = None
    tokens: int | None = None
    anchor_s: float | None = None
    peak_memory_mb: int | None = None
    final_train_loss: float | None = None
    final_val_loss: float | None = None


@attrs.frozen(kw_only=True)
class PeerAnswered(Event):
    """A peer server is done with a request; comes from the server's thread.

    Args:
        path: without the query, and so without the token; cut where it is not one of ours.
        client: the address it came from.
        sent_bytes: of the pack or signature; 0 for a refusal.
        is_complete: whether all that was asked for was handed to the network.
    """

    method: str
    path: str
    status: int
    client: str
    sent_bytes: int = 0
    is_complete: bool = True


Emit = Callable[[Event], None]
"""An observer. What it raises ends the work it observes, and reaches the caller unchanged."""


def ignore(_: Event) -> None:
    """Observe nothing."""
