"""``dlm metrics``."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from dlm.cli.parser import Subparsers, add_command, add_path, complete_with, file_path, positive, whole_number
from dlm.cli.render import Output
from dlm.cli.terminal import can_show
from dlm.cli.workspace import Phase, RunNews, Session
from dlm.domain.errors import UsageError
from dlm.domain.sparkline import BLOCKS
from dlm.domain.text_files import write_atomic

if TYPE_CHECKING:
    from dlm.domain.metrics import EvalMetrics, StepMetrics

ACTIONS = ("show", "watch")
DEFAULT_LIMIT = 20
DEFAULT_POLL_S = 1.0

_UNITS: Mapping[str, str] = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_NOT_WITH_WATCH = ("json", "csv", "html", "run_id", "phase", "since", "limit")


def add(commands: Subparsers) -> None:
    """Add the command to the tree."""
    parser = add_command(
        commands,
        "metrics",
        summary="see how trainings went",
        text="List the trainings of a document, newest first: how long each took, how far the loss fell, what its exam "
        "found. --run-id shows one of them in full; watch follows the one that is running now.",
        example="dlm metrics notes.dlm\ndlm metrics notes.dlm --run-id 3\ndlm metrics notes.dlm --html history.html\n"
        "dlm metrics notes.dlm watch",
        late_positionals=True,
    )
    add_path(parser, "The document.")
    second = parser.add_argument(
        "action",
        nargs="?",
        type=file_path,
        metavar="watch",
        help="watch prints new steps as a training makes them, until Ctrl-C; show, the default, prints what is there. "
        "The word may also stand before the document.",
    )
    complete_with(second, "file")
    _add_forms(parser)
    _add_filters(parser)
    parser.set_defaults(run=run)


def _add_forms(parser: argparse.ArgumentParser) -> None:
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="Print the runs as JSON; with --run-id also each step.")
    forms.add_argument("--csv", action="store_true", help="Print the runs as CSV; with --run-id the steps.")
    page = forms.add_argument(
        "--html", type=file_path, metavar="FILE", help="Write all runs with their curves into one page for a browser."
    )
    complete_with(page, "file")


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run-id", type=whole_number(1), metavar="N", help="Tell everything about this run.")
    parser.add_argument("--phase", choices=get_args(Phase), help="Only runs of this kind of training.")
    parser.add_argument(
        "--since", type=window, metavar="WINDOW", help="Only runs of this last time, such as 30m, 24h or 7d."
    )
    parser.add_argument(
        "--limit",
        type=whole_number(1),
        metavar="N",
        help=f"At most this many runs, the newest (default: {DEFAULT_LIMIT}; with --html all).",
    )
    parser.add_argument(
        "--poll-seconds",
        type=positive,
        metavar="F",
        help=f"With watch: seconds between two looks (default: {DEFAULT_POLL_S}).",
    )


def window(text: str) -> timedelta:
    """Check a length of time: a whole number and its unit."""
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a length of time such as 10s, 30m, 24h or 7d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def run(args: argparse.Namespace, session: Session) -> int:
    """List, tell in detail, write a page, or watch."""
    path, action = _told_apart(args.path, args.action)
    if action == "watch":
        return _watch(path, args, session)
    if args.poll_seconds is not None:
        raise _misplaced("--poll-seconds means something only together with watch", f"dlm metrics {path} watch")
    chosen: dict[str, Any] = {"run_id": args.run_id, "phase": args.phase, "since": args.since}
    if args.html is not None:
        return _write_page(path, args, chosen, session)
    report = session.open().metrics(path, limit=args.limit or DEFAULT_LIMIT, **chosen)
    out = session.out
    if args.json:
        out.json(report.to_json())
    elif args.csv:
        out.data(report.to_csv().rstrip("\n"))
    else:
        out.data(report.to_text(blocks=can_show(out.stdout, BLOCKS)))
    return 0


def _told_apart(first: Path, second: Path | None) -> tuple[Path, str]:
    """Give document and action, whichever stood first."""
    if second is None:
        if str(first) in ACTIONS and not first.exists():
            raise _misplaced("missing <path>", f"dlm metrics {first} notes.dlm")
        return first, "show"
    if str(first) in ACTIONS and (str(second) not in ACTIONS or not first.exists()):
        return second, str(first)
    if str(second) in ACTIONS:
        return first, str(second)
    raise UsageError(
        "cli.usage", f"unknown argument: {second}", subject="metrics", hint="After the document only watch can stand."
    )


def _misplaced(message: str, write: str) -> UsageError:
    return UsageError("metrics.watch-option", message, subject="metrics", hint=f"Write: {write}")


def _write_page(path: Path, args: argparse.Namespace, chosen: Mapping[str, Any], session: Session) -> int:
    history = session.open().history(path, limit=args.limit, **chosen)
    _replace(args.html, history.to_html().encode())
    session.out.done("metrics", f"wrote {args.html} ({len(history)} {'run' if len(history) == 1 else 'runs'})")
    return 0


def _replace(path: Path, data: bytes) -> None:
    if path.exists() and not path.is_file():
        path.write_bytes(data)  # a device or a pipe takes it as it comes; a folder refuses
    else:
        write_atomic(path, data)


def _watch(path: Path, args: argparse.Namespace, session: Session) -> int:
    for name in _NOT_WITH_WATCH:
        if getattr(args, name) not in (None, False):
            option = f"--{name.replace('_', '-')}"
            raise _misplaced(f"{option} has no meaning together with watch", f"dlm metrics {path} watch")
    out = session.out
    try:
        for news in session.open().watch_metrics(path, poll_seconds=args.poll_seconds or DEFAULT_POLL_S):
            if news is None:
                out.note("metrics", f"no runs yet; waiting for: dlm train {path}")
            else:
                _print_news(news, out)
            out.flush()
    except KeyboardInterrupt:
        # It is the way to end it.
        return 0
    return 0


def _print_news(news: RunNews, out: Output) -> None:
    run = news.run
    if news.is_switch:
        out.data(f"run {run.run_id} ({run.phase or 'unknown phase'}), started {run.started_at:%Y-%m-%d %H:%M:%S} UTC")
    steps = [(step.step, 0, _step_line(step)) for step in news.steps]
    looks = [(look.step, 1, _eval_line(look)) for look in news.evals]
    for _, is_look, line in sorted(steps + looks):
        out.data(line, colour="green" if is_look else None)
    if news.is_over:
        message = f": {run.message}" if run.message else ""
        out.data(f"run {run.run_id} ended: {run.status or 'status unknown'}{message}")


def _step_line(step: StepMetrics) -> str:
    figures = (
        ("loss", step.loss, ".4f"),
        ("lr", step.lr, ".2e"),
        ("grad norm", step.grad_norm, ".3f"),
        ("tokens/s", step.tokens_per_sec, ".0f"),
    )
    return _line(step.step, figures)


def _eval_line(look: EvalMetrics) -> str:
    figures = (
        ("held-out loss", look.val_loss, ".4f"),
        ("perplexity", look.perplexity, ".2f"),
        ("loss over removed sections", look.retention, ".4f"),
    )
    return _line(look.step, figures)


def _line(step: int, figures: Sequence[tuple[str, float | None, str]]) -> str:
    known = (f"{name} {value:{form}}" for name, value, form in figures if value is not None)
    return "  ".join([f"step {step}", *known])
