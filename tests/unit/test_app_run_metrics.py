"""Every run has its row in the metrics, however it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dlm.domain.errors import Interrupted, MetricsError, TrainingError
from dlm.domain.events import Note, StepDone
from dlm.domain.metrics import RunFilter, RunMetrics
from dlm.testing.metrics import MemoryMetrics
from run_cases import BODY, ID, FailingTrainer, Scene, a_document


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(folder=tmp_path)


def runs(scene: Scene) -> tuple[RunMetrics, ...]:
    return scene.metrics.runs(ID, RunFilter(limit=None))


def test_a_run_is_there_with_its_steps_its_exam_and_its_costs(scene: Scene) -> None:
    report = scene.train(a_document())
    (run,) = runs(scene)
    assert (run.status, run.phase, run.seed, run.adapter_version) == ("ok", "sft", 42, 1)
    assert (run.steps, run.new, run.unchanged, run.removed) == (report.steps, 2, 0, 0)
    assert (run.tokens, run.stopped) == (report.steps, "completed")
    steps = scene.metrics.steps(ID, 1)
    assert [step.step for step in steps] == [step.step for step in report.curve]
    assert scene.metrics.exam(ID, 1)["own"] == {"right": 2, "asked": 2}


def test_only_prose_is_a_phase_of_its_own(scene: Scene) -> None:
    scene.train(a_document("The harbour of Velm is old. It was built of stone.\n"))
    assert runs(scene)[0].phase == "cpt"


@pytest.mark.parametrize(
    ("error", "status"),
    [(TrainingError("train.diverged", "x", hint="y"), "failed"), (KeyboardInterrupt(), "cancelled")],
)
def test_a_failed_run_is_told_as_it_ended(scene: Scene, error: BaseException, status: str) -> None:
    scene.trainer = FailingTrainer(error)
    with pytest.raises(type(error)):
        scene.train(a_document())
    (run,) = runs(scene)
    assert (run.status, run.adapter_version, run.steps) == (status, None, 2)
    assert scene.last_run.status == status


def test_an_interrupted_run_and_its_resumption_are_two_rows(scene: Scene) -> None:
    with pytest.raises(Interrupted):
        scene.train(a_document(), stop=lambda: len(scene.of(StepDone)) >= 2)
    scene.train(a_document(), mode="resume")
    assert [(run.run_id, run.status) for run in runs(scene)] == [(2, "ok"), (1, "cancelled")]
    assert scene.metrics.steps(ID, 2)[0].step == 3


class Refusing(MemoryMetrics):
    """Cannot be written at the start."""

    @contextmanager
    def observe(self, *_: Any) -> Iterator[Any]:
        raise MetricsError("metrics.unwritable", "no room", hint="Make room.")
        yield


def test_metrics_that_cannot_begin_end_the_run_on_record(scene: Scene) -> None:
    scene.metrics = Refusing()
    with pytest.raises(MetricsError):
        scene.train(a_document())
    assert scene.last_run.status == "failed"
    assert scene.manifest.adapter_version == 0
    scene.metrics = MemoryMetrics()
    assert scene.train(a_document()).run_id == 2


def test_strictness_and_warnings_reach_the_sinks(scene: Scene) -> None:
    class Complaining(MemoryMetrics):
        @contextmanager
        def observe(self, run: Any, warn: Any) -> Iterator[Any]:
            warn("the steps cannot be written")
            with super().observe(run, warn) as emit:
                yield emit

    scene.metrics = Complaining()
    scene.train(a_document(), strict_metrics=True)
    scene.train(a_document(BODY + "\nMore prose stands here.\n"))
    assert [run.strict for run in scene.metrics.observed] == [True, False]
    assert [note.message for note in scene.of(Note) if note.subject == "metrics"] == ["the steps cannot be written"]
