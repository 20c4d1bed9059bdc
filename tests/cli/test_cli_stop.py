"""Ctrl-C: the first finishes the step, the second ends at once, the handlers come back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from cli.cli_fakes import Doc, Runner
from dlm.cli.signals import stop_on_signals
from dlm.domain.errors import Interrupted, StoreError

posix = pytest.mark.skipif(os.name == "nt", reason="signals are sent with kill")
INTERRUPTION = Interrupted("train.interrupted", "stopped after step 3; a checkpoint was kept", hint="Say --resume.")


def _handlers() -> list[Any]:
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_for_a_stop(dlm: Runner, monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    def train(document: Doc, *, stop: Any, **_: Any) -> None:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
        raise INTERRUPTION

    monkeypatch.setattr(dlm.workspace, "train", train)
    before = _handlers()

    outcome = dlm("train", "my notes.dlm", "--seed", "7", "--max-steps", "9", "--home", "/tmp/h")

    assert outcome.code == 130
    assert outcome.out == ""
    assert outcome.err.endswith(
        "train: stopped after step 3; a checkpoint was kept\n"
        "  Continue with: dlm --home /tmp/h train 'my notes.dlm' --resume --seed 7 --max-steps 9\n"
    )
    assert _handlers() == before


@posix
def test_the_second_signal_ends_at_once(dlm: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(document: Doc, *, stop: Any, **_: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("still running")

    monkeypatch.setattr(dlm.workspace, "train", train)
    before = _handlers()

    outcome = dlm("train", "x")

    assert (outcome.code, outcome.err.splitlines()[-1]) == (130, "interrupted")
    assert _handlers() == before


def test_handlers_come_back_after_a_failure(dlm: Runner) -> None:
    dlm.workspace.raises = StoreError("store.io", "x")
    before = _handlers()

    assert dlm("train", "x").code == 1
    assert _handlers() == before


def test_outside_the_main_thread_nothing_is_touched() -> None:
    before, seen = _handlers(), list[object]()

    def work() -> None:
        with stop_on_signals(lambda: None) as stop:
            seen.extend([stop(), _handlers() == before])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert seen == [False, True]


@posix
@pytest.mark.parametrize(("words", "told"), [([], True), (["-q"], False)])
def test_a_stop_is_confirmed_on_the_terminal_at_once(words: list[str], told: bool) -> None:
    code = (
        "import os, signal, sys; sys.path.insert(0, 'tests'); import dlm.cli.workspace as w; "
        "from cli.cli_fakes import Doc, FakeWorkspace; from dlm.cli.main import main; "
        "w.load_document = Doc; fake = FakeWorkspace(); "
        "fake.train = lambda d, **k: os.kill(os.getpid(), signal.SIGINT) or os._exit(9); "
        f"main(['train', 'x', *{words!r}], workspace=fake)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )

    assert done.returncode == 9
    assert ("press Ctrl-C again" in done.stderr) is told
