"""``dlm train <folder>``: the options that make a document for a folder, and finding it."""

from __future__ import annotations

import argparse
from pathlib import Path

from dlm.cli.parser import Parser
from dlm.cli.workspace import Session
from dlm.domain.errors import UsageError


def add_folder_options(parser: Parser) -> None:
    """Add the options that only mean something when a folder is trained."""
    group = parser.add_argument_group("when the path is a folder")
    group.add_argument(
        "--base",
        metavar="KEY",
        help="Base model that learns the folder; needed the first time. A document names its own.",
    )
    group.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="GLOB",
        help="Pattern of the files to learn, such as '**/*.md'; may be repeated (default: all files).",
    )
    group.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="GLOB",
        help="Pattern of files to leave out, such as 'drafts/**'; may be repeated.",
    )
    group.add_argument(
        "--recursive",
        action=argparse.BooleanOptionalAction,
        help="Learn the files of folders inside, too (this is the default), or only those directly in the folder.",
    )
    group.add_argument(
        "--name",
        metavar="NAME",
        help="Name of the folder's document, so that one folder can have several (default: corpus).",
    )
    group.add_argument(
        "--policy",
        choices=("strict", "permissive"),
        help="strict refuses files outside the folder, permissive allows them (default: strict).",
    )
    group.add_argument(
        "--rescaffold",
        action="store_true",
        help="Change the document that the folder has to what these options say; it stays the same document.",
    )


def document_path(args: argparse.Namespace, session: Session) -> Path:
    """Give the document to train: the path itself, or the document of the folder it names.

    Raises:
        UsageError: options for folders beside the path of a document.
    """
    path: Path = args.path
    if not path.is_dir():
        _refuse_folder_options(args)
        if args.base is not None:
            session.out.note("train", f"--base {args.base} is ignored: {path} names its own base model")
        return path
    found = session.open().scaffold_folder(
        path,
        base=args.base,
        include=tuple(args.include),
        exclude=tuple(args.exclude),
        recursive=args.recursive,
        name=args.name,
        policy=args.policy,
        rescaffold=args.rescaffold,
    )
    if found.created:
        session.out.note("scaffolded", f"{found.path} (dlm_id={found.dlm_id})")
    else:
        session.out.note("train", f"using {found.path}")
    return found.path


def _refuse_folder_options(args: argparse.Namespace) -> None:
    given = {
        "--include": bool(args.include),
        "--exclude": bool(args.exclude),
        "--recursive" if args.recursive else "--no-recursive": args.recursive is not None,
        "--name": args.name is not None,
        "--policy": args.policy is not None,
        "--rescaffold": args.rescaffold,
    }
    named = [option for option, is_given in given.items() if is_given]
    if named:
        raise UsageError(
            "cli.usage",
            f"{', '.join(named)}: only for folders, and {args.path} is none",
            subject="train",
            hint="A document says itself what it learns, under training.sources.",
        )
