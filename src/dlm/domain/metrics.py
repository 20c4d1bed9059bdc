"""What is known about runs after they happened: one value per table of the metrics database.

Losses are nats per supervised token; times are UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import attrs

RunPhase = Literal["sft", "cpt", "dpo", "orpo"]
MetricStatus = Literal["running", "ok", "failed", "cancelled"]


@attrs.frozen(kw_only=True)
class RunMetrics:
    """One run. Fields below ``status`` are None in databases that other programs wrote.

    Args:
        adapter_version: the version it committed; None when nothing was.
        adapter_name: of a document with several adapters.
        steps: optimiser steps of the adapter in all.
        seconds: from start to end; ``anchor_seconds`` of them held on to ordinary answers.
        tokens: tokens that went through the model.
        peak_memory_mb: of the process, or of the device when there is one.
        new, unchanged, removed: sections against the last successful run.
        stopped: why it ended: completed, converged, early-stopped, max-steps, interrupted.
        message: of the error that ended it.
    """

    run_id: int
    started_at: datetime
    ended_at: datetime | None = None
    adapter_version: int | None = None
    phase: RunPhase | None = None
    seed: int | None = None
    status: MetricStatus | None = None
    adapter_name: str | None = None
    steps: int | None = None
    seconds: float | None = None
    anchor_seconds: float | None = None
    tokens: int | None = None
    peak_memory_mb: int | None = None
    final_train_loss: float | None = None
    final_val_loss: float | None = None
    new: int | None = None
    unchanged: int | None = None
    removed: int | None = None
    stopped: str | None = None
    message: str | None = None


@attrs.frozen(kw_only=True)
class StepMetrics:
    """One optimiser step."""

    step: int
    loss: float | None = None
    lr: float | None = None
    grad_norm: float | None = None
    tokens_per_sec: float | None = None
    peak_vram_mb: int | None = None
    at: datetime


@attrs.frozen(kw_only=True)
class EvalMetrics:
    """One look at held-out rows. ``retention`` is the loss over sections that are no longer in the document."""

    step: int
    val_loss: float | None = None
    perplexity: float | None = None
    retention: float | None = None
    at: datetime


@attrs.frozen(kw_only=True)
class ExportMetrics:
    """One export: what it took. ``size_bytes`` of all files, ``duration_s`` from the order to the last check."""

    exported_at: datetime
    quant: str | None = None
    merged: bool = False
    ollama_name: str | None = None
    size_bytes: int | None = None
    duration_s: float | None = None


@attrs.frozen(kw_only=True)
class TokenizationMetrics:
    """How a run got its tokens: ``cache_hits`` and ``cache_misses`` count rows."""

    total_sections: int
    cache_hits: int
    cache_misses: int
    total_tokenize_seconds: float
    cache_bytes_after: int
    at: datetime

    @property
    def hit_rate(self) -> float | None:
        """Share of rows that came from the cache, 0 to 1; None when there were none."""
        asked = self.cache_hits + self.cache_misses
        return self.cache_hits / asked if asked else None


@attrs.frozen(kw_only=True)
class RunFilter:
    """Which runs to give: newest first, at most ``limit`` of them (None: all)."""

    run_id: int | None = None
    phase: RunPhase | None = None
    since: datetime | None = None
    limit: int | None = 20


@attrs.frozen(kw_only=True)
class MiningMetrics:
    """One search for preference pairs: prompts sampled, pairs found and how they were written."""

    judge_name: str
    sample_count: int
    mined_pairs: int
    skipped_prompts: int
    write_mode: str
    at: datetime


@attrs.frozen(kw_only=True)
class RunHistory:
    """One run with all that was measured; ``exam`` as ``Exam.to_json``."""

    run: RunMetrics
    steps: tuple[StepMetrics, ...] = ()
    evals: tuple[EvalMetrics, ...] = ()
    tokenization: TokenizationMetrics | None = None
    exam: Mapping[str, Any] | None = None
    preference_mining: tuple[MiningMetrics, ...] = ()


def exam_score(exam: Mapping[str, Any] | None, part: str) -> tuple[int, int] | None:
    """Give right and asked of one part (``own``, ``reworded``, ``prose``, ``kept``) of a stored exam; None when it
    does not say."""
    score = exam.get(part) if exam else None
    right, asked = (score.get("right"), score.get("asked")) if isinstance(score, Mapping) else (None, None)
    return (right, asked) if isinstance(right, int) and isinstance(asked, int) else None
