"""``dlm metrics`` on a fake workspace."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from cli.cli_fakes import A_RUN, NOON, News, Runner
from dlm.adapters.sqlite import SqliteMetrics
from dlm.domain.document import Document
from dlm.domain.errors import MetricsError
from dlm.domain.metrics import EvalMetrics, StepMetrics
from dlm.testing.clocks import FixedClock
from dlm.testing.metrics_contract import ID, a_run, a_step, finished

STEP = StepMetrics(step=7, loss=0.0, lr=2e-4, grad_norm=None, tokens_per_sec=351.2, at=NOON)
LOOK = EvalMetrics(step=7, val_loss=1.25, perplexity=3.49, at=NOON)


@pytest.mark.parametrize(
    "words",
    [["n.dlm"], ["show", "n.dlm"], ["n.dlm", "show"], ["--limit", "20", "n.dlm"], ["show", "--limit", "20", "n.dlm"]],
)
def test_every_order_of_words_shows(dlm: Runner, words: list[str]) -> None:
    outcome = dlm("metrics", *words)

    assert (outcome.code, outcome.out, outcome.err) == (0, "a report with blocks\n", "")
    assert dlm.last == {"path": Path("n.dlm"), "run_id": None, "phase": None, "since": None, "limit": 20}


@pytest.mark.parametrize("words", [["n.dlm", "watch"], ["watch", "n.dlm"], ["n.dlm", "--poll-seconds", "1", "watch"]])
def test_every_order_of_words_watches(dlm: Runner, words: list[str]) -> None:
    assert dlm("metrics", *words).code == 0
    assert dlm.last == {"path": Path("n.dlm"), "poll_seconds": 1.0}


@pytest.mark.parametrize("name", ["watch", "show"])
def test_a_document_may_have_the_name_of_an_action(
    dlm: Runner, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert dlm("metrics", name).code == 2
    assert dlm("metrics", "watch", name).code == 0
    assert dlm.workspace.calls[-1] == ("watch_metrics", {"path": Path(name), "poll_seconds": 1.0})
    (tmp_path / name).touch()
    assert dlm("metrics", name).code == 0
    assert dlm.last["path"] == Path(name)


@pytest.mark.parametrize(
    "words",
    [
        ["metrics"],
        ["metrics", "n.dlm", "other"],
        ["metrics", "n.dlm", "watch", "more"],
        ["metrics", "n.dlm", "--json", "--csv"],
        ["metrics", "n.dlm", "--csv", "--html", "x.html"],
        ["metrics", "n.dlm", "--phase", "rlhf"],
        ["metrics", "n.dlm", "--run-id", "0"],
        ["metrics", "n.dlm", "--limit", "0"],
        ["metrics", "n.dlm", "--poll-seconds", "2"],
        ["metrics", "n.dlm", "watch", "--poll-seconds", "0"],
        ["metrics", "n.dlm", "watch", "--poll-seconds", "nan"],
        ["metrics", "n.dlm", "watch", "--json"],
        ["metrics", "n.dlm", "watch", "--run-id", "3"],
        ["metrics", "n.dlm", "watch", "--limit", "3"],
        *(["metrics", "n.dlm", "--since", text] for text in ("", "24", "h", "24 h", "-1h", "1.5h", "1w", "٣h", "1h1m")),
    ],
    ids=" ".join,
)
def test_what_cannot_mean_anything_is_refused(dlm: Runner, words: list[str]) -> None:
    outcome = dlm(*words)

    assert outcome.code == 2
    assert outcome.err.startswith("metrics: ")
    assert outcome.out == ""
    assert dlm.workspace.calls == []


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("24h", timedelta(hours=24)),
        ("7d", timedelta(days=7)),
        ("30m", timedelta(minutes=30)),
        ("10s", timedelta(seconds=10)),
        ("999999999d", timedelta(days=999999999)),
    ],
)
def test_windows(dlm: Runner, text: str, length: timedelta) -> None:
    assert dlm("metrics", "n.dlm", "--since", text).code == 0
    assert dlm.last["since"] == length


def test_forms(dlm: Runner) -> None:
    assert json.loads(dlm("metrics", "n.dlm", "--json").out) == {"a": 1}
    assert dlm("metrics", "n.dlm", "--csv", "--run-id", "3").out == "run_id,phase\n3,sft\n"
    assert dlm.last["run_id"] == 3


def test_a_small_character_set_gets_ascii(dlm: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlm.cli.metrics.can_show", lambda *_: False)
    assert dlm("metrics", "n.dlm").out == "a report with ascii\n"


def test_an_error_of_the_database_is_an_ordinary_one(dlm: Runner) -> None:
    dlm.workspace.raises = MetricsError("metrics.unknown-run", "there is no run 9", hint="List them.")
    outcome = dlm("metrics", "n.dlm", "--run-id", "9")
    assert (outcome.code, outcome.err) == (1, "metrics: there is no run 9\n  List them.\n")


class TestPages:
    def test_it_is_written_whole_with_every_run(self, dlm: Runner, tmp_path: Path) -> None:
        page = tmp_path / "page.html"
        outcome = dlm("metrics", "n.dlm", "--html", str(page), "--phase", "sft")

        assert page.read_text(encoding="utf-8") == "<!doctype html>\n<p>été</p>\n"
        assert (outcome.out, outcome.err) == ("", f"metrics: wrote {page} (1 run)\n")
        assert dlm.workspace.calls == [
            ("history", {"path": Path("n.dlm"), "run_id": None, "phase": "sft", "since": None, "limit": None})
        ]
        assert [path.name for path in tmp_path.iterdir()] == ["page.html"]

    def test_a_pipe_takes_it_too(self, dlm: Runner) -> None:
        assert dlm("metrics", "n.dlm", "--html", "/dev/null").code == 0
        assert not Path("/dev/null").is_file()

    def test_where_nothing_can_be_written_it_says_so(self, dlm: Runner, tmp_path: Path) -> None:
        for place in (tmp_path, tmp_path / "no" / "page.html"):
            outcome = dlm("metrics", "n.dlm", "--html", str(place))
            assert outcome.code == 1
            assert str(place) in outcome.err


def _hear_ctrl_c() -> None:
    """Undo what a shell does to programs in the background, which never hear Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class TestWatching:
    def test_news_are_lines_in_the_order_of_steps(self, dlm: Runner) -> None:
        late = attrs.evolve(LOOK, step=9, perplexity=None, retention=0.5)
        over = attrs.evolve(A_RUN, status="failed", message="diverged")
        dlm.workspace.news = [
            News(is_switch=True, steps=(STEP, attrs.evolve(STEP, step=8, loss=1.5)), evals=(LOOK, late)),
            News(run=over, is_over=True),
            KeyboardInterrupt(),
        ]
        outcome = dlm("metrics", "n.dlm", "watch")

        assert outcome.code == 0
        assert outcome.err == ""
        assert outcome.out.splitlines() == [
            "run 3 (sft), started 2026-04-23 12:00:00 UTC",
            "step 7  loss 0.0000  lr 2.00e-04  tokens/s 351",
            "step 7  held-out loss 1.2500  perplexity 3.49",
            "step 8  loss 1.5000  lr 2.00e-04  tokens/s 351",
            "step 9  held-out loss 1.2500  loss over removed sections 0.5000",
            "run 3 ended: failed: diverged",
        ]

    def test_evaluations_stand_out_on_a_terminal(self, dlm: Runner, on_terminal: Callable[..., None]) -> None:
        on_terminal("stdout")
        dlm.workspace.news = [News(steps=(STEP,), evals=(LOOK,)), KeyboardInterrupt()]
        plain, shown = dlm("metrics", "n.dlm", "watch").out.splitlines()
        assert "\x1b" not in plain
        assert shown.startswith("\x1b[32mstep 7")

    def test_a_message_cannot_steer_the_terminal(self, dlm: Runner, on_terminal: Callable[..., None]) -> None:
        on_terminal("stdout")
        dlm.workspace.news = [News(run=attrs.evolve(A_RUN, message="\x1b[2Jgone"), is_over=True), KeyboardInterrupt()]
        assert "\x1b[2J" not in dlm("metrics", "n.dlm", "watch").out

    def test_before_the_first_run_it_says_what_it_waits_for(self, dlm: Runner) -> None:
        dlm.workspace.news = [None, KeyboardInterrupt()]
        outcome = dlm("metrics", "n.dlm", "watch")
        assert (outcome.code, outcome.out) == (0, "")
        assert "dlm train n.dlm" in outcome.err

    def test_a_database_that_breaks_ends_it(self, dlm: Runner) -> None:
        broken: Any = MetricsError("metrics.corrupt", "damaged")
        dlm.workspace.news = [News(is_switch=True), broken]
        outcome = dlm("metrics", "n.dlm", "watch")
        assert (outcome.code, outcome.err) == (1, "metrics: damaged\n")

    @pytest.mark.skipif(sys.platform == "win32", reason="a console's Ctrl-C cannot be sent to one process there")
    def test_ctrl_c_ends_the_real_program_cleanly(self, notes: Path, tmp_path: Path) -> None:
        Document.new(ID, "smollm2-135m", "Prose.\n").save(notes)
        metrics = SqliteMetrics(lambda dlm_id: tmp_path / "store" / dlm_id, FixedClock())
        with metrics.observe(a_run(tmp_path / "store" / ID), pytest.fail) as emit:
            emit(a_step(1))
            emit(finished())
        words = [sys.executable, "-m", "dlm", "--home", str(tmp_path), "metrics", str(notes), "watch"]
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(words, **pipes, preexec_fn=_hear_ctrl_c) as process:
            try:
                lines = [process.stdout.readline() for _ in range(3)]
                process.send_signal(signal.SIGINT)
                rest, err = process.communicate(timeout=60)
            finally:
                process.kill()
        assert [line.split(" (")[0].split("  ")[0].strip() for line in lines] == ["run 1", "step 1", "run 1 ended: ok"]
        assert (process.returncode, rest, err) == (0, "", "")
