"""Commands that look and report: ``dlm exam``, ``dlm show``, ``dlm doctor``."""

from __future__ import annotations

import argparse

from dlm.cli.parser import Subparsers, add_command, add_json, add_path
from dlm.cli.progress import event_printer
from dlm.cli.render import Output
from dlm.cli.workspace import Session, TextReport


def add_exam(commands: Subparsers) -> None:
    """Add ``exam`` to the tree."""
    parser = add_command(
        commands,
        "exam",
        summary="test what the trained model knows",
        text="Ask the trained model the questions of its document again, and some unrelated ones: which answers are "
        "known, which are not, and how far the model moved away from its base elsewhere.",
        example="dlm exam notes.dlm",
    )
    add_path(parser, "The trained document.")
    add_json(parser, "Print the result as JSON.")
    parser.set_defaults(run=run_exam)


def add_show(commands: Subparsers) -> None:
    """Add ``show`` to the tree."""
    parser = add_command(
        commands,
        "show",
        summary="tell what was trained from a document",
        text="Show a document's base model, adapter version, training history and recorded versions. Needs no network "
        "and loads no model.",
        example="dlm show notes.dlm\ndlm show notes.dlm --json",
    )
    add_path(parser, "The document.")
    add_json(parser, "Print everything as JSON.")
    parser.set_defaults(run=run_show)


def add_doctor(commands: Subparsers) -> None:
    """Add ``doctor`` to the tree."""
    parser = add_command(
        commands,
        "doctor",
        summary="examine this machine and suggest a training plan",
        text="Look at the processor, the graphics card, the memory and the installed packages, and say how a model of "
        "1.5 billion parameters would be trained here. Needs no network.",
        example="dlm doctor",
    )
    add_json(parser, "Print everything as JSON.")
    parser.set_defaults(run=run_doctor)


def run_exam(args: argparse.Namespace, session: Session) -> int:
    """Examine the trained model."""
    document = session.document(args.path)
    with event_printer(session.out) as events:
        exam = session.open().exam(document, on_event=events)
    return _print(exam, args, session.out)


def run_show(args: argparse.Namespace, session: Session) -> int:
    """Show the document's history."""
    return _print(session.open().show(args.path), args, session.out)


def run_doctor(args: argparse.Namespace, session: Session) -> int:
    """Show the machine."""
    return _print(session.open().doctor(), args, session.out)


def _print(report: TextReport, args: argparse.Namespace, out: Output) -> int:
    if args.json:
        out.json(report.to_json())
    else:
        out.data(report.to_text().rstrip("\n"))
    return 0
