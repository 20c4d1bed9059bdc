"""Every refusal and exit code, and how errors look."""

from __future__ import annotations

import errno
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.cli_fakes import Run, Runner
from dlm.domain import errors
from dlm.domain.errors import DlmError, DocumentError, Fault, Interrupted, Place, StoreError

USAGE = [
    (["trian", "x"], "usage: there is no command 'trian'", "Did you mean train?"),
    (["train"], "train: missing <path>", "dlm train --help"),
    (["train", "x", "--sed", "3"], "train: unknown argument: --sed 3", "Did you mean --seed?"),
    (["train", "x", "--seed", "-1"], "train: --seed: '-1' is not a whole number of 0 or more", "dlm train --help"),
    (["train", "x", "--seed", "1_0"], "train: --seed: '1_0' is not", "dlm train --help"),
    (["train", "x", "--max-steps", "0"], "train: --max-steps: '0' is not a whole number of 1", "dlm train --help"),
    (["train", "x", "--resume", "--fresh"], "train: --fresh and --resume cannot be used together", "--help"),
    (["train", "x", "--strict-lock", "--update-lock"], "--update-lock and --strict-lock cannot be", "--help"),
    (["train", "x", "--update-lock", "--ignore-lock"], "--ignore-lock and --update-lock cannot be", "--help"),
    (["train", "x", "--strict-lock", "--ignore-lock"], "--ignore-lock and --strict-lock cannot be", "--help"),
    (["prompt", "x", "--backend", "tpu", "q"], "prompt: --backend: 'tpu' is not one of: auto, pytorch, mlx", "--help"),
    (["prompt", "x", "q", "--max-tokens", "0"], "prompt: --max-tokens: '0' is not a whole number of 1", "--help"),
    (["prompt", "x", "q", "--temp", "-0.1"], "prompt: --temp: '-0.1' is not a number of 0 or more", "--help"),
    (["prompt", "x", "q", "--temp", "nan"], "prompt: --temp: 'nan' is not", "--help"),
    (["prompt", "x", "q", "--top-p", "0"], "prompt: --top-p: '0' is not a number above 0 and up to 1", "--help"),
    (["prompt", "x", "q", "--top-p", "1.01"], "prompt: --top-p: '1.01' is not", "--help"),
    (["prompt", "x", "q", "--top-p", "inf"], "prompt: --top-p: 'inf' is not", "--help"),
    (["prompt", "x", "what", "is", "this"], "prompt: too many words: is this", "quotation marks"),
    (["prompt", "x"], "prompt: there is no question", "quotation marks"),
    (["prompt", "x", " \n "], "prompt: there is no question", "quotation marks"),
    (["init", "x", "--multimodal", "--audio"], "init: --audio and --multimodal cannot be used together", "--help"),
    (["init", "x", "--multimodal", "--template", "t"], "init: --template and --multimodal cannot", "--help"),
    (["init", "x", "--audio", "--template", "t"], "init: --template and --audio cannot", "--help"),
    (["templates", "list", "--accept-unsigned"], "templates: --accept-unsigned means something only", "--refresh"),
    (["templates", "lst"], "templates: there is no command 'lst'", "Did you mean list?"),
    (["show", "x", "extra"], "show: unknown argument: extra", "dlm show --help"),
    (["show", ""], "show: <path>: '' names no file", "--help"),
    (["show", "x", "--home", ""], "show: --home: '' names no folder", "--help"),
    (["--home"], "usage: --home: expected one argument", "dlm --help"),
    (["-v", "-q", "show", "x"], "usage: --verbose and --quiet cannot be used together", "Leave out"),
    (["-v", "show", "x", "-q"], "usage: --verbose and --quiet cannot be used together", "Leave out"),
    (["--show-completion", "tcsh"], "completion: no completion for the shell 'tcsh'", "bash, zsh, fish, powershell"),
    (["doctor", "--install-completion", "tcsh"], "completion: no completion for the shell 'tcsh'", "bash"),
]


@pytest.mark.parametrize(("words", "message", "hint"), USAGE, ids=lambda value: " ".join(value)[:60])
def test_misuse_is_exit_2_with_a_way_out(dlm: Runner, words: list[str], message: str, hint: str) -> None:
    outcome = dlm(*words)

    assert outcome.code == 2
    assert outcome.out == ""
    first, *rest = outcome.err.splitlines()
    assert message in first
    assert rest
    assert all(line.startswith("  ") for line in rest)
    assert hint in "\n".join(rest)
    assert dlm.workspace.calls == []


