"""``dlm cache``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import timedelta

from dlm.cli.parser import Parser, Subparsers, add_command, add_json, add_path
from dlm.cli.render import Output
from dlm.cli.workspace import CacheSize, Session


def add(commands: Subparsers) -> None:
    """Add the group to the tree."""
    group = add_command(
        commands,
        "cache",
        summary="look after the token cache of a document",
        text="Text under training.sources is split into tokens, the pieces that a model reads, once; the cache keeps "
        "them for the next training. It may be cleared at any time: the next training makes it anew.",
        example="dlm cache show notes.dlm",
    )
    inner = group.add_subparsers(title="commands", metavar="<command>", dest="subcommand")
    _add_show(inner)
    _add_prune(inner)
    _add_clear(inner)


def _add_show(inner: Subparsers) -> None:
    parser = _add(
        inner,
        "show",
        "tell what the cache holds",
        "Show how many rows the cache holds, its size, and how many of its rows the last training found there.",
        "dlm cache show notes.dlm\ndlm cache show notes.dlm --json",
    )
    add_json(parser, "Print everything as JSON.")
    parser.set_defaults(run=run_show)


def _add_prune(inner: Subparsers) -> None:
    parser = _add(
        inner,
        "prune",
        "drop what was not used for long",
        "Drop rows that no training has used for some time, and files that killed programs left behind.",
        "dlm cache prune notes.dlm --older-than 30d",
    )
    parser.add_argument(
        "--older-than",
        type=_duration,
        metavar="<duration>",
        help="A whole number with s, m, h or d behind it, such as 30d or 12h "
        "(default: training.cache.prune_older_than_days of the document, 90 days unless it says otherwise).",
    )
    parser.set_defaults(run=run_prune)


def _add_clear(inner: Subparsers) -> None:
    parser = _add(
        inner,
        "clear",
        "drop everything in the cache",
        "Drop all rows of the cache, after asking. What the model has learned is not touched.",
        "dlm cache clear notes.dlm --force",
    )
    parser.add_argument("--force", action="store_true", help="Do not ask.")
    parser.set_defaults(run=run_clear)


def _add(inner: Subparsers, name: str, summary: str, text: str, example: str) -> Parser:
    parser = add_command(inner, name, summary=summary, text=text, example=example)
    add_path(parser, "The document.")
    return parser


def _duration(text: str) -> timedelta:
    from dlm.domain.durations import parse_duration

    try:
        return parse_duration(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc


def run_show(args: argparse.Namespace, session: Session) -> int:
    """Show the cache."""
    report = session.open().cache_show(args.path)
    if args.json:
        session.out.json(report.to_json())
    else:
        session.out.data(report.to_text())
    return 0


def run_prune(args: argparse.Namespace, session: Session) -> int:
    """Drop old rows."""
    count = session.open().cache_prune(args.path, older_than=args.older_than)
    session.out.done("cache", f"dropped {_rows(count)}")
    return 0


def run_clear(args: argparse.Namespace, session: Session) -> int:
    """Drop all rows; a no to the question is no failure."""
    confirm = _yes if args.force else _question(session.out)
    count = session.open().cache_clear(args.path, confirm=confirm)
    if count is None:
        session.out.note("cache", "nothing was dropped")
    else:
        session.out.done("cache", f"dropped {_rows(count)}")
    return 0


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


def _yes(_: CacheSize) -> bool:
    return True


def _question(out: Output) -> Callable[[CacheSize], bool]:
    """Give the question; the end of input is a no."""

    def ask(size: CacheSize) -> bool:
        from dlm.domain.numbers import human_size

        out.question(f"Drop {_rows(size.entries)} ({human_size(size.bytes_on_disk)}) from the token cache? [y/N] ")
        out.stderr.flush()
        answer = sys.stdin.readline() if sys.stdin is not None else ""
        return answer.strip().lower() in ("y", "yes")

    return ask
