"""Histories of runs for the tests of the history page: a document's life, a single run, nothing but failures."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from dlm.domain.metrics import EvalMetrics, RunHistory, RunMetrics, StepMetrics, TokenizationMetrics

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)

TRACE = "out of memory: the plan needs 9.1 GB, 7.8 GB are free\n" + "\n".join(
    f'  File "model.py", line {n}, in forward' for n in range(40, 60)
)


def a_step(step: int, loss: float | None, at: datetime = NOW, **more: Any) -> StepMetrics:
    return StepMetrics(step=step, loss=loss, at=at, **more)


def a_life(n_runs: int, n_steps: int = 120, seed: int = 7) -> list[RunHistory]:
    """Give the history of a document that grows: most runs succeed, some fail or are cancelled."""
    chance = random.Random(seed)
    runs, version = [], 0
    for run_id in range(1, n_runs + 1):
        status = "failed" if run_id % 7 == 4 else "cancelled" if run_id % 11 == 6 else "ok"
        version += status == "ok"
        runs.append(_a_run(run_id, version if status == "ok" else None, status, n_steps, chance))
    return runs


def _a_run(run_id: int, version: int | None, status: Any, n_steps: int, chance: random.Random) -> RunHistory:
    start = NOW - timedelta(days=40) + timedelta(hours=9 * run_id)
    is_ok = status == "ok"
    steps = 0 if status == "failed" and run_id % 2 == 0 else n_steps if is_ok else n_steps // 3
    seconds = steps * 0.4 + 6 + chance.random() * 5
    curve = [
        a_step(
            step,
            0.04 + 2.6 * math.exp(-step / n_steps * (4 + run_id % 3)) * (1 + 0.16 * chance.gauss(0, 1)),
            start + timedelta(seconds=step * 0.4),
            lr=2e-4 * min(1, step / 10) * (1 - step / (n_steps * 1.05)),
            grad_norm=0.3 + chance.random() + 3 * math.exp(-step / 12),
            tokens_per_sec=900 + chance.random() * 200,
        )
        for step in range(1, steps + 1)
    ]
    looks = [
        EvalMetrics(
            step=step,
            val_loss=(val := 0.5 + 2.1 * math.exp(-step / n_steps * 3.5)),
            perplexity=math.exp(val),
            retention=0.3 + 0.4 * step / n_steps if run_id > 3 else None,
            at=start,
        )
        for step in range(n_steps // 6, steps + 1, max(1, n_steps // 6))
    ]
    run = RunMetrics(
        run_id=run_id,
        started_at=start,
        ended_at=start + timedelta(seconds=seconds),
        adapter_version=version,
        phase="sft",
        seed=1,
        status=status,
        steps=steps,
        seconds=seconds,
        anchor_seconds=seconds * 0.3 if is_ok else None,
        tokens=steps * 420 if steps else None,
        peak_memory_mb=1400 + 11 * min(run_id, 40) if steps else None,
        final_train_loss=curve[-1].loss if curve else None,
        final_val_loss=looks[-1].val_loss if is_ok and looks else None,
        new=3 + run_id % 4,
        unchanged=4 * min(run_id, 30),
        removed=run_id % 3,
        stopped="converged" if is_ok else None,
        message=None if is_ok else TRACE if status == "failed" else "interrupted by Ctrl-C",
    )
    cache = TokenizationMetrics(
        total_sections=20,
        cache_hits=4 * run_id,
        cache_misses=3,
        total_tokenize_seconds=0.1,
        cache_bytes_after=1000,
        at=start,
    )
    return RunHistory(
        run=run,
        steps=tuple(curve),
        evals=tuple(looks),
        tokenization=cache,
        exam=_an_exam(run_id, chance) if is_ok else None,
    )


def _an_exam(run_id: int, chance: random.Random) -> dict[str, Any]:
    asked = 8 + min(run_id, 16) // 2 * 2

    def score(share: float, of: int = asked) -> dict[str, int]:
        return {"right": min(of, round(of * min(1.0, share + chance.random() * 0.08))), "asked": of}

    exam: dict[str, Any] = {
        "own": score(0.86), "reworded": score(0.6 + min(run_id, 12) * 0.02), "prose": score(0.45, 6),
        "kept": score(0.84, 8),
        "leaks": int(run_id % 5 == 0), "probes": 12, "drift": 0.05 + 0.03 * chance.random() + 0.001 * min(run_id, 40),
        "missed": [
            {"kind": "own", "line": 31, "question": "When does the night train to Bergen leave?", "given": "At noon."},
            {"kind": "own", "line": 58, "question": "Which key opens the boat house?", "given": "The red one."},
        ],
    }  # fmt: skip
    if run_id > 4:
        exam |= {"older": score(0.8, 10), "removed": score(0.35, 6)}
    return exam


def only_failures() -> list[RunHistory]:
    """Give runs that ended before their first step."""
    return [
        RunHistory(run=RunMetrics(run_id=n, started_at=NOW + timedelta(hours=n), status="failed", message=TRACE))
        for n in (1, 2, 3)
    ]


HOSTILE = (
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "' onmouseover='document.title=1' \" autofocus onfocus=alert(1) x=\"",
    "--><!--<svg/onload=alert(1)>",
    "\u202eright to left\u202c and \u2066open isolate",
    "line\u2028separator\u2029here",
    "👩🏽‍🚀🇳🇴 emoji, \x00 zero, \x1b[31m escape, \ud800 half",
    "&lt;b&gt; &amp; {{7*7}} ${7*7} `x` \\",
    "]]> <![CDATA[ </style></title><style>body{display:none}",
    "مرحبا بالعالم",
    "word " * 2000,
    "x" * 10_000,
)
"""Texts that a message, a title or a question could hold to do harm or to break the page."""


def hostile_runs() -> list[RunHistory]:
    """Give one run for each hostile text, which stands wherever text can stand."""
    return [
        RunHistory(
            run=RunMetrics(run_id=n, started_at=NOW, status="failed", message=text, stopped=text, phase=text),  # type: ignore[arg-type]
            steps=(a_step(1, 2.0), a_step(2, math.nan), a_step(3, 1.0)),
            exam={
                "own": {"right": 1, "asked": 2},
                "missed": [{"kind": "own", "line": 3, "question": text}],
                text: text,
            },
        )
        for n, text in enumerate(HOSTILE, 1)
    ]
