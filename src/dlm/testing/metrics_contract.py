"""What every metrics store must do. Subclass it and provide the fixtures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlm.domain.errors import Interrupted
from dlm.domain.events import (
    DeltaFound,
    EvalDone,
    Event,
    ExamFinished,
    Note,
    RetentionMeasured,
    RunFinished,
    RunStarted,
    StepDone,
    Tokenized,
)
from dlm.domain.metrics import EvalMetrics, ExportMetrics, MetricStatus, RunFilter, StepMetrics
from dlm.ports.metrics import MetricsPort, ObservedRun
from dlm.testing.clocks import A_MOMENT, FixedClock

ID = "01KPXZ0000000000000000000A"
OTHER_ID = "01KPXZ0000000000000000000B"

EXAM: dict[str, Any] = {
    "own": {"right": 3, "asked": 4},
    "reworded": {"right": 2, "asked": 4},
    "prose": {"right": 0, "asked": 0},
    "kept": {"right": 11, "asked": 12},
    "leaks": 1,
    "probes": 16,
    "drift": 0.0421,
    "missed": [{"kind": "own", "line": 7, "question": "Wer wohnt dort?", "given": "niemand"}],
}

_numbers = st.floats(allow_nan=True, allow_infinity=True)
_whole = st.integers(0, 2**40)
_steps = st.builds(
    StepDone,
    step=st.integers(1, 30),
    total_steps=st.just(30),
    loss=_numbers,
    lr=_numbers,
    grad_norm=_numbers,
    tokens_per_s=_numbers,
    peak_memory_mb=st.none() | _whole,
)
_looks = st.builds(EvalDone, step=st.integers(0, 30), val_loss=_numbers, perplexity=_numbers)
_kept = st.builds(
    RetentionMeasured, step=st.integers(0, 30), loss=_numbers, loss_before=st.just(1.0), sections=st.just(1)
)
_tokens = st.builds(
    Tokenized,
    total_sections=_whole,
    cache_hits=_whole,
    cache_misses=_whole,
    seconds=st.floats(0, 1e9),
    cache_bytes_after=_whole,
)
events = st.lists(st.one_of(_steps, _looks, _kept, _tokens), max_size=40)


def a_step(step: int, loss: float = 1.0) -> StepDone:
    return StepDone(step=step, total_steps=100, loss=loss, lr=1e-4, grad_norm=0.5, tokens_per_s=200.0)


def finished(status: Any = "completed", **changes: Any) -> RunFinished:
    values: dict[str, Any] = {
        "run_id": 1,
        "status": status,
        "adapter_version": 3,
        "steps": 7,
        "elapsed_s": 12.5,
        "early_stopped": False,
        "summary_path": None,
    }
    return RunFinished(**{**values, **changes})


def a_run(store: Path, run_id: int = 1, **changes: Any) -> ObservedRun:
    run = ObservedRun(dlm_id=ID, store=store, run_id=run_id, started_at=A_MOMENT, seed=42)
    return attrs.evolve(run, **changes)


class MetricsContract:
    """Contract of ``MetricsPort``.

    A subclass provides the fixtures ``clock``, ``port``, and ``locate``, which gives the store of a document.
    """

    @pytest.fixture
    def clock(self) -> FixedClock:
        return FixedClock()

    def keep(self, port: MetricsPort, run: ObservedRun, told: Iterable[Event]) -> None:
        """Observe a whole run that warns of nothing."""
        warnings: list[str] = []
        with port.observe(run, warnings.append) as emit:
            for event in told:
                emit(event)
        assert warnings == []

    def test_a_document_without_runs_has_none(self, port: MetricsPort) -> None:
        assert port.runs(ID, RunFilter()) == ()
        assert port.history(ID, 1) is None
        assert (port.steps(ID, 1), port.evals(ID, 1)) == ((), ())
        assert (port.tokenization(ID, 1), port.exam(ID, 1)) == (None, None)

    def test_a_run_tells_everything(self, port: MetricsPort, locate: Callable[[str], Path]) -> None:
        started = RunStarted(
            run_id=1,
            seed=7,
            determinism_class="strong",
            determinism_notes=(),
            versions={},
            plan={},
            recipe={},
            phase="cpt",
        )
        end = finished(
            stopped="converged",
            tokens=900,
            anchor_s=2.5,
            peak_memory_mb=800,
            final_train_loss=0.5,
            final_val_loss=0.75,
            message="all well",
        )
        delta = DeltaFound(new=("a", "b"), unchanged=("c",), removed=())
        tokens = Tokenized(total_sections=3, cache_hits=2, cache_misses=6, seconds=0.5, cache_bytes_after=4096)
        told = [started, delta, Note(subject="x", message="y"), tokens, a_step(1), ExamFinished(exam=EXAM), end]
        self.keep(port, a_run(locate(ID), adapter_name="tone"), told)

        (run,) = port.runs(ID, RunFilter())
        assert (run.status, run.phase, run.seed, run.adapter_version) == ("ok", "cpt", 7, 3)
        assert (run.steps, run.seconds, run.anchor_seconds, run.tokens) == (7, 12.5, 2.5, 900)
        assert (run.peak_memory_mb, run.final_train_loss, run.final_val_loss) == (800, 0.5, 0.75)
        assert (run.new, run.unchanged, run.removed) == (2, 1, 0)
        assert (run.stopped, run.message, run.adapter_name) == ("converged", "all well", "tone")
        assert (run.started_at, run.ended_at) == (A_MOMENT, A_MOMENT)
        tokenization = port.tokenization(ID, 1)
        assert tokenization is not None
        assert (tokenization.hit_rate, tokenization.cache_bytes_after) == (0.25, 4096)
        assert port.exam(ID, 1) == EXAM

    def test_history_is_all_of_it_at_once(self, port: MetricsPort, locate: Callable[[str], Path]) -> None:
        look = EvalDone(step=2, val_loss=1.0, perplexity=2.7)
        self.keep(port, a_run(locate(ID)), [a_step(1), a_step(2), look, ExamFinished(exam=EXAM), finished()])

        item = port.history(ID, 1)
        assert item is not None
        assert (item.run,) == port.runs(ID, RunFilter())
        assert item.steps == port.steps(ID, 1)
        assert item.evals == port.evals(ID, 1)
        assert item.exam == EXAM
        assert item.preference_mining == ()

    def test_what_is_observed_is_read_back(self, port: MetricsPort, locate: Callable[[str], Path]) -> None:
        """Steps and evaluations come in order, the last of each step counts, and what is no number is unknown."""

        @settings(max_examples=30, deadline=None)
        @given(told=events)
        def law(told: list[Event]) -> None:
            run_id = max((run.run_id for run in port.runs(ID, RunFilter(limit=1))), default=0) + 1
            self.keep(port, a_run(locate(ID), run_id), [*told, finished()])
            _check_steps(told, port.steps(ID, run_id))
            _check_looks(told, port.evals(ID, run_id))
            last = next((event for event in reversed(told) if isinstance(event, Tokenized)), None)
            tokens = port.tokenization(ID, run_id)
            assert (tokens and tokens.cache_misses) == (last and last.cache_misses)

        law()

    @pytest.mark.parametrize("after", [-1, 0, 1, 5, 29, 30, 40])
    def test_only_later_steps_are_given(self, after: int, port: MetricsPort, locate: Callable[[str], Path]) -> None:
        looks = [EvalDone(step=step, val_loss=1.0, perplexity=2.0) for step in range(0, 31, 5)]
        self.keep(port, a_run(locate(ID)), [*map(a_step, range(1, 31)), *looks, finished()])

        assert [step.step for step in port.steps(ID, 1, after=after)] == list(range(max(after + 1, 1), 31))
        assert [look.step for look in port.evals(ID, 1, after=after)] == [n for n in range(0, 31, 5) if n > after]

    @pytest.mark.parametrize(
        ("which", "wanted"),
        [
            (RunFilter(), [4, 3, 2, 1]),
            (RunFilter(limit=None), [4, 3, 2, 1]),
            (RunFilter(limit=2), [4, 3]),
            (RunFilter(run_id=2), [2]),
            (RunFilter(run_id=9), []),
            (RunFilter(phase="dpo"), [4, 2]),
            (RunFilter(phase="dpo", limit=1), [4]),
            (RunFilter(phase="orpo"), []),
            (RunFilter(run_id=1, phase="dpo"), []),
            (RunFilter(since=A_MOMENT + timedelta(hours=3)), [4, 3]),
            (RunFilter(since=A_MOMENT + timedelta(hours=5)), []),
        ],
        ids=str,
    )
    def test_runs_are_chosen_newest_first(
        self, which: RunFilter, wanted: list[int], port: MetricsPort, locate: Callable[[str], Path]
    ) -> None:
        for run_id in (1, 2, 3, 4):
            phase = "sft" if run_id % 2 else "dpo"
            moment = A_MOMENT + timedelta(hours=run_id)
            self.keep(port, a_run(locate(ID), run_id, phase=phase, started_at=moment), [finished()])

        assert [run.run_id for run in port.runs(ID, which)] == wanted

    @pytest.mark.parametrize(
        ("told", "status"), [("completed", "ok"), ("failed", "failed"), ("cancelled", "cancelled")]
    )
    def test_the_end_is_as_it_was_told(
        self, told: Any, status: MetricStatus, port: MetricsPort, locate: Callable[[str], Path]
    ) -> None:
        self.keep(port, a_run(locate(ID)), [finished(told)])

        assert port.runs(ID, RunFilter())[0].status == status

    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (RuntimeError("broken"), "failed"),
            (KeyboardInterrupt(), "cancelled"),
            (Interrupted("train.interrupted", "stopped"), "cancelled"),
            (SystemExit(3), "failed"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_an_exception_passes_untouched_and_is_recorded(
        self, error: BaseException, status: MetricStatus, port: MetricsPort, locate: Callable[[str], Path]
    ) -> None:
        def break_off() -> None:
            with port.observe(a_run(locate(ID)), lambda _: None) as emit:
                emit(a_step(5))
                raise error

        with pytest.raises(type(error)) as caught:
            break_off()

        assert caught.value is error
        (run,) = port.runs(ID, RunFilter())
        assert (run.status, run.steps, run.adapter_version) == (status, 5, None)
        assert run.ended_at is not None
        assert [step.step for step in port.steps(ID, 1)] == [5]

    def test_leaving_without_a_word_is_a_failure(self, port: MetricsPort, locate: Callable[[str], Path]) -> None:
        self.keep(port, a_run(locate(ID)), [a_step(1)])

        assert port.runs(ID, RunFilter())[0].status == "failed"

    def test_a_run_under_way_says_so(self, port: MetricsPort, locate: Callable[[str], Path]) -> None:
        with port.observe(a_run(locate(ID)), lambda _: None) as emit:
            assert port.runs(ID, RunFilter())[0].status == "running"
            emit(finished())
        assert port.runs(ID, RunFilter())[0].status == "ok"

    def test_exports_are_kept_beside_the_runs(self, port: MetricsPort, locate: Callable[[str], Path]) -> None:
        assert port.exports(ID) == ()
        plain = ExportMetrics(exported_at=A_MOMENT, quant="Q8_0", size_bytes=1 << 40, duration_s=2.5)
        later = ExportMetrics(
            exported_at=A_MOMENT + timedelta(seconds=1), quant="hf", merged=True, ollama_name="ada/notes:v0001"
        )
        for export in (plain, later):
            port.add_export(ID, export)
        assert port.exports(ID) == (later, plain)
        assert port.exports(OTHER_ID) == ()
        assert port.runs(ID, RunFilter()) == ()

    def test_a_copy_holds_what_was_there(
        self, port: MetricsPort, locate: Callable[[str], Path], tmp_path: Path
    ) -> None:
        port.add_export(ID, ExportMetrics(exported_at=A_MOMENT, quant="Q8_0"))
        with port.observe(a_run(locate(ID)), lambda _: None):
            port.backup(ID, tmp_path / "copy")
        assert (tmp_path / "copy").stat().st_size > 0
        assert [path.name for path in tmp_path.glob("copy*")] == ["copy"]

    def test_documents_do_not_meet(self, port: MetricsPort, locate: Callable[[str], Path]) -> None:
        self.keep(port, a_run(locate(ID)), [a_step(1), finished()])
        self.keep(port, a_run(locate(OTHER_ID), dlm_id=OTHER_ID), [a_step(2), finished("failed")])

        assert [step.step for step in port.steps(ID, 1)] == [1]
        assert [step.step for step in port.steps(OTHER_ID, 1)] == [2]
        assert port.runs(OTHER_ID, RunFilter())[0].status == "failed"


def _check_steps(told: Sequence[Event], got: Sequence[StepMetrics]) -> None:
    wanted = {event.step: event for event in told if isinstance(event, StepDone)}
    assert [step.step for step in got] == sorted(wanted)
    for step in got:
        event = wanted[step.step]
        figures = (event.loss, event.lr, event.grad_norm, event.tokens_per_s)
        assert (step.loss, step.lr, step.grad_norm, step.tokens_per_sec) == tuple(map(_known, figures))
        assert step.peak_vram_mb == event.peak_memory_mb


def _check_looks(told: Sequence[Event], got: Sequence[EvalMetrics]) -> None:
    looks = {event.step: event for event in told if isinstance(event, EvalDone)}
    kept = {event.step: event for event in told if isinstance(event, RetentionMeasured)}
    assert [look.step for look in got] == sorted(looks.keys() | kept.keys())
    for look in got:
        measured = looks.get(look.step)
        figures = (measured.val_loss, measured.perplexity) if measured else (math.nan, math.nan)
        assert (look.val_loss, look.perplexity) == tuple(map(_known, figures))
        assert look.retention == (_known(kept[look.step].loss) if look.step in kept else None)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
