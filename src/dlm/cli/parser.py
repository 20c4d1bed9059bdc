"""Building blocks of the command tree: the parser class, the options every command takes, checks of values."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, Protocol

from dlm.domain.errors import UsageError

EXAMPLE = "Example:\n"
"""How each command's epilog begins."""

_GLOBAL_DESTS = ("help", "home", "verbose", "quiet", "version", "install_completion", "show_completion")


class ParserExit(Exception):  # noqa: N818 - nothing went wrong
    """The parser did all there was to do, such as printing help."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class CompletionRequest(Exception):  # noqa: N818 - nothing went wrong
    """The person asked for shell completion; ``shell`` is None when none was named."""

    def __init__(self, shell: str | None, *, install: bool) -> None:
        super().__init__(shell)
        self.shell = shell
        self.install = install


class Parser(argparse.ArgumentParser):
    """An argument parser that raises instead of ending the process, and knows where its positionals may stand.

    Args:
        late_positionals: options may stand between the positional arguments (``prompt doc.dlm --temp 0 "question"``).
    """

    def __init__(self, *, late_positionals: bool = False, **kwargs: Any) -> None:
        # An abbreviation that works today would break when a longer option with the same start arrives.
        super().__init__(allow_abbrev=False, add_help=False, formatter_class=HelpFormatter, **kwargs)
        self._late_positionals = late_positionals
        self._mixing = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; argparse alone would give up the second positional when an option stands before it."""
        if not self._late_positionals or self._mixing:
            return super().parse_known_args(args, namespace)
        self._mixing = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._mixing = False

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise UsageError(
            "cli.usage", _plain(message), subject=self._subject(), hint=_hint(self.prog, message, _words(self))
        )

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """End parsing."""
        raise ParserExit(status)

    def _subject(self) -> str:
        return self.prog.split()[1] if " " in self.prog else "usage"


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Help with prose wrapped, examples kept as written, and a usage line of the command's own options."""

    def __init__(self, prog: str, **kwargs: Any) -> None:
        super().__init__(prog, max_help_position=30, **kwargs)

    def add_usage(self, usage: str | None, actions: Any, groups: Any, prefix: str | None = None) -> None:
        """Leave the options of every command to their own list."""
        super().add_usage(usage, [action for action in actions if not is_global(action)], groups, prefix)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith(EXAMPLE):
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)


class _CompletionAction(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, *, install: bool, **kwargs: Any) -> None:
        super().__init__(option_strings, dest, nargs="?", default=argparse.SUPPRESS, **kwargs)
        self._install = install

    def __call__(self, _parser: object, _namespace: object, values: Any, _option: str | None = None) -> None:
        raise CompletionRequest(values, install=self._install)


class Subparsers(Protocol):
    """What ``add_subparsers`` gives."""

    def add_parser(self, name: str, **kwargs: Any) -> Parser: ...


def add_command(commands: Subparsers, name: str, *, summary: str, text: str, example: str, **kwargs: Any) -> Parser:
    """Add a command with its help and the options every command takes.

    Args:
        summary: one line for the list of commands.
        text: what it does, for somebody who never did it.
        example: command lines, one a line; required, so that no command goes without.
    """
    own_verbose = kwargs.pop("own_verbose", False)
    lines = "\n".join(f"  {line}" for line in example.splitlines())
    parser = commands.add_parser(name, help=summary, description=text, epilog=f"{EXAMPLE}{lines}", **kwargs)
    add_global_options(parser, own_verbose=own_verbose)
    return parser


def add_global_options(parser: Parser, *, own_verbose: bool = False) -> None:
    """Add the options that may stand before and after a command.

    A missing option leaves no trace in the namespace, so that the command's parser does not undo what stood before
    the command. ``own_verbose`` leaves ``--verbose`` to the command; ``-v`` stays.
    """
    group = parser.add_argument_group("options of every command")
    absent = argparse.SUPPRESS
    group.add_argument("-h", "--help", action="help", default=absent, help="Show this help and exit.")
    home = group.add_argument(
        "--home",
        type=folder,
        default=absent,
        metavar="PATH",
        help="Folder where dlm keeps what it learned (default: $DLM_HOME, else ~/.dlm).",
    )
    complete_with(home, "directory")
    names = ("-v",) if own_verbose else ("-v", "--verbose")
    group.add_argument(
        *names,
        dest="verbose",
        action="store_true",
        default=absent,
        help="Tell what was decided and why; show the full traceback when something breaks.",
    )
    group.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        default=absent,
        help="No notes, no progress; errors, warnings and results stay.",
    )
    group.add_argument(
        "--version",
        action="store_true",
        default=absent,
        help="Print the version of dlm and exit, whatever else is given.",
    )
    for verb, install in (("install", True), ("show", False)):
        purpose = "Set up Tab completion" if install else "Print the Tab completion script"
        group.add_argument(
            f"--{verb}-completion",
            action=_CompletionAction,
            install=install,
            metavar="SHELL",
            help=f"{purpose} for bash, zsh, fish or powershell (default: your shell) and exit.",
        )


