"""``dlm train``."""

from __future__ import annotations

import argparse
import os
import shlex
from contextlib import suppress

from dlm.cli.parser import Parser, Subparsers, add_command, add_json, add_path, whole_number
from dlm.cli.progress import EventPrinter, event_printer
from dlm.cli.render import Output
from dlm.cli.signals import stop_on_signals
from dlm.cli.train_folder import add_folder_options, document_path
from dlm.cli.workspace import LockMode, RunReport, Session, TrainMode
from dlm.domain.errors import Interrupted

INTERRUPTED = 130


def add(commands: Subparsers) -> None:
    """Add the command to the tree."""
    parser = add_command(
        commands,
        "train",
        summary="teach the model what a document says",
        text="Train an adapter, a small addition to the base model, on the document. At the end an exam shows which "
        "answers are known now. Ctrl-C finishes the step, keeps a checkpoint and prints the command that continues. "
        "The final training loss is printed on standard output.",
        example="dlm train notes.dlm\ndlm train notes.dlm --resume\ndlm train notes/ --base smollm2-135m",
    )
    add_path(parser, "The document to learn, or a folder of files.")
    _add_course(parser)
    _add_lock(parser)
    parser.add_argument(
        "--i-accept-license",
        action="store_true",
        help="You have read and accept the licence of the base model (usually asked once, by dlm init).",
    )
    parser.add_argument(
        "--skip-export-probes",
        action="store_true",
        help="Do not check that the base model can be exported; training and asking work without it.",
    )
    parser.add_argument(
        "--break-lock",
        action="store_true",
        help="Remove the writer lock that a killed dlm left behind; only when no other dlm works on this document.",
    )
    parser.add_argument(
        "--trust-sources",
        action="store_true",
        help="Let a document that came in a pack read files outside its own folder, now and later.",
    )
    parser.add_argument(
        "--no-cache",
        action="store_true",
        help="Tokenise all text anew and leave the token cache as it is (the cache serves training.sources).",
    )
    parser.add_argument(
        "--strict-metrics",
        action="store_true",
        help="Stop when a figure cannot be written into the metrics database (default: warn once and go on).",
    )
    add_json(parser, "Print the full report of the run as JSON on standard output instead of the loss.")
    add_folder_options(parser)
    parser.set_defaults(run=run)


def _add_course(parser: Parser) -> None:
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--resume", action="store_true", help="Continue the last training where it ended.")
    start.add_argument(
        "--fresh",
        action="store_true",
        help="Begin again from the base model even if nothing has changed (default: begin again when something has).",
    )
    parser.add_argument(
        "--phase",
        choices=("sft", "preference", "all"),
        default="all",
        help="What to learn from: prose and questions (sft), preferences (preference), or all of it (default).",
    )
    parser.add_argument(
        "--seed", type=whole_number(0), metavar="N", help="Random seed (default: training.seed of the document)."
    )
    parser.add_argument(
        "--max-steps",
        type=whole_number(1),
        metavar="N",
        help="Stop after this many steps; with --resume the earlier steps count (default: no limit).",
    )


def _add_lock(parser: Parser) -> None:
    lock = parser.add_mutually_exclusive_group()
    lock.add_argument(
        "--strict-lock",
        action="store_true",
        help="Refuse to train when anything differs from what dlm.lock recorded, small differences included.",
    )
    lock.add_argument(
        "--update-lock", action="store_true", help="Do not compare with dlm.lock; record today's versions in it."
    )
    lock.add_argument("--ignore-lock", action="store_true", help="Neither compare with dlm.lock nor write it.")


def run(args: argparse.Namespace, session: Session) -> int:
    """Train, show progress, print the outcome."""
    args.path = document_path(args, session)
    document = session.document(args.path)
    out = session.out
    try:
        with event_printer(out) as events, stop_on_signals(lambda: _announce_stop(out)) as stop:
            report = session.open().train(
                document,
                mode=_mode(args),
                phase=args.phase,
                seed=args.seed,
                max_steps=args.max_steps,
                accept_license=args.i_accept_license,
                lock_mode=_lock_mode(args),
                skip_export_probes=args.skip_export_probes,
                break_lock=args.break_lock,
                use_cache=not args.no_cache,
                strict_metrics=args.strict_metrics,
                trust_sources=args.trust_sources,
                on_event=events,
                stop=stop,
            )
    except Interrupted as interrupted:
        return _explain_stop(interrupted, args, session)
    _summarise(report, events, args, out)
    if args.json:
        out.json(report.to_json())
    elif report.final_train_loss is not None:
        out.data(f"{report.final_train_loss:.6f}")
    return 0


def _mode(args: argparse.Namespace) -> TrainMode:
    if args.resume:
        return "resume"
    return "fresh" if args.fresh else "auto"


def _lock_mode(args: argparse.Namespace) -> LockMode:
    if args.strict_lock:
        return "strict"
    if args.update_lock:
        return "update"
    return "ignore" if args.ignore_lock else "default"


def _announce_stop(out: Output) -> None:
    if not out.quiet:
        # Straight to the descriptor: the signal may have interrupted a print into the same buffer.
        with suppress(OSError):
            os.write(2, b"\nstopping at the next safe point; press Ctrl-C again to stop at once\n")


def _explain_stop(interrupted: Interrupted, args: argparse.Namespace, session: Session) -> int:
    """Report the stop and the whole command that goes on, the home and the options of this run included."""
    session.out.error("train", str(interrupted), f"Continue with: {resume_command(args, session)}")
    return INTERRUPTED


def resume_command(args: argparse.Namespace, session: Session) -> str:
    """Give the command line that continues this run."""
    words = ["dlm"]
    if session.home is not None:
        words += ["--home", str(session.home)]
    words += ["train", str(args.path), "--resume"]
    for option, value in (("--seed", args.seed), ("--max-steps", args.max_steps)):
        if value is not None:
            words += [option, str(value)]
    words += ["--no-cache"] * args.no_cache + ["--strict-metrics"] * args.strict_metrics
    return shlex.join(words)


def _summarise(report: RunReport, events: EventPrinter, args: argparse.Namespace, out: Output) -> None:
    if report.adapter_version is None:
        out.note("train", f"nothing to do for {args.path}: {report.message}")
        return
    counts = [f"{report.steps} steps"]
    if events.started is not None:
        counts.append(f"seed={events.started.seed}")
    counts.append(f"determinism={report.determinism_class}")
    if report.anchor_seconds:
        counts.append(f"{report.anchor_seconds:.0f} of {report.seconds:.0f} s to keep ordinary answers")
    out.done("sft", f"v{report.adapter_version:04d} ({', '.join(counts)})")
    out.note("adapter", str(report.adapter_path))
    out.note("log", str(report.log_path))
    if report.exam is not None:
        out.talk(report.exam.to_text().rstrip("\n"))