@pytest.mark.parametrize("words", [[], ["templates"], ["-q"]])
def test_no_command_shows_help_on_stderr_and_is_exit_2(dlm: Runner, words: list[str]) -> None:
    outcome = dlm(*words)

    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("usage: dlm")


@pytest.mark.parametrize("words", [["-h"], ["--help"], ["train", "-h"], ["templates", "list", "--help"], ["-q", "-h"]])
def test_help_is_data_and_exit_0(dlm: Runner, words: list[str]) -> None:
    outcome = dlm(*words)

    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("usage: dlm")
    assert "Example:" in outcome.out


@pytest.mark.parametrize("words", [["--version"], ["bogus", "--version"], ["train", "--version"], ["-vq", "--version"]])
def test_version_wins_over_everything(dlm: Runner, words: list[str]) -> None:
    outcome = dlm(*words)

    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("dlm ")
    assert outcome.out.count("\n") == 1


def test_version_after_two_dashes_is_a_question(dlm: Runner) -> None:
    assert dlm("prompt", "x", "--", "--version").code == 0
    assert dlm.last["query"] == "--version"


def _all_errors() -> list[type[DlmError]]:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DlmError)]
    return [kind for kind in kinds if kind not in (DocumentError, Interrupted)]


@pytest.mark.parametrize("kind", _all_errors(), ids=lambda kind: kind.__name__)
def test_each_error_class_prints_its_subject_and_gives_its_code(dlm: Runner, kind: type[DlmError]) -> None:
    dlm.workspace.raises = kind("some.code", "it broke at [bold]x[/bold]", hint="Try\nthis.")

    outcome = dlm("show", "x")

    assert outcome.code == kind.exit_code
    assert outcome.err == f"{kind.subject}: it broke at [bold]x[/bold]\n  Try\n  this.\n"
    assert outcome.out == ""


def test_a_document_error_lists_every_fault_with_its_own_hint(dlm: Runner) -> None:
    faults = [Fault("a", "bad key", 3, 1, "Drop it."), Fault("b", "bad [value]", 9)]
    dlm.workspace.raises = DocumentError(faults, path="notes.dlm")

    outcome = dlm("show", "notes.dlm")

    assert outcome.code == 1
    assert outcome.err == "parse: notes.dlm:3:1: bad key\n  Drop it.\nparse: notes.dlm:9: bad [value]\n"


def test_the_place_of_an_error_is_shown(dlm: Runner) -> None:
    dlm.workspace.raises = DlmError("x.y", "no good", place=Place("a.dlm", 2, 5))

    assert dlm("show", "x").err == "error: a.dlm:2:5: no good\n"


def test_operating_system_errors_have_the_subject_io(dlm: Runner) -> None:
    dlm.workspace.raises = PermissionError(errno.EACCES, "Permission denied", "/secret/[x]")

    outcome = dlm("show", "x")

    assert (outcome.code, outcome.err) == (1, "io: /secret/[x]: Permission denied\n")


def test_operating_system_errors_without_a_file_name(dlm: Runner) -> None:
    dlm.workspace.raises = OSError("cannot reach it")

    assert dlm("show", "x").err == "io: cannot reach it\n"


def test_migrate_keeps_its_subject_for_operating_system_errors(dlm: Runner) -> None:
    dlm.workspace.raises = FileNotFoundError(errno.ENOENT, "No such file or directory", "x")

    outcome = dlm("migrate", "x")

    assert outcome.code == 1
    assert outcome.err.startswith("migrate: x: No such file or directory\n  ")


def test_an_unexpected_error_names_its_class_and_points_at_verbose(dlm: Runner) -> None:
    dlm.workspace.raises = ZeroDivisionError("by [zero]")

    outcome = dlm("show", "x")

    assert outcome.code == 1
    first, second = outcome.err.splitlines()
    assert first == "error: ZeroDivisionError: by [zero]"
    assert "--verbose" in second


def test_an_unexpected_error_without_text(dlm: Runner) -> None:
    dlm.workspace.raises = MemoryError()

    assert dlm("show", "x").err.startswith("error: MemoryError\n")


