"""A run's report as text, data, table and notebook page."""

from __future__ import annotations

import builtins
import json
import xml.etree.ElementTree as ET
from typing import Any

import attrs
import pytest

from dlm.domain.errors import MissingExtra
from dlm.domain.events import EvalDone, Event, Note, RunFinished, StepDone, ignore
from dlm.domain.exam import Exam, Graded, Question, Score
from dlm.domain.recipe import Material, choose_recipe
from dlm.domain.report import RunReport
from dlm.testing.registries import tiny_base
from run_cases import a_document


def a_step(number: int, loss: float) -> StepDone:
    return StepDone(step=number, total_steps=3, loss=loss, lr=1e-3, grad_norm=1.0, tokens_per_s=10.0)


def an_exam(question: str = "Who?") -> Exam:
    asked = Question(text=question, wanted="Ada", section_id="a" * 16, line=7, kind="own", room=1)
    return Exam(graded=(Graded(question=asked, given="nobody"),), leaks=(), probes=16, kept=Score(12, 12), drift=0.05)


def a_report(**changes: Any) -> RunReport:
    values: dict[str, Any] = {
        "dlm_id": "01KPXZ0000000000000000000A",
        "status": "completed",
        "run_id": 1,
        "adapter_version": 2,
        "adapter_path": "/home/ada/.dlm/store/x/adapter/versions/v0002",
        "steps": 3,
        "stopped": "converged",
        "final_train_loss": 0.02,
        "seconds": 61.4,
        "exam": an_exam(),
        "curve": tuple(a_step(number, 3.0 / number) for number in (1, 2, 3)),
        "recipe": choose_recipe(
            a_document(training="target_modules: [q_proj]").frontmatter,
            Material(n_prose=1, n_instruction=1),
            tiny_base(),
        ),
    }
    return RunReport(**{**values, **changes})


def test_as_text() -> None:
    first, *rest = str(a_report()).splitlines()
    assert first == "v0002 after 3 steps (converged), 61 s"
    assert "own questions answered" in rest[0]
    assert str(RunReport(dlm_id="x", status="nothing-to-do", message="empty")) == "nothing to do: empty"


def test_as_data_it_is_plain_json_without_the_curve() -> None:
    record = a_report().to_json()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    fields = {field.name for field in attrs.fields(RunReport)}
    assert set(record) == fields - {"curve", "evals"}
    assert record["recipe"]["target_modules"]["value"] == ["q_proj"]
    empty = RunReport(dlm_id="x", status="nothing-to-do").to_json()
    assert json.loads(json.dumps(empty, allow_nan=False)) == empty


def test_numbers_that_are_none_become_null() -> None:
    record = a_report(final_train_loss=float("nan"), exam=attrs.evolve(an_exam(), drift=float("inf"))).to_json()
    assert record["final_train_loss"] is None
    assert record["exam"]["drift"] is None
    json.dumps(record, allow_nan=False)


class TestNotebookPage:
    def test_it_is_well_formed_and_draws_the_curve(self) -> None:
        page = ET.fromstring(a_report()._repr_html_())
        (line,) = page.iter("polyline")
        points = [tuple(map(float, point.split(","))) for point in line.get("points", "").split()]
        assert [x for x, _ in points] == [0.0, 210.0, 420.0]
        assert points[0][1] < points[1][1] < points[2][1]
        assert page.find("strong").text == "v0002 after 3 steps (converged), 61 s"  # type: ignore[union-attr]

    def test_what_the_document_says_stays_text(self) -> None:
        evil = "<script>alert(1)</script>&\"'"
        html = a_report(exam=an_exam(evil))._repr_html_()
        assert "<script" not in html
        ET.fromstring(html)
        assert "<script" not in RunReport(dlm_id="x", status="nothing-to-do", message=evil)._repr_html_()
        ET.fromstring(RunReport(dlm_id="x", status="nothing-to-do", message=evil)._repr_html_())

    @pytest.mark.parametrize("losses", [(), (1.0,), (0.0, 0.0), (1.0, float("nan"), 2.0), (float("inf"), 1.0, 0.5)])
    def test_odd_curves(self, losses: tuple[float, ...]) -> None:
        curve = tuple(a_step(number, loss) for number, loss in enumerate(losses))
        html = a_report(curve=curve, exam=None)._repr_html_()
        ET.fromstring(html)
        assert "nan" not in html
        assert "inf" not in html

    def test_nothing_runs_in_it(self) -> None:
        html = a_report()._repr_html_()
        assert "<script" not in html
        assert " on" not in html.split("<table>")[0].replace(" on ", "")


class TestTable:
    def test_one_row_a_step(self) -> None:
        pandas = pytest.importorskip("pandas", reason="the notebook extra is not installed")
        frame = a_report().to_frame()
        assert isinstance(frame, pandas.DataFrame)
        assert list(frame["step"]) == [1, 2, 3]
        assert list(frame.columns) == [field.name for field in attrs.fields(StepDone)]
        assert a_report(curve=()).to_frame().empty

    def test_without_pandas_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = builtins.__import__

        def no_pandas(name: str, *args: Any, **kwargs: Any) -> Any:
            if name == "pandas":
                raise ImportError("no pandas here")
            return real(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", no_pandas)
        with pytest.raises(MissingExtra) as caught:
            a_report().to_frame()
        assert caught.value.code == "install.notebook"
        assert "dlm[notebook]" in str(caught.value.hint)


class TestEvents:
    def test_they_are_values(self) -> None:
        note = Note(subject="a", message="b")
        assert note == Note(subject="a", message="b", severity="info")
        assert isinstance(note, Event)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            note.message = "c"  # type: ignore[misc]

    def test_ignoring_one_gives_nothing(self) -> None:
        assert ignore(a_step(1, 1.0)) is None  # type: ignore[func-returns-value]

    def test_the_last_one_needs_its_outcome(self) -> None:
        with pytest.raises(TypeError):
            RunFinished(run_id=1)  # type: ignore[call-arg]


class TestPlot:
    @pytest.fixture(autouse=True)
    def _no_window(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MPLBACKEND", "Agg")

    def test_it_draws_both_curves_on_new_axes(self) -> None:
        import matplotlib.pyplot as plt

        report = a_report(evals=(EvalDone(step=2, val_loss=1.25, perplexity=3.5),))
        axes = report.plot()
        training, held_out = axes.lines
        assert training.get_xydata().tolist() == [[1.0, 3.0], [2.0, 1.5], [3.0, 1.0]]
        assert held_out.get_xydata().tolist() == [[2.0, 1.25]]
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["training", "held out"]
        assert axes.get_xlabel() == "step"
        plt.close(axes.figure)

    def test_it_draws_on_given_axes(self) -> None:
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots()
        assert a_report().plot(axes) is axes
        assert len(axes.lines) == 1
        plt.close(figure)

    def test_without_matplotlib_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = builtins.__import__

        def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
            if name.startswith("matplotlib"):
                raise ImportError(name)
            return real(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", refuse)
        with pytest.raises(MissingExtra, match="matplotlib") as caught:
            a_report().plot()
        assert 'pip install "dlm[notebook]"' in (caught.value.hint or "")

    def test_evaluations_are_no_part_of_the_json(self) -> None:
        assert "evals" not in a_report(evals=(EvalDone(step=2, val_loss=1.25, perplexity=3.5),)).to_json()
