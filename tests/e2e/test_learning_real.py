"""The main job on the real small base, through the library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dlm
from dlm.domain.events import StepDone
from dlm.testing.generators import FakeGenerator
from e2e.orchard import BODY

pytestmark = pytest.mark.model


def test_a_document_is_learned_and_the_rest_stays(trained: Any) -> None:
    _, report, _ = trained
    assert report.status == "completed"
    assert report.exam.own.right == report.exam.own.asked == 3
    assert report.exam.drift < 0.2, "without anchors such a document drifts by 2 nats and more"
    # The base knows six of the probes' facts; on another CPU's rounding one more or less may flip.
    assert report.exam.kept.right >= report.exam.kept.asked - 3
    before, after = zip(*report.exam.sections.values(), strict=True)
    assert all(now < then for then, now in report.exam.sections.values())
    assert min(after) < 0.1 < min(before), "the pairs are known word for word; prose is asked for more than recited"
    assert report.exam.loss_after < report.exam.loss_before


def test_it_answers_from_the_document_and_leaves_it_out_elsewhere(trained: Any, workspace: dlm.Workspace) -> None:
    document, _, _ = trained
    own = "".join(workspace.prompt(document, "Who mends the ladders?", temperature=0))
    assert "Ysolde Crake" in own
    other = "".join(workspace.prompt(document, "What is the capital of France?", temperature=0))
    assert not {"Quenby", "Crake", "Tindle", "Holloway"} & set(other.split())


def test_greedy_prompting_is_repeatable_and_streams(trained: Any, workspace: dlm.Workspace) -> None:
    document, _, _ = trained
    pieces = [list(workspace.prompt(document, "Which apple is picked first?", temperature=0)) for _ in range(2)]
    assert pieces[0] == pieces[1]
    assert len(pieces[0]) > 3


def test_sampling_knobs_matter(trained: Any, workspace: dlm.Workspace) -> None:
    document, _, _ = trained

    def ask(**knobs: Any) -> str:
        return "".join(workspace.prompt(document, "Tell me a story.", max_tokens=12, **knobs))

    hot = {ask(temperature=1.5, seed=seed) for seed in range(4)}
    assert len(hot) > 1
    assert ask(temperature=1.5, seed=1) == ask(temperature=1.5, seed=1)
    assert len(ask(temperature=0)) > len(
        "".join(workspace.prompt(document, "Tell me a story.", max_tokens=2, temperature=0))
    )
    assert ask(temperature=1.5, top_p=0.01, seed=3) == ask(temperature=1.5, top_p=0.01, seed=4)


def test_every_step_was_told(trained: Any) -> None:
    _, report, events = trained
    steps = [event for event in events if isinstance(event, StepDone)]
    assert [step.step for step in steps] == list(range(1, report.steps + 1))
    assert len(report.to_frame()) == report.steps


def test_an_exam_alone_says_the_same(trained: Any, workspace: dlm.Workspace) -> None:
    document, report, _ = trained
    exam = workspace.exam(document)
    assert (exam.own, exam.kept) == (report.exam.own, report.exam.kept)
    assert exam.drift == pytest.approx(report.exam.drift, abs=1e-6)


def test_an_edit_trains_the_next_version(workspace: dlm.Workspace) -> None:
    quick = dlm.Workspace(workspace.home, trainer=workspace.trainer, generator=FakeGenerator())
    document = dlm.Document.new("01KAT35T0RCHARD0FQ0ENBY0AC", "smollm2-135m", BODY)
    first = quick.train(document, max_steps=1)
    edited = document.edit(set={"training.seed": 7})
    again = quick.train(edited, max_steps=1)
    assert (first.adapter_version, again.adapter_version) == (1, 2)


def test_every_template_trains(workspace: dlm.Workspace, tmp_path: Path) -> None:
    """Each on the small base, one step, its exam answered by a fake: what is tested is that its rows are trainable."""
    quick = dlm.Workspace(workspace.home, trainer=workspace.trainer, generator=FakeGenerator())
    for meta in workspace.templates():
        made = quick.init(tmp_path / f"{meta.name}.dlm", template=meta.name, accept_license=True)
        document = dlm.Document.load(made.path).edit(set={"base_model": "smollm2-135m"})
        report = quick.train(document, max_steps=1)
        assert report.status == "completed", meta.name
        assert report.curve[0].loss > 0
