"""Tab completion: static scripts made from the parser, printed or put where the shell looks."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dlm.cli.parser import Parser, subcommands
from dlm.domain.errors import DlmError, UsageError
from dlm.domain.text_files import disk_error, write_atomic

SHELLS = ("bash", "zsh", "fish", "powershell")
_ALIASES = {"pwsh": "powershell"}


def choose_shell(named: str | None) -> str:
    """Give the shell that was named, else the one this person uses.

    Raises:
        UsageError: a shell dlm has no script for, or none can be made out.
    """
    wanted = named or Path(os.environ.get("SHELL", "")).name or ("powershell" if sys.platform == "win32" else "")
    shell = _ALIASES.get(wanted.lower(), wanted.lower())
    if shell in SHELLS:
        return shell
    reason = f"no completion for the shell {wanted!r}" if wanted else "cannot tell which shell you use"
    raise UsageError("cli.unknown-shell", reason, subject="completion", hint=f"Name one of: {', '.join(SHELLS)}.")


def script(shell: str, parser: Parser) -> str:
    """Give the completion script of ``parser`` for one of :data:`SHELLS`."""
    import shtab

    kinds: dict[str, Any] = {"file": shtab.FILE, "directory": shtab.DIRECTORY}
    for action in _actions(parser):
        kind = getattr(action, "completes", None)
        if kind is not None:
            action.complete = kinds[kind]  # type: ignore[attr-defined]  # the attribute shtab reads
        elif action.dest.endswith("_completion"):
            action.choices = SHELLS
    text: str = shtab.complete(parser, shell)
    return text


def install(shell: str, parser: Parser) -> Path:
    """Write the script to the shell's place for this person and give its path.

    Raises:
        DlmError: the folder cannot be made or written.
    """
    path = place(shell)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise _moved(disk_error(exc, path)) from exc
    write_atomic(path, script(shell, parser).encode("utf-8"), mode=0o644)
    return path


def place(shell: str) -> Path:
    """Give the file a shell's script belongs in."""
    home = Path.home()
    config = _folder("XDG_CONFIG_HOME", home / ".config")
    if shell == "bash":
        data = _folder("XDG_DATA_HOME", home / ".local" / "share")
        return _folder("BASH_COMPLETION_USER_DIR", data / "bash-completion") / "completions" / "dlm"
    if shell == "zsh":
        return _folder("ZDOTDIR", home) / ".zfunc" / "_dlm"
    if shell == "fish":
        return config / "fish" / "completions" / "dlm.fish"
    return config / "powershell" / "dlm-completion.ps1"


def activation(shell: str, path: Path) -> str:
    """Say what is left to do before Tab works."""
    if shell == "bash":
        return f"open a new terminal; without the package bash-completion, add to ~/.bashrc:  source '{path}'"
    if shell == "zsh":
        return f"add to ~/.zshrc:  fpath+=('{path.parent}'); autoload -Uz compinit && compinit"
    if shell == "fish":
        return "open a new terminal"
    return f"add to the file $PROFILE names:  . '{path}'"


def _moved(error: DlmError) -> DlmError:
    # The usual hint is about the store; this file's place is the shell's choice.
    error.hint = "Print the script with --show-completion and save it where you like."
    return error


def _folder(variable: str, default: Path) -> Path:
    value = os.environ.get(variable)
    return Path(value) if value else default


def _actions(parser: Parser) -> Iterator[argparse.Action]:
    yield from parser._actions
    for child in subcommands(parser).values():
        yield from _actions(child)
