"""Runs as lists, details, JSON, CSV, tables, and as news."""

from __future__ import annotations

import builtins
import csv
import io
import json
import math
import sys
import types
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.app.metrics import RunNews, history, metrics, watch
from dlm.app.metrics_report import MetricsReport, duration_text
from dlm.domain.document import Document
from dlm.domain.errors import DocumentError, MetricsError, MissingExtra
from dlm.domain.events import DeltaFound, EvalDone, Event, ExamFinished, RetentionMeasured, Tokenized
from dlm.domain.history import History
from dlm.domain.metrics import MiningMetrics, RunHistory, RunMetrics, StepMetrics, exam_score
from dlm.domain.sparkline import ASCII, BLOCKS, sparkline
from dlm.testing.clocks import A_MOMENT, FixedClock
from dlm.testing.metrics import MemoryMetrics
from dlm.testing.metrics_contract import EXAM, ID, a_run, a_step, finished
from dlm.wiring import Workspace

RUN_KEYS = ["run_id", "started_at", "ended_at", "adapter_version", "phase", "seed", "status"]
STEP_KEYS = ["step", "loss", "lr", "grad_norm", "tokens_per_sec", "peak_vram_mb", "at"]
EVAL_KEYS = ["step", "val_loss", "perplexity", "retention", "at"]

TOLD: tuple[Event, ...] = (
    DeltaFound(new=("a",), unchanged=("b", "c"), removed=()),
    Tokenized(total_sections=3, cache_hits=6, cache_misses=2, seconds=0.5, cache_bytes_after=100),
    EvalDone(step=0, val_loss=4.0, perplexity=54.6),
    a_step(1, 3.0),
    a_step(2, 1.5),
    EvalDone(step=2, val_loss=1.25, perplexity=3.49),
    RetentionMeasured(step=2, loss=0.75, loss_before=0.5, sections=1),
    ExamFinished(exam=EXAM),
    finished(final_train_loss=0.625, stopped="converged", anchor_s=2.5, peak_memory_mb=800),
)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def port(clock: FixedClock) -> MemoryMetrics:
    return MemoryMetrics(clock)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    path = tmp_path / "notes.dlm"
    Document.new(ID, "smollm2-135m", "Prose.\n").save(path)
    return path


def keep(port: MemoryMetrics, run_id: int, *told: Event, **changes: Any) -> None:
    with port.observe(a_run(Path(), run_id, **changes), pytest.fail) as emit:
        for event in told or TOLD:
            emit(event)


