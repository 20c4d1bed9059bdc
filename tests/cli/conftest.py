"""The runner of the command-line tests, documents that need no parser, and terminals that are none."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.cli_fakes import Doc, Runner
from dlm.domain.errors import Fault


@pytest.fixture(autouse=True)
def _plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlm.cli.workspace.load_document", lambda path: Doc(path))
    for name in ("NO_COLOR", "COLUMNS", "DLM_VERBOSE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))


@pytest.fixture
def dlm(capsys: pytest.CaptureFixture[str]) -> Runner:
    """``dlm("show", "notes.dlm")`` runs the program in this process."""
    return Runner(capsys)


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each document has one warning."""
    fault = Fault("doc.odd", "section [x] is odd", 4, 2, "Rename it.")
    monkeypatch.setattr("dlm.cli.workspace.load_document", lambda path: Doc(path, (fault,)))


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """``on_terminal("stdout", "stderr")`` makes those streams claim to be terminals."""

    def claim(*names: str) -> None:
        for name in names:
            monkeypatch.setattr(getattr(sys, name), "isatty", lambda: True)

    return claim


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Where a document would be."""
    return tmp_path / "notes.dlm"
