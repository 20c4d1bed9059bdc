"""``dlm init``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from dlm.cli.parser import Subparsers, add_command, add_path
from dlm.cli.render import Output
from dlm.cli.terminal import is_terminal
from dlm.cli.workspace import InitResult, Kind, Session


def add(commands: Subparsers) -> None:
    """Add the command to the tree."""
    parser = add_command(
        commands,
        "init",
        summary="make a new document to write in",
        text="Make a new .dlm document with an example in it, and the place where its trained adapter will be kept.",
        example="dlm init notes.dlm --base smollm2-135m\ndlm init tutor.dlm --template coding-tutor",
    )
    add_path(parser, "The document to make, such as notes.dlm.")
    parser.add_argument(
        "--base",
        metavar="<key>",
        help="The language model to build on: a name dlm knows or hf:org/name "
        "(default: qwen2.5-1.5b, or what --template, --multimodal or --audio need).",
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--template",
        metavar="<name>",
        help="Begin with a finished example from the gallery; dlm templates list names them. Its base model is used.",
    )
    start.add_argument(
        "--multimodal",
        action="store_true",
        help="A document with pictures; builds on paligemma-3b-mix-224 unless --base names another model for pictures.",
    )
    start.add_argument(
        "--audio",
        action="store_true",
        help="A document with sound; builds on qwen2-audio-7b-instruct unless --base names another model for sound.",
    )
    parser.add_argument(
        "--skip-export-probes",
        action="store_true",
        help="Do not check that the base model can be exported; training and asking work without it.",
    )
    parser.add_argument(
        "--i-accept-license",
        action="store_true",
        help="You have read and accept the licence of the base model; needed for some models, remembered afterwards.",
    )
    parser.add_argument("--force", action="store_true", help="Replace the document if it exists already.")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, session: Session) -> int:
    """Make the document and say what was made."""
    result = session.open().init(
        args.path,
        base=args.base,
        template=args.template,
        kind=_kind(args),
        skip_export_probes=args.skip_export_probes,
        accept_license=args.i_accept_license,
        ask=_licence_question(session.out),
        force=args.force,
    )
    _report(result, session.out)
    return 0


def _kind(args: argparse.Namespace) -> Kind:
    if args.multimodal:
        return "multimodal"
    return "audio" if args.audio else "text"


def _licence_question(out: Output) -> Callable[[str], bool] | None:
    """Give the question about a licence, or None when nobody is there to answer it."""
    if sys.stdin is None or not is_terminal(sys.stdin) or not is_terminal(out.stderr):
        return None

    def ask(text: str) -> bool:
        out.question(f"{text}\nDo you accept this licence? [y/N] ")
        out.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    return ask


def _report(result: InitResult, out: Output) -> None:
    for note in result.notes:
        out.warning("init", note)
    if result.replaced_id is not None:
        out.warning(
            "init", f"the former document {result.replaced_id} was replaced; what it learned stays in the store, unused"
        )
    origin = f" from template {result.template}" if result.template is not None else ""
    out.done("init", f"wrote {result.path}{origin} (base {result.base}, id {result.dlm_id})")
    out.note("next", "write your text into it, then train it with dlm train")
