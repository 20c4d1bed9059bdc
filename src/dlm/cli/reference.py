"""The reference pages of the command line, made from the parser itself so that they cannot be wrong."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence

from dlm.cli.parser import EXAMPLE, Parser, is_global, subcommands
from dlm.cli.tree import build_parser
from dlm.domain.environment import VARIABLES, Variable, VariableKind

_EXIT_CODES = (
    ("0", "It worked."),
    ("1", "It did not work; the message says what happened and what to do."),
    ("2", "The command line cannot mean anything: an unknown option, a missing argument, options that exclude others."),
    ("130", "Stopped with Ctrl-C or a polite kill."),
    ("141", "The program that read the output, such as `head`, went away."),
)

_ANYWHERE = (
    "They may stand before or after the command: `dlm -q train notes.dlm` and `dlm train notes.dlm -q` are the same."
)

_STREAMS = (
    "Answers, reports and JSON go to standard output and are never wrapped or coloured. Everything else (notes, "
    "progress, warnings, errors) goes to standard error. Errors read `subject: message`, with advice on the next, "
    "indented line."
)

_KINDS: Mapping[VariableKind, str] = {
    "dlm": "Settings of dlm",
    "terminal": "How text is shown",
    "models": "Where base models come from",
    "set": "Set by dlm when absent",
}


def cli_markdown() -> str:
    """Give ``docs/reference/cli.md``: every command, every option, from the running parser."""
    parser = build_parser()
    parts = [
        "# Command line",
        parser.description or "",
        _fence(_examples(parser.epilog)),
        "## Options of every command",
        _ANYWHERE,
        _options([action for action in parser._actions if is_global(action)]),
        *_commands(parser),
        "## Streams",
        _STREAMS,
        "## Exit codes",
        _table(("Code", "Meaning"), _EXIT_CODES),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def environment_markdown() -> str:
    """Give ``docs/reference/environment.md``: every environment variable dlm reads or sets."""
    parts = ["# Environment variables", "None is needed. An option on the command line beats its variable."]
    for kind, title in _KINDS.items():
        rows = [_variable_row(variable) for variable in VARIABLES if variable.kind == kind]
        parts += [f"## {title}", _table(("Variable", "Effect", "Without it"), rows)]
    return "\n\n".join(parts) + "\n"


def _variable_row(variable: Variable) -> tuple[str, str, str]:
    return f"`{variable.name}`", variable.effect, variable.default or "—"


def _commands(parser: Parser) -> Iterator[str]:
    for child in subcommands(parser).values():
        if subcommands(child):
            yield from _commands(child)
        else:
            yield from _command(child)


def _command(parser: Parser) -> Iterator[str]:
    own = [action for action in parser._actions if not is_global(action)]
    yield f"## {parser.prog}"
    yield _prose(parser.description)
    yield _fence(_synopsis(parser, own))
    yield _options(own)
    yield _fence(_examples(parser.epilog))


def _synopsis(parser: Parser, actions: Sequence[argparse.Action]) -> str:
    positionals = [_positional(action) for action in actions if not action.option_strings]
    exclusive = {id(member): group for group in parser._mutually_exclusive_groups for member in group._group_actions}
    words: list[str] = []
    for action in actions:
        group = exclusive.get(id(action))
        if not action.option_strings or (group is not None and group._group_actions[0] is not action):
            continue
        members = [action] if group is None else group._group_actions
        words.append("[" + " | ".join(_spelling(member, member.option_strings[-1]) for member in members) + "]")
    return " ".join([parser.prog, *positionals, *words])


def _positional(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest)
    return f"[{name}]" if action.nargs == "?" else name


def _spelling(action: argparse.Action, option: str) -> str:
    if action.nargs == 0:
        return option
    value = "{" + ",".join(action.choices) + "}" if action.choices else str(action.metavar or action.dest.upper())
    return f"{option} [{value}]" if action.nargs == "?" else f"{option} {value}"


def _options(actions: Sequence[argparse.Action]) -> str:
    rows = []
    for action in actions:
        names = [_spelling(action, option) for option in action.option_strings] or [_positional(action)]
        rows.append((", ".join(f"`{name}`" for name in names), _prose(action.help)))
    return _table(("Option", "Meaning"), rows)


def _examples(epilog: str | None) -> str:
    block = (epilog or "").removeprefix(EXAMPLE).split("\n\n")[0]
    return "\n".join(line.strip() for line in block.splitlines())


def _prose(text: str | None) -> str:
    """Keep ``<name>`` from being read as HTML."""
    return (text or "").replace("<", "\\<")


def _fence(text: str) -> str:
    return f"```bash\n{text}\n```"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [_row(head), _row(["---"] * len(head))]
    return "\n".join([*lines, *(_row(row) for row in rows)])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
