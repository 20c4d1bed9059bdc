"""``dlm prompt``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

import attrs

from dlm.cli.parser import Subparsers, add_command, add_path, share, temperature, whole_number
from dlm.cli.progress import EventPrinter, event_printer
from dlm.cli.render import Output
from dlm.cli.terminal import is_terminal
from dlm.cli.workspace import Session
from dlm.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dlm.domain.inference import InferencePlan


def add(commands: Subparsers) -> None:
    """Add the command to the tree."""
    parser = add_command(
        commands,
        "prompt",
        summary="ask the trained model a question",
        text="Ask the model that was trained on the document. Without a question on the command line, the whole of "
        "standard input is the question. The answer is printed on standard output.",
        example='dlm prompt notes.dlm "What is a decorator?"\ndlm prompt notes.dlm --temp 0 < question.txt',
        late_positionals=True,
        own_verbose=True,
    )
    add_path(parser, "The trained document.")
    parser.add_argument("query", nargs="?", metavar="query", help="The question, in quotation marks.")
    parser.add_argument(
        "--max-tokens",
        type=whole_number(1),
        default=256,
        metavar="N",
        help="Longest answer, in tokens (pieces of words) (default: 256).",
    )
    parser.add_argument(
        "--temp",
        type=temperature,
        metavar="F",
        help="How freely words are chosen; 0 gives the same answer each time "
        "(default: 0.7, or what the base model recommends).",
    )
    parser.add_argument(
        "--top-p",
        type=share,
        metavar="F",
        help="Choose only among the likeliest words that together have this probability (default: no limit).",
    )
    parser.add_argument(
        "--backend",
        choices=("auto", "pytorch", "mlx"),
        default="auto",
        help="Program that runs the model: mlx on Apple computers, pytorch anywhere (default: auto picks).",
    )
    parser.add_argument(
        "--verbose",
        dest="show_plan",
        action="store_true",
        help="Tell on standard error how the model is run, and why; show the traceback when something breaks.",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, session: Session) -> int:
    """Ask and print the answer."""
    out = session.out
    query = _question(args.query, out)
    document = session.document(args.path)
    with event_printer(out) as events:
        pieces = session.open().prompt(
            document,
            query,
            max_tokens=args.max_tokens,
            temperature=args.temp,
            top_p=args.top_p,
            backend=args.backend,
            stream=True,
            on_plan=(lambda plan: _print_plan(plan, out)) if out.verbose else None,
            on_event=events,
        )
        _print_answer(pieces, events, out)
    return 0


def _question(given: str | None, out: Output) -> str:
    """Give the question, before anything slow happens."""
    query = _from_stdin(out) if given is None else given
    if not query.strip():
        raise UsageError(
            "prompt.empty-question",
            "there is no question",
            subject="prompt",
            hint='Write it in quotation marks: dlm prompt notes.dlm "What is a decorator?"',
        )
    return query


def _from_stdin(out: Output) -> str:
    if sys.stdin is None:
        return ""
    if is_terminal(sys.stdin):
        ending = "Ctrl-Z and Enter" if sys.platform == "win32" else "Ctrl-D"
        out.note("prompt", f"type the question; {ending} on a new line ends it")
    try:
        return sys.stdin.read().strip()
    except UnicodeDecodeError as exc:
        raise UsageError(
            "prompt.not-text",
            f"standard input is not {exc.encoding} text: {exc.reason} at byte {exc.start}",
            subject="prompt",
            hint="Save the question as UTF-8 text and try again.",
        ) from exc


def _print_plan(plan: InferencePlan, out: Output) -> None:
    for field in attrs.fields(type(plan)):
        out.detail("plan", f"{field.name} = {getattr(plan, field.name)}")


def _print_answer(pieces: Iterator[str], events: EventPrinter, out: Output) -> None:
    writer = out.pieces()
    try:
        for piece in pieces:
            events.rest()
            writer.write(piece)
    except BaseException:
        writer.abandon()
        raise
    writer.finish()
