"""Completion scripts: bash really completes; zsh and fish too where they are installed; all have every command."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from cli.cli_fakes import Runner
from dlm.cli.completion import SHELLS, place, script
from dlm.cli.parser import subcommands
from dlm.cli.tree import build_parser


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        shutil.which(shell) is None, reason=f"{shell} is not installed; its text is checked above"
    )


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("completion")
    paths = {shell: folder / f"dlm.{shell}" for shell in SHELLS}
    for shell, path in paths.items():
        path.write_text(script(shell, build_parser()), encoding="utf-8")
    return paths


@pytest.mark.parametrize("shell", SHELLS)
def test_each_script_knows_every_command_and_option(scripts: dict[str, Path], shell: str) -> None:
    text = scripts[shell].read_text(encoding="utf-8")

    for name, child in subcommands(build_parser()).items():
        assert name in text
        for action in child._actions:
            for option in action.option_strings:
                assert option.lstrip("-") in text, option


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def _bash(path: Path, *words: str, folder: Path | None = None) -> list[str]:
    function = "$(complete -p dlm | sed -E 's/.*-F ([^ ]+) .*/\\1/')"
    line = " ".join(f"'{word}'" for word in ("dlm", *words))
    code = (
        f"cd '{folder or path.parent}'; source '{path}'; COMP_WORDS=({line}); COMP_CWORD={len(words)}; "
        f'{function} dlm "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    return _run("bash", "--norc", "-c", code).split()


@needs("bash")
@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["tr"], ["train"]),
        (["do"], ["doctor"]),
        (["templates", "l"], ["list"]),
        (["train", "--strict-l"], ["--strict-lock"]),
        (["prompt", "--backend", "p"], ["pytorch"]),
        (["--show-completion", "z"], ["zsh"]),
        (["show", "--hom"], ["--home"]),
    ],
)
def test_bash_completes(scripts: dict[str, Path], words: list[str], wanted: list[str]) -> None:
    assert _bash(scripts["bash"], *words) == wanted


@needs("bash")
def test_bash_completes_documents_and_folders(scripts: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "notes.dlm").touch()
    (tmp_path / "nested").mkdir()

    assert _bash(scripts["bash"], "train", "note", folder=tmp_path) == ["notes.dlm"]
    assert _bash(scripts["bash"], "train", "--home", "n", folder=tmp_path) == ["nested"]


@needs("zsh")
def test_zsh_reads_its_script(scripts: dict[str, Path]) -> None:
    _run("zsh", "-n", str(scripts["zsh"]))
    assert scripts["zsh"].read_text(encoding="utf-8").startswith("#compdef dlm\n")


@needs("fish")
@pytest.mark.parametrize(
    ("line", "wanted"),
    [("dlm tr", "train"), ("dlm train --strict-l", "--strict-lock"), ("dlm prompt --backend m", "mlx")],
)
def test_fish_completes(scripts: dict[str, Path], tmp_path: Path, line: str, wanted: str) -> None:
    # fish asks a command that exists; an empty one will do.
    program = tmp_path / "dlm"
    program.touch(mode=0o755)
    code = f"set -x PATH '{tmp_path}' $PATH; source '{scripts['fish']}'; complete -C '{line}'"

    found = [row.split("\t")[0] for row in _run("fish", "--no-config", "-c", code).splitlines()]

    assert found == [wanted]


@pytest.mark.parametrize(
    ("variable", "shell"),
    [("/bin/bash", "bash"), ("/usr/bin/zsh", "zsh"), ("/opt/fish", "fish"), ("pwsh", "powershell")],
)
def test_the_shell_is_the_persons_own_unless_named(
    dlm: Runner, monkeypatch: pytest.MonkeyPatch, variable: str, shell: str
) -> None:
    monkeypatch.setenv("SHELL", variable)

    outcome = dlm("--show-completion")

    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == script(shell, build_parser()).rstrip("\n") + "\n"
    assert dlm("--show-completion", shell.upper()).out == outcome.out


@pytest.mark.parametrize("value", ["", "/bin/ksh"])
def test_an_unknown_shell_is_refused(dlm: Runner, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SHELL", value)
    monkeypatch.setattr("sys.platform", "linux")

    outcome = dlm("--install-completion")

    assert outcome.code == 2
    assert outcome.err.startswith("completion: ")
    assert "bash, zsh, fish, powershell" in outcome.err


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home folder with nothing in it."""
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR", "BASH_COMPLETION_USER_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("shell", "where"),
    [
        ("bash", ".local/share/bash-completion/completions/dlm"),
        ("zsh", ".zfunc/_dlm"),
        ("fish", ".config/fish/completions/dlm.fish"),
        ("powershell", ".config/powershell/dlm-completion.ps1"),
    ],
)
def test_install_writes_where_the_shell_looks_and_says_so(dlm: Runner, person: Path, shell: str, where: str) -> None:
    for _ in range(2):
        outcome = dlm("--install-completion", shell)

        assert (outcome.code, outcome.out) == (0, "")
        assert outcome.err.startswith(f"completion: wrote {person / where}\ncompletion: ")
        assert (person / where).read_text(encoding="utf-8") == script(shell, build_parser())
    assert [path.name for path in (person / where).parent.iterdir()] == [Path(where).name]


def test_install_respects_the_shells_own_variables(person: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR"):
        monkeypatch.setenv(name, str(person / name))

    assert place("bash") == person / "XDG_DATA_HOME/bash-completion/completions/dlm"
    assert place("zsh") == person / "ZDOTDIR/.zfunc/_dlm"
    assert place("fish") == person / "XDG_CONFIG_HOME/fish/completions/dlm.fish"
    monkeypatch.setenv("BASH_COMPLETION_USER_DIR", str(person / "own"))
    assert place("bash") == person / "own/completions/dlm"


def test_install_into_a_place_that_is_a_file(dlm: Runner, person: Path) -> None:
    (person / ".zfunc").write_text("not a folder")

    outcome = dlm("--install-completion", "zsh")

    assert outcome.code == 1
    assert "--show-completion" in outcome.err
    assert [path.name for path in person.iterdir()] == [".zfunc"]