def table(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


class TestLists:
    def test_text_tells_time_loss_and_exam(self, port: MemoryMetrics, clock: FixedClock, notes: Path) -> None:
        keep(port, 1)
        keep(port, 2, finished("failed", adapter_version=None, elapsed_s=185.0, message="diverged"), phase="dpo")
        head, second, first = metrics(notes, port=port, clock=clock).to_text().splitlines()

        assert head.split() == "run phase seed status started (UTC) took steps loss own kept adapter".split()
        assert second.split() == ["2", "dpo", "42", "failed", "2026-04-23", "18:42", "3m", "05s", "7"]
        assert first.split() == "1 sft 42 ok 2026-04-23 18:42 12s 7 0.625 3/4 11/12 v0003".split()

    def test_json_is_the_table(self, port: MemoryMetrics, clock: FixedClock, notes: Path) -> None:
        keep(port, 1)
        record = metrics(notes, port=port, clock=clock).to_json()

        assert list(record) == ["runs"]
        assert list(record["runs"][0]) == RUN_KEYS
        assert record["runs"][0] == {
            "run_id": 1,
            "started_at": "2026-04-23T18:42:11Z",
            "ended_at": "2026-04-23T18:42:11Z",
            "adapter_version": 3,
            "phase": "sft",
            "seed": 42,
            "status": "ok",
        }
        json.dumps(record, allow_nan=False)

    def test_csv_has_the_columns_of_the_format(self, port: MemoryMetrics, clock: FixedClock, notes: Path) -> None:
        keep(port, 1)
        text = metrics(notes, port=port, clock=clock).to_csv()
        assert text == (
            "run_id,phase,seed,status,started_at,ended_at\n1,sft,42,ok,2026-04-23T18:42:11Z,2026-04-23T18:42:11Z\n"
        )

    def test_a_run_under_way_has_empty_cells(self, port: MemoryMetrics, clock: FixedClock, notes: Path) -> None:
        with port.observe(a_run(Path()), pytest.fail):
            report = metrics(notes, port=port, clock=clock)
            assert "running" in report.to_text()
            assert table(report.to_csv())[1] == ["1", "sft", "42", "running", "2026-04-23T18:42:11Z", ""]

    def test_before_the_first_run_there_is_a_hint(self, port: MemoryMetrics, clock: FixedClock, notes: Path) -> None:
        report = metrics(notes, port=port, clock=clock)
        assert report.to_text() == f"no runs yet; train the document first: dlm train {notes}"
        assert report.to_json() == {"runs": []}
        assert report.to_csv() == "run_id,phase,seed,status,started_at,ended_at\n"

    def test_filters(self, port: MemoryMetrics, clock: FixedClock, notes: Path) -> None:
        for hours in range(4):
            keep(port, hours + 1, started_at=A_MOMENT - timedelta(hours=hours), phase="sft" if hours % 2 else "dpo")

        def chosen(**which: Any) -> list[int]:
            return [item.run.run_id for item in metrics(notes, port=port, clock=clock, **which).runs]

        assert chosen() == [4, 3, 2, 1]
        assert chosen(since=timedelta(hours=1)) == [2, 1]
        assert chosen(phase="dpo") == [3, 1]
        assert chosen(limit=1) == [4]
        assert chosen(since=timedelta(days=999_999_999)) == [4, 3, 2, 1]
        none = metrics(notes, port=port, clock=clock, phase="orpo")
        assert none.to_text() == "no run fits; leave out --phase or --since to see all of them"

    def test_a_document_that_cannot_be_read(self, port: MemoryMetrics, clock: FixedClock, tmp_path: Path) -> None:
        with pytest.raises(DocumentError):
            metrics(tmp_path / "none.dlm", port=port, clock=clock)


class TestDetail:
    @pytest.fixture
    def report(self, port: MemoryMetrics, clock: FixedClock, notes: Path) -> MetricsReport:
        keep(port, 1)
        return metrics(notes, run_id=1, port=port, clock=clock)

    def test_json_has_the_keys_of_the_format_and_some_more(self, report: MetricsReport) -> None:
        record = report.to_json()
        assert list(record)[:3] == ["runs", "steps", "evals"]
        assert set(record) == {"runs", "steps", "evals", "details", "tokenization", "exam", "preference_mining"}
        assert [list(row) for row in record["runs"]] == [RUN_KEYS]
        assert [list(row) for row in record["steps"]] == [STEP_KEYS] * 2
        assert [list(row) for row in record["evals"]] == [EVAL_KEYS] * 2
        assert record["exam"] == EXAM
        assert record["tokenization"]["cache_hits"] == 6
        assert record["details"]["stopped"] == "converged"
        assert record["preference_mining"] == []

    def test_csv_joins_both_ways(self, report: MetricsReport) -> None:
        assert report.to_csv() == (
            "step,loss,lr,grad_norm,val_loss\n0,,,,4.0\n1,3.0,0.0001,0.5,\n2,1.5,0.0001,0.5,1.25\n"
        )

    def test_text_tells_all_of_it(self, report: MetricsReport) -> None:
        text = report.to_text()
        assert "3.000 █▁ 1.500" in text
        for words in (
            "1 (sft, seed 42), ok",
            "v0003",
            "1 new, 2 unchanged, 0 removed",
            "12s, 2s of it to keep ordinary answers",
            "converged",
            "800 MB at most",
            "step 2: loss 1.250, perplexity 3.49",
            "loss 0.750",
            "6 of 8 rows from the cache",
            "own 3/4",
        ):
            assert words in text
        plain = report.to_text(blocks=False)
        assert plain.isascii()
        assert "3.000 #_ 1.500" in plain

    def test_preferences_are_summed(self, report: MetricsReport) -> None:
        mined = MiningMetrics(
            judge_name="sway", sample_count=10, mined_pairs=4, skipped_prompts=1, write_mode="staged", at=A_MOMENT
        )
        item = attrs.evolve(report.runs[0], preference_mining=(mined, mined))
        mining = attrs.evolve(report, runs=(item,))
        assert "8 pairs mined from 20 samples in 2 searches" in mining.to_text()
        assert mining.to_json()["preference_mining"][0]["judge_name"] == "sway"

    def test_a_run_of_which_little_is_known(self) -> None:
        run = RunMetrics(run_id=4, started_at=A_MOMENT)
        report = MetricsReport(path=Path("n.dlm"), runs=(RunHistory(run=run, exam={"own": 3}),), is_detailed=True)
        assert "4 (unknown phase, seed None), status unknown" in report.to_text()
        assert "cannot be read" in report.to_text()
        assert report.to_csv() == "step,loss,lr,grad_norm,val_loss\n"

    def test_non_finite_numbers_are_null(self) -> None:
        step = StepMetrics(step=1, loss=math.inf, at=A_MOMENT)
        item = RunHistory(run=RunMetrics(run_id=4, started_at=A_MOMENT), steps=(step,))
        report = MetricsReport(path=Path("n.dlm"), runs=(item,), is_detailed=True)
        assert report.to_json()["steps"][0]["loss"] is None

    @pytest.mark.parametrize("which", [{"run_id": 9}, {"run_id": 1, "phase": "orpo"}])
    def test_an_unknown_run_is_an_error(
        self, which: Any, report: MetricsReport, port: MemoryMetrics, clock: FixedClock, notes: Path
    ) -> None:
        for ask in (metrics, history):
            with pytest.raises(MetricsError) as caught:
                ask(notes, **which, port=port, clock=clock)
            assert caught.value.code == "metrics.unknown-run"
            assert "the newest is 1" in caught.value.message
            assert caught.value.exit_code == 1

    def test_no_run_at_all_says_so(self, port: MemoryMetrics, clock: FixedClock, notes: Path) -> None:
        with pytest.raises(MetricsError, match="not trained yet"):
            metrics(notes, run_id=1, port=port, clock=clock)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.2, "0s"), (59.4, "59s"), (59.6, "1m 00s"), (3599.0, "59m 59s"), (7800.0, "2h 10m")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration_text(seconds) == text