def add_path(parser: Parser, help_text: str) -> None:
    """Add the document argument."""
    complete_with(parser.add_argument("path", type=file_path, metavar="<path>", help=help_text), "file")


def add_json(parser: Parser, help_text: str) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help=help_text)


def complete_with(action: argparse.Action, kind: str) -> None:
    """Mark an argument for completion scripts: ``file`` or ``directory``."""
    action.completes = kind  # type: ignore[attr-defined]  # read by dlm.cli.completion, which translates it per shell


def whole_number(least: int) -> Callable[[str], int]:
    """Give a check for whole numbers from ``least`` up."""

    def check(text: str) -> int:
        # int() would also take "1_000", " 5" and digits of other alphabets.
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of {least} or more")
        return int(text)

    return check


def temperature(text: str) -> float:
    """Check a sampling temperature: 0 or more."""
    value = _number(text)
    if value is None or value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return value


def positive(text: str) -> float:
    """Check a number above 0."""
    value = _number(text)
    if value is None or value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def share(text: str) -> float:
    """Check a probability mass: above 0, at most 1."""
    value = _number(text)
    if value is None or not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and up to 1")
    return value


def folder(text: str) -> Path:
    """Check the path of a folder."""
    return _path(text, "folder")


def file_path(text: str) -> Path:
    """Check the path of a file."""
    return _path(text, "file")


def _path(text: str, what: str) -> Path:
    if not text.strip() or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r} names no {what}")
    return Path(text)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def is_global(action: argparse.Action) -> bool:
    """Say whether every command has this option."""
    return action.dest in _GLOBAL_DESTS


def subcommands(parser: argparse.ArgumentParser) -> dict[str, Parser]:
    """Give the commands directly below ``parser``, by name, in help order."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _words(parser: argparse.ArgumentParser) -> list[str]:
    options = [name for action in parser._actions for name in action.option_strings]
    return [*options, *subcommands(parser)]


_WORDINGS = (
    (r"^argument ", ""),
    (r"^the following arguments are required: ", "missing "),
    (r"^<command>: invalid choice: (.+?) \(.*", r"there is no command \1"),
    (r"^(\S+): not allowed with argument (\S+)", r"\1 and \2 cannot be used together"),
    (r"invalid choice: (.+?) \(choose from (.+)\)$", lambda found: f"{found[1]} is not one of: {_bare(found[2])}"),
)
"""argparse's way of speaking → ours, applied in this order; unknown wordings stay as they are."""


def _plain(message: str) -> str:
    for pattern, replacement in _WORDINGS:
        message = re.sub(pattern, replacement, message)
    return message


def _bare(choices: str) -> str:
    return choices.replace("'", "")


def refuse_extras(parser: Parser, extras: Sequence[str]) -> NoReturn:
    """Refuse words no argument takes."""
    words = " ".join(extras)
    if not any(word.startswith("-") for word in extras) and parser.prog.endswith(" prompt"):
        raise UsageError(
            "cli.usage", f"too many words: {words}", subject="prompt", hint="Put the question in quotation marks."
        )
    parser.error(f"unknown argument: {words}")


def _hint(prog: str, message: str, known: Sequence[str]) -> str:
    see = f"{prog} --help shows what can be written, with an example."
    mistyped = re.search(r"(?:unknown argument: |invalid choice: ')([\w-]+)", message)
    if mistyped is None:
        return see
    import difflib

    close = difflib.get_close_matches(mistyped[1], known, n=1)
    return f"Did you mean {close[0]}? {see}" if close else see
