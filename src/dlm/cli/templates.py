"""``dlm templates``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from dlm.cli.parser import Subparsers, add_command, add_json
from dlm.cli.progress import event_printer
from dlm.cli.render import Output
from dlm.cli.workspace import RefreshResult, Session, TemplateEntry
from dlm.domain.errors import TemplateError, UsageError


def add(commands: Subparsers) -> None:
    """Add the group to the tree."""
    group = add_command(
        commands,
        "templates",
        summary="browse finished example documents",
        text="Example documents to begin with: dlm init notes.dlm --template <name> makes one yours.",
        example="dlm templates list",
    )
    inner = group.add_subparsers(title="commands", metavar="<command>", dest="subcommand")
    parser = add_command(
        inner,
        "list",
        summary="name the templates",
        text="List the templates with their titles and base models.",
        example="dlm templates list\ndlm templates list --json",
    )
    add_json(parser, "Print all that is known of each template as JSON.")
    parser.add_argument(
        "--refresh",
        action="store_true",
        help="Fetch the newest gallery first; needs the network, checks its signature.",
    )
    parser.add_argument(
        "--accept-unsigned",
        action="store_true",
        help="With --refresh: accept a gallery without a signature, or by an unknown signer. A wrong one is refused.",
    )
    parser.set_defaults(run=run_list)


def run_list(args: argparse.Namespace, session: Session) -> int:
    """List the gallery; refresh it first when asked."""
    if args.accept_unsigned and not args.refresh:
        raise UsageError(
            "templates.unsigned-without-refresh",
            "--accept-unsigned means something only together with --refresh",
            subject="templates",
            hint="Write: dlm templates list --refresh --accept-unsigned",
        )
    workspace = session.open()
    code = 0
    with event_printer(session.out) as events:
        if args.refresh:
            result = workspace.refresh_templates(accept_unsigned=args.accept_unsigned, on_event=events)
            code = _report(result, session.out)
        entries = workspace.templates(on_event=events)
    _print(sorted(entries, key=lambda entry: entry.name), args.json, session.out)
    return code


def _report(result: RefreshResult, out: Output) -> int:
    if result.warning:
        out.warning("templates", result.message, result.hint)
        return 0
    if result.ok:
        out.done("templates", result.message)
        return 0
    out.error("templates", result.message, result.hint)
    return 1


def _print(entries: Sequence[TemplateEntry], as_json: bool, out: Output) -> None:
    if not entries:
        raise TemplateError(
            "templates.empty",
            "the gallery has no templates",
            hint="The installation is incomplete: install dlm again, or try dlm templates list --refresh.",
        )
    if as_json:
        out.json([entry.to_json() for entry in entries])
        return
    width = max(len(entry.name) for entry in entries)
    out.data("\n".join(f"{entry.name:<{width}}  {entry.title}  ({entry.recommended_base})" for entry in entries))