class TestSparkline:
    def test_it_falls(self) -> None:
        assert sparkline([8.0, 4.0, 2.0, 1.0]) == "█▄▂▁"
        assert sparkline([8.0, 4.0, 2.0, 1.0], levels=ASCII) == "#:._"

    @pytest.mark.parametrize("values", [[], [1.0], [None, 2.0], [math.nan, math.inf, 1.0]])
    def test_too_few_numbers_draw_nothing(self, values: list[float | None]) -> None:
        assert sparkline(values) == ""

    def test_a_level_is_flat(self) -> None:
        assert sparkline([2.0] * 3) == "▁▁▁"

    @given(st.lists(st.none() | st.floats(), max_size=300), st.integers(2, 80))
    def test_it_always_fits_and_shows_levels_only(self, values: list[float | None], width: int) -> None:
        drawn = sparkline(values, width=width)
        known = [value for value in values if value is not None and math.isfinite(value)]
        assert len(drawn) == (min(len(known), width) if len(known) > 1 else 0)
        assert set(drawn) <= set(BLOCKS)


class TestHistory:
    @pytest.fixture
    def past(self, port: MemoryMetrics, clock: FixedClock, notes: Path) -> History:
        keep(port, 1)
        keep(port, 2, a_step(1, 2.0), finished("failed", adapter_version=None))
        return history(notes, port=port, clock=clock)

    def test_it_has_everything_oldest_first(self, past: History, port: MemoryMetrics) -> None:
        assert [item.run.run_id for item in past.runs] == [1, 2]
        assert past.runs[0] == port.history(ID, 1)
        assert (past.title, past.read_at, len(past)) == ("notes.dlm", A_MOMENT, 2)
        assert len(repr(past)) < 200

    def test_a_document_in_memory_will_do(self, past: History, port: MemoryMetrics, clock: FixedClock) -> None:
        document = Document.new(ID, "smollm2-135m", "Prose.\n")
        again = history(document, limit=1, port=port, clock=clock)
        assert [item.run.run_id for item in again.runs] == [2]
        assert again.title == ID

    def test_as_tables(self, past: History) -> None:
        runs = past.to_frame()
        assert runs["run_id"].tolist() == [1, 2]
        assert runs["own_right"].tolist()[0] == 3
        assert runs["kept_asked"].isna().tolist() == [False, True]
        assert runs["status"].tolist() == ["ok", "failed"]
        steps = past.steps_frame()
        assert steps[["run_id", "step", "loss"]].to_numpy().tolist() == [[1, 1, 3.0], [1, 2, 1.5], [2, 1, 2.0]]
        assert list(steps.columns) == ["run_id", *STEP_KEYS]

    def test_nothing_is_an_empty_table(self, port: MemoryMetrics, clock: FixedClock, notes: Path) -> None:
        empty = history(notes, port=port, clock=clock)
        assert len(empty.to_frame()) == len(empty.steps_frame()) == 0
        assert "run_id" in empty.to_frame().columns

    def test_a_notebook_shows_a_small_table(self, past: History) -> None:
        shown = past._repr_html_()
        assert shown.index("<td>2</td>") < shown.index("<td>1</td>")
        assert "<td>3/4</td><td>11/12</td>" in shown
        many = attrs.evolve(past, runs=past.runs * 30, title="<b>")
        assert "and 40 earlier" in many._repr_html_()
        assert "&lt;b&gt;" in many._repr_html_()

    def test_without_pandas_it_says_what_to_install(self, past: History, monkeypatch: pytest.MonkeyPatch) -> None:
        hide(monkeypatch, "pandas")
        for give in (past.to_frame, past.steps_frame):
            with pytest.raises(MissingExtra) as caught:
                give()
            assert 'pip install "dlm[notebook]"' in (caught.value.hint or "")

    def test_the_page_gets_runs_title_and_time(self, past: History, monkeypatch: pytest.MonkeyPatch) -> None:
        module: Any = types.ModuleType("dlm.domain.history_page")
        module.history_page = lambda runs, *, title, generated_at: f"{len(runs)} {title} {generated_at.year}"
        monkeypatch.setitem(sys.modules, "dlm.domain.history_page", module)
        assert past.to_html() == "2 notes.dlm 2026"


