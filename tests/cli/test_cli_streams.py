"""Which stream gets what, quiet, narrow terminals, small character sets, readers that go away."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.cli_fakes import FakeWorkspace, Report, Runner, step
from dlm.cli.main import main
from dlm.cli.progress import EventPrinter, LineMeter, Tick, duration
from dlm.cli.render import Output
from dlm.domain.events import CheckpointSaved, ExamFinished, Note, Progress

COMMANDS = [
    ["init", "n.dlm"],
    ["train", "n.dlm"],
    ["prompt", "n.dlm", "q"],
    ["exam", "n.dlm"],
    ["export", "n.dlm"],
    ["show", "n.dlm"],
    ["doctor"],
    ["migrate", "n.dlm"],
    ["migrate", "n.dlm", "--dry-run"],
    ["templates", "list", "--refresh"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_quiet_keeps_data_and_warnings_only(dlm: Runner, words: list[str]) -> None:
    loud, quiet = dlm(*words), dlm("-q", *words)

    assert quiet.code == loud.code == 0
    assert quiet.out == loud.out
    assert set(quiet.err.splitlines()) <= {"doctor: little memory"}


def test_quiet_keeps_errors(dlm: Runner) -> None:
    dlm.workspace.raises = OSError("gone")

    assert dlm("-q", "show", "n.dlm").err == "io: gone\n"


@pytest.mark.parametrize("words", [*(["show", "x"], ["exam", "x"], ["doctor"]), ["train", "x"], ["templates", "list"]])
def test_json_is_never_wrapped_or_coloured(
    dlm: Runner, monkeypatch: pytest.MonkeyPatch, on_terminal: Callable[..., None], words: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    on_terminal("stdout", "stderr")
    dlm.workspace.report = Report(record={"path": "/a/" + "long/" * 60 + "[bold]x[/bold]"})

    out = dlm(*words, "--json").out

    json.loads(out)
    assert out.endswith(("}\n", "]\n"))
    assert "\x1b" not in out
    if words[0] in ("show", "exam", "doctor"):
        assert f'"path": "{dlm.workspace.report.record["path"]}"' in out


def test_long_errors_are_not_wrapped(dlm: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    dlm.workspace.raises = OSError("x " * 200 + "end")

    assert len(dlm("show", "x").err.splitlines()) == 1


def test_a_small_character_set_shows_codes_instead_of_failing(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stdout)
    workspace = FakeWorkspace()
    workspace.report = Report(text="naïve → ü")

    assert main(["show", "x"], workspace=workspace) == 0
    assert stdout.buffer.getvalue() == b"na\\xefve \\u2192 \\xfc\n"  # type: ignore[attr-defined]  # BytesIO below


def test_closed_streams_are_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)

    assert main(["train", "x"], workspace=FakeWorkspace()) == 0


def _program(body: str, *words: str) -> list[str]:
    """A process that runs ``main`` with a workspace whose report is ``body`` lines long."""
    code = (
        "import sys; sys.path.insert(0, 'tests'); from cli.cli_fakes import FakeWorkspace, Report; "
        "from dlm.cli.main import main; w = FakeWorkspace(); "
        f"w.report = Report(text={body}); sys.exit(main({list(words)!r}, workspace=w))"
    )
    return [sys.executable, "-c", code]


ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("body", ["'short'", "'line\\n' * 200_000"])
def test_a_reader_that_went_away_is_141_without_complaints(body: str) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(_program(body, "show", "x"), cwd=ROOT, stdout=write, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(write)

    assert done.returncode == 141
    assert done.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_full_disk_behind_stdout_is_reported() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(_program("'x'", "show", "x"), cwd=ROOT, stdout=full, stderr=subprocess.PIPE, check=False)

    assert done.returncode == 1
    assert done.stderr == b"io: No space left on device\n"


def test_pieces_are_flushed_as_they_come_on_a_terminal(
    dlm: Runner, on_terminal: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_terminal("stdout")
    flushes: list[int] = []
    monkeypatch.setattr(sys.stdout, "flush", lambda: flushes.append(1))
    dlm("prompt", "x", "q")

    assert len(flushes) >= 2


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_plain_lines_come_seconds_apart_with_the_time_left() -> None:
    clock, lines = _Clock(), list[str]()
    meter = LineMeter(lines.append, clock)

    for done in range(1, 101):
        meter.tick(Tick(stage="step", done=done, total=100))
        clock.now += 1.0

    assert lines[0] == "step 1/100"
    assert lines[1] == "step 6/100  about 1 min 34 s left"
    assert lines[-1] == "step 100/100"
    assert len(lines) == 21


def test_counts_of_things_tell_how_fast_they_go() -> None:
    clock, lines = _Clock(), list[str]()
    meter = LineMeter(lines.append, clock)

    for stage, unit in (("scan", "files"), ("download", "B")):
        for done in (0, 3 << 20, 6 << 20):
            meter.tick(Tick(stage=stage, done=done, total=12 << 20, unit=unit))
            clock.now += 6.0

    assert lines[2] == "scan 6291456/12582912 files  524,288 files/s  about 12 s left"
    assert lines[5] == "download 6.0 MiB/12.0 MiB  0.5 MiB/s  about 12 s left"


def test_a_new_stage_gets_its_own_line_at_once() -> None:
    clock, lines = _Clock(), list[str]()
    meter = LineMeter(lines.append, clock)

    meter.tick(Tick(stage="download", done=0, total=None))
    meter.tick(Tick(stage="download", done=5, total=None, unit="files"))
    meter.tick(Tick(stage="unpack", done=1, total=2, unit="files"))

    assert lines == ["download 0", "unpack 1/2 files"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (7260, "2 h 1 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_checkpoints_are_told_only_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output.standard()
    events = EventPrinter(out, LineMeter(out.talk))
    events(CheckpointSaved(step=7))
    out.verbose = True
    events(CheckpointSaved(step=8))
    events(ExamFinished(exam={}))

    assert capsys.readouterr().err == "checkpoint: saved after step 8\n"


def test_the_bar_leaves_the_screen_for_notes_and_comes_back(
    dlm: Runner, on_terminal: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_terminal("stderr")
    mixed = (
        step(1),
        Note(subject="doctor", message="[hot]"),
        step(2),
        Progress(stage="exam", done=1, total=None),
        step(4),
    )
    monkeypatch.setattr("cli.cli_fakes.EVENTS", mixed)

    err = dlm("train", "x").err

    assert "doctor: [hot]\n" in err
    assert err.count("\x1b[?25l") == err.count("\x1b[?25h") >= 2  # the cursor hidden by each bar is shown again
