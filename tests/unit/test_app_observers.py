"""Several sinks on one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

from dlm.app.observers import observing
from dlm.domain.errors import MetricsError, MissingExtra
from dlm.domain.events import Emit, EvalDone, Event, ExamFinished, Note
from dlm.domain.scalars import BestEffort, scalar_observer
from dlm.ports.metrics import ObservedRun
from dlm.testing.metrics import MemoryMetrics
from dlm.testing.metrics_contract import EXAM, ID, a_run, a_step, finished


@attrs.define(kw_only=True)
class Probe:
    """A sink that writes down what happens to it."""

    name: str = "probe"
    diary: list[str] = attrs.field(factory=list)
    seen: list[ObservedRun] = attrs.field(factory=list)
    on_open: Exception | None = None
    on_event: Exception | None = None
    on_close: Exception | None = None

    @contextmanager
    def observe(self, run: ObservedRun, warn: Callable[[str], None]) -> Iterator[Emit]:
        self.seen.append(run)
        if self.on_open:
            raise self.on_open

        def emit(event: Event) -> None:
            self.diary.append(f"{self.name} {type(event).__name__}")
            if self.on_event:
                raise self.on_event

        try:
            yield emit
        finally:
            self.diary.append(f"{self.name} closed")
        if self.on_close:
            raise self.on_close


def follow(sinks: list[Probe], run: ObservedRun, *events: Event) -> None:
    with observing(run, sinks, pytest.fail) as emit:
        for event in events:
            emit(event)


def test_every_sink_hears_everything_in_order(tmp_path: Path) -> None:
    diary: list[str] = []
    follow([Probe(name="a", diary=diary), Probe(name="b", diary=diary)], a_run(tmp_path), a_step(1), finished())

    heard = ["a StepDone", "b StepDone", "a RunFinished", "b RunFinished"]
    assert diary == [*heard, "b closed", "a closed"]


def test_without_sinks_nothing_happens(tmp_path: Path) -> None:
    follow([], a_run(tmp_path), a_step(1))


def test_strictness_is_the_databases_alone(tmp_path: Path) -> None:
    sinks = [Probe(name="metrics"), Probe(name="tensorboard")]
    follow(sinks, a_run(tmp_path, strict=True))
    assert [sink.seen[0].strict for sink in sinks] == [True, False]


def test_a_sink_that_cannot_open_closes_the_others_and_the_run_does_not_begin(tmp_path: Path) -> None:
    missing = MissingExtra("install.observability", "not there")
    sinks = [Probe(name="a"), Probe(name="b", on_open=missing)]
    with pytest.raises(MissingExtra) as caught:
        follow(sinks, a_run(tmp_path), a_step(1))
    assert caught.value is missing
    assert sinks[0].diary == ["a closed"]


def test_what_the_run_raises_arrives_unchanged_and_all_are_closed(tmp_path: Path) -> None:
    error = KeyboardInterrupt()
    sinks = [Probe(name="a"), Probe(name="b")]

    def break_off() -> None:
        with observing(a_run(tmp_path), sinks, pytest.fail):
            raise error

    with pytest.raises(KeyboardInterrupt) as caught:
        break_off()
    assert caught.value is error
    assert caught.value.__context__ is None
    assert [sink.diary for sink in sinks] == [["a closed"], ["b closed"]]


def test_an_error_at_the_end_reaches_the_caller(tmp_path: Path) -> None:
    error = MetricsError("metrics.unwritable", "the end")
    sinks = [Probe(name="metrics", on_close=error), Probe(name="b")]
    with pytest.raises(MetricsError) as caught:
        follow(sinks, a_run(tmp_path), finished())
    assert caught.value is error
    assert sinks[1].diary[-1] == "b closed"


def test_it_works_with_a_real_kind_of_sink(tmp_path: Path) -> None:
    memory = MemoryMetrics()
    with observing(a_run(tmp_path), (memory,), pytest.fail) as emit:
        emit(a_step(1))
        emit(finished())
    item = memory.history(ID, 1)
    assert item is not None
    assert (item.run.status, len(item.steps)) == ("ok", 1)


def test_numbers_have_names_and_steps() -> None:
    logged: list[tuple[int, dict[str, float]]] = []
    observe = scalar_observer(lambda step, numbers: logged.append((step, dict(numbers))))
    nan = float("nan")
    for event in (
        Note(subject="x", message="y"),
        a_step(4, 2.0),
        a_step(5, nan),
        EvalDone(step=5, val_loss=nan, perplexity=nan),
        ExamFinished(exam=EXAM),
        ExamFinished(exam={"own": "?", "leaks": None}),
    ):
        observe(event)

    assert logged == [
        (4, {"train/loss": 2.0, "train/lr": 1e-4, "train/grad_norm": 0.5}),
        (5, {"train/lr": 1e-4, "train/grad_norm": 0.5}),
        (
            5,
            {
                "exam/own": 0.75,
                "exam/reworded": 0.5,
                "exam/kept": 11 / 12,
                "exam/leaks": 1.0,
                "exam/drift": 0.0421,
            },
        ),
    ]


def test_best_effort_tells_once_and_lets_the_run_be_stopped() -> None:
    said: list[str] = []
    attempt = BestEffort("it", said.append)

    def broken(error: BaseException) -> None:
        raise error

    attempt(broken, ValueError())
    attempt(broken, ValueError("again"))
    assert said == ["it gets no more of this run: ValueError"]
    with pytest.raises(KeyboardInterrupt):
        BestEffort("it", said.append)(broken, KeyboardInterrupt())