def hide(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)


@pytest.mark.parametrize(
    ("exam", "score"),
    [
        (None, None),
        ({}, None),
        (EXAM, (3, 4)),
        ({"own": None}, None),
        ({"own": 4}, None),
        ({"own": {"right": 1}}, None),
        ({"own": {"right": "1", "asked": 2}}, None),
    ],
)
def test_scores_of_odd_records(exam: Any, score: Any) -> None:
    assert exam_score(exam, "own") == score


class TestWatch:
    """``wait`` stands for the time between two looks: there things happen."""

    def follow(self, port: MemoryMetrics, notes: Path, happenings: list[Any]) -> list[RunNews | None]:
        waits: list[float] = []

        def wait(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) > len(happenings):
                raise KeyboardInterrupt
            happenings[len(waits) - 1]()

        seen: list[RunNews | None] = []
        with pytest.raises(KeyboardInterrupt):
            seen.extend(self._each(watch(notes, poll_seconds=0.25, port=port, wait=wait), seen))
        assert set(waits) == {0.25}
        return seen

    def _each(self, news: Iterator[RunNews | None], seen: list[RunNews | None]) -> Iterator[RunNews | None]:
        for item in news:
            seen.append(item)
        yield from ()

    def test_new_steps_run_switches_and_ends_are_told(self, port: MemoryMetrics, notes: Path) -> None:
        keep(port, 1, *map(a_step, range(1, 31)), finished())
        opened = port.observe(a_run(Path(), 2), pytest.fail)
        emits: list[Any] = []

        def begin() -> None:
            emits.append(opened.__enter__())
            emits[0](a_step(1))

        def go_on() -> None:
            emits[0](a_step(2))
            emits[0](EvalDone(step=2, val_loss=1.0, perplexity=2.0))

        def end() -> None:
            emits[0](finished())
            opened.__exit__(None, None, None)

        happenings = [lambda: None, begin, lambda: None, go_on, end, lambda: None]
        first, begun, more, over = [news for news in self.follow(port, notes, happenings) if news]

        assert (first.run.run_id, first.is_switch, first.is_over) == (1, True, True)
        assert [step.step for step in first.steps] == list(range(21, 31))
        assert (begun.run.run_id, begun.is_switch, begun.is_over) == (2, True, False)
        assert [step.step for step in begun.steps] == [1]
        assert (more.is_switch, [step.step for step in more.steps], len(more.evals)) == (False, [2], 1)
        assert (over.is_over, over.run.status, over.steps) == (True, "ok", ())

    def test_before_the_first_run_it_waits(self, port: MemoryMetrics, notes: Path) -> None:
        waiting, begun = self.follow(port, notes, [lambda: None, lambda: keep(port, 1), lambda: None])
        assert waiting is None
        assert begun is not None
        assert begun.run.run_id == 1


