"""``dlm pack``, ``dlm unpack`` and ``dlm verify``."""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import TYPE_CHECKING

from dlm.cli.parser import Parser, Subparsers, add_command, add_json, add_path, complete_with, file_path, folder
from dlm.cli.progress import event_printer
from dlm.cli.terminal import is_terminal
from dlm.cli.workspace import Session
from dlm.domain.numbers import human_size

if TYPE_CHECKING:
    from dlm.cli.workspace import PackReport, UnpackReport


def add_pack(commands: Subparsers) -> None:
    """Add ``pack``."""
    parser = add_command(
        commands,
        "pack",
        summary="put a trained document into one file for somebody else",
        text="Write the document, what it taught the model, and what training again needs into one file. Another "
        "person installs it with dlm unpack. It says what the file tells about you.",
        example="dlm pack notes.dlm\ndlm pack notes.dlm --sign --out share/notes.dlm.pack",
    )
    add_path(parser, "The trained document.")
    parser.add_argument(
        "--out", type=file_path, metavar="PATH", help="The file to write (default: <document>.pack beside it)."
    )
    add_pack_options(parser)
    parser.add_argument(
        "--all-versions", action="store_true", help="Also older versions of the adapter, not only the current one."
    )
    parser.add_argument("--sign", action="store_true", help="Sign it with your key (see dlm keys generate).")
    add_json(parser, "Print one JSON object about the pack.")
    parser.set_defaults(run=run_pack)


def add_pack_options(parser: Parser) -> None:
    """Add what goes into a pack; shared with ``push``."""
    group = parser.add_argument_group("what goes in")
    group.add_argument("--include-exports", action="store_true", help="Also all exports; they are large.")
    group.add_argument(
        "--include-base",
        action="store_true",
        help="Also the base model's weights, so that the other side needs no network.",
    )
    group.add_argument("--include-logs", action="store_true", help="Also logs and figures of the trainings.")
    group.add_argument(
        "--i-am-the-licensee",
        metavar="URL",
        help="Page where you accepted the base's licence; for bases that may not be passed on freely.",
    )


def add_unpack(commands: Subparsers) -> None:
    """Add ``unpack``."""
    parser = add_command(
        commands,
        "unpack",
        summary="install a pack that somebody gave you",
        text="Check every byte of a pack, then put the document beside it and what was trained into dlm's folder. "
        "Whatever is wrong with it, nothing of it stays.",
        example="dlm unpack notes.dlm.pack\ndlm unpack notes.dlm.pack --out documents/",
    )
    _add_pack(parser)
    parser.add_argument(
        "--force", action="store_true", help="Replace what is here under the same id, and a document of the same name."
    )
    out = parser.add_argument(
        "--out", type=folder, metavar="DIR", help="Folder for the document (default: where the pack is)."
    )
    complete_with(out, "directory")
    add_json(parser, "Print one JSON object about what was installed.")
    parser.set_defaults(run=run_unpack)


def add_verify(commands: Subparsers) -> None:
    """Add ``verify``."""
    parser = add_command(
        commands,
        "verify",
        summary="check who signed a pack, before you install it",
        text="Check a pack from its first byte to its signature. Exit code: 0 verified, 1 damaged, changed or not "
        "signed, 2 signed by somebody you do not trust yet, 3 the signature does not hold.",
        example="dlm verify notes.dlm.pack\ndlm verify notes.dlm.pack --trust-on-first-use",
    )
    _add_pack(parser)
    parser.add_argument(
        "--trust-on-first-use",
        action="store_true",
        help="Trust the signer's key from now on, if the signature holds.",
    )
    add_json(parser, "Print one JSON object about the signature.")
    parser.set_defaults(run=run_verify)


def _add_pack(parser: Parser) -> None:
    complete_with(parser.add_argument("pack", type=file_path, metavar="<pack>", help="The .dlm.pack file."), "file")


def run_pack(args: argparse.Namespace, session: Session) -> int:
    """Pack and tell what it holds."""
    document = session.document(args.path)
    with event_printer(session.out) as events:
        report = session.open().pack(
            document,
            out=args.out,
            include_exports=args.include_exports,
            include_base=args.include_base,
            include_logs=args.include_logs,
            all_versions=args.all_versions,
            licensee_url=args.i_am_the_licensee,
            sign=args.sign,
            ask=ask_passphrase,
            on_event=events,
        )
    _tell_packed(report, session)
    if args.json:
        session.out.json(report.to_json())
    return 0


def _tell_packed(report: PackReport, session: Session) -> None:
    out = session.out
    out.done("pack", f"{report.path} ({human_size(report.size_bytes)}, {report.content_type})")
    for left in report.left_out:
        out.detail("left out", f"{left.path}: {left.reason}")
    if report.signature is not None:
        out.note("signature", f"{report.signature} by {report.signer}")


def run_unpack(args: argparse.Namespace, session: Session) -> int:
    """Install and tell where things are."""
    with event_printer(session.out) as events:
        report = session.open().unpack(args.pack, out=args.out, force=args.force, on_event=events)
    tell_installed("unpack", report, session)
    if args.json:
        session.out.json(report.to_json())
    return 0


def tell_installed(subject: str, report: UnpackReport, session: Session) -> None:
    """Say what was installed, and what to do with it."""
    out = session.out
    for note in report.notes:
        out.note(subject, note)
    out.done(subject, f"{report.document} (adapter v{report.adapter_version:04d} on {report.base_model})")


def run_verify(args: argparse.Namespace, session: Session) -> int:
    """Check and print what was found."""
    with event_printer(session.out) as events:
        report = session.open().verify(args.pack, trust_on_first_use=args.trust_on_first_use, on_event=events)
    if args.json:
        session.out.json(report.to_json())
    else:
        session.out.data(report.to_text())
    return 0


def ask_passphrase(prompt: str) -> str | None:
    """Ask for a passphrase without showing it; None when nobody is there."""
    if sys.stdin is None or not is_terminal(sys.stdin):
        return None
    return getpass.getpass(prompt)