@pytest.mark.parametrize("how", ["-v", "--verbose", "DLM_VERBOSE"])
@pytest.mark.parametrize("error", [ZeroDivisionError("x"), StoreError("store.io", "x"), OSError("x")])
def test_tracebacks_on_request(dlm: Runner, monkeypatch: pytest.MonkeyPatch, how: str, error: Exception) -> None:
    dlm.workspace.raises = error
    if how == "DLM_VERBOSE":
        monkeypatch.setenv("DLM_VERBOSE", "1")
        outcome = dlm("show", "x")
    else:
        outcome = dlm("show", "x", how)

    assert outcome.code == 1
    assert "Traceback (most recent call last):" in outcome.err
    assert type(error).__name__ in outcome.err


def test_prompt_verbose_shows_tracebacks_too(dlm: Runner) -> None:
    dlm.workspace.raises = ZeroDivisionError("x")

    assert "Traceback" in dlm("prompt", "x", "q", "--verbose").err


def test_no_traceback_for_the_persons_own_mistakes(dlm: Runner) -> None:
    dlm.workspace.raises = DocumentError([Fault("a", "bad key", 3)], path="x")

    assert "Traceback" not in dlm("-v", "show", "x").err
    assert "Traceback" not in dlm("-v", "train", "x", "--bogus").err


def test_ctrl_c_is_130(dlm: Runner) -> None:
    dlm.workspace.raises = KeyboardInterrupt()

    outcome = dlm("show", "x")

    assert (outcome.code, outcome.err) == (130, "interrupted\n")


@pytest.mark.parametrize(
    ("status", "code", "text"), [(None, 0, ""), (5, 5, ""), ("no [luck]", 1, "error: no [luck]\n")]
)
def test_a_library_that_exits_does_not_take_the_program_along(
    dlm: Runner, status: str | int | None, code: int, text: str
) -> None:
    dlm.workspace.raises = SystemExit(status)

    outcome = dlm("show", "x")

    assert (outcome.code, outcome.err) == (code, text)


def test_an_empty_question_is_refused_before_the_document_is_read(dlm: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr("dlm.cli.workspace.load_document", fail)

    assert dlm("prompt", "x").code == 2


def test_a_question_that_is_not_text(dlm: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9"), encoding="utf-8"))

    outcome = dlm("prompt", "x")

    assert outcome.code == 2
    assert outcome.err.startswith("prompt: standard input is not utf-8 text")


def test_closed_standard_input_is_no_question(dlm: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)

    assert dlm("prompt", "x").code == 2


def test_an_empty_gallery_says_what_to_do(dlm: Runner) -> None:
    dlm.workspace.entries = ()

    outcome = dlm("templates", "list")

    assert outcome.code == 1
    assert outcome.err.startswith("templates: the gallery has no templates\n  ")


def test_errors_are_red_warnings_yellow_done_green_on_a_terminal(
    dlm: Runner, on_terminal: Callable[..., None], notes: Path
) -> None:
    on_terminal("stderr")
    dlm.workspace.replaced_id = "01OLD"
    made = dlm("init", str(notes)).err
    dlm.workspace.raises = StoreError("store.io", "it [broke]", hint="Fix it.")
    failed = dlm("show", "x").err

    assert "\x1b[33minit:\x1b[0m the former document" in made
    assert "\x1b[32minit:\x1b[0m wrote" in made
    assert failed == "\x1b[31mstore:\x1b[0m it [broke]\n  Fix it.\n"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_can_be_off(
    dlm: Runner, on_terminal: Callable[..., None], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    on_terminal("stderr")
    monkeypatch.setenv(name, value)
    dlm.workspace.raises = StoreError("store.io", "it broke")

    assert dlm("show", "x").err == "store: it broke\n"


def test_an_error_cannot_steer_the_terminal(dlm: Runner, on_terminal: Callable[..., None]) -> None:
    on_terminal("stderr")
    dlm.workspace.raises = StoreError("store.io", "bad name \x1b]0;owned\x07\x1b[2J here")

    assert dlm("show", "x").err == "\x1b[31mstore:\x1b[0m bad name  here\n"


def test_a_run_that_learned_nothing_is_no_error(dlm: Runner) -> None:
    dlm.workspace.run = Run(
        status="nothing-to-do", message="it is [empty]", adapter_version=None, steps=0, final_train_loss=None, exam=None
    )

    outcome = dlm("train", "notes.dlm")

    assert (outcome.code, outcome.out) == (0, "")
    assert "train: nothing to do for notes.dlm: it is [empty]\n" in outcome.err