class TestWorkspace:
    """The real database, through the library."""

    def test_metrics_history_and_watch(self, tmp_path: Path, notes: Path) -> None:
        workspace = Workspace(tmp_path / "home", environ={})
        assert workspace.metrics(notes).to_json() == {"runs": []}
        assert len(workspace.history(str(notes))) == 0
        assert not (tmp_path / "home").exists()

        store = workspace.store.location(ID)
        with workspace.run_metrics.observe(a_run(store), pytest.fail) as emit:
            for event in TOLD:
                emit(event)
        assert workspace.metrics(notes, run_id=1).to_csv().count("\n") == 4
        assert workspace.history(Document.load(notes)).runs[0].exam == EXAM
        news = next(workspace.watch_metrics(notes))
        assert news is not None
        assert news.is_over

    def test_sinks_are_what_the_environment_asks_for(self, tmp_path: Path) -> None:
        def names(**environ: str) -> list[str]:
            return [sink.name for sink in Workspace(tmp_path, environ=environ).sinks]

        assert names() == ["metrics"]
        assert names(DLM_TENSORBOARD="0", DLM_WANDB_PROJECT=" ") == ["metrics"]
        assert names(DLM_TENSORBOARD="1") == ["metrics", "tensorboard"]
        assert names(DLM_WANDB_PROJECT="harbour") == ["metrics", "wandb"]
        assert names(DLM_TENSORBOARD="yes", DLM_WANDB_PROJECT="x") == ["metrics", "tensorboard", "wandb"]


def test_the_times_of_a_run_are_those_of_its_clock() -> None:
    run = RunMetrics(run_id=1, started_at=A_MOMENT, ended_at=A_MOMENT + timedelta(seconds=75))
    text = MetricsReport(path=Path("n.dlm"), runs=(RunHistory(run=run),)).to_text()
    assert "1m 15s" in text
    assert datetime(2026, 4, 23, 18, 42, 11, tzinfo=UTC) == A_MOMENT
