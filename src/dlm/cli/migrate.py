"""``dlm migrate``."""

from __future__ import annotations

import argparse

from dlm.cli.parser import Subparsers, add_command, add_path
from dlm.cli.render import Output
from dlm.cli.workspace import MigrationResult, Session
from dlm.domain.errors import MigrationError


def add(commands: Subparsers) -> None:
    """Add the command to the tree."""
    parser = add_command(
        commands,
        "migrate",
        summary="bring an older document up to date",
        text="Rewrite the settings at the top of a document written for an older dlm. Your text stays as it is, and a "
        "copy of the old file is kept beside it.",
        example="dlm migrate notes.dlm --dry-run\ndlm migrate notes.dlm",
    )
    add_path(parser, "The document to bring up to date.")
    parser.add_argument(
        "--dry-run", action="store_true", help="Only print the new settings on standard output; change nothing."
    )
    parser.add_argument("--no-backup", action="store_true", help="Keep no copy of the old file (<name>.dlm.bak).")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, session: Session) -> int:
    """Migrate, or print what would be written."""
    try:
        result = session.open().migrate(args.path, dry_run=args.dry_run, backup=not args.no_backup)
    except OSError as exc:
        raise MigrationError(
            "migrate.io", f"{args.path}: {exc.strerror or exc}", hint="Check that the file exists and may be written."
        ) from exc
    _report(result, args.dry_run, session.out)
    return 0


def _report(result: MigrationResult, dry_run: bool, out: Output) -> None:
    if dry_run:
        out.data(result.frontmatter_text.rstrip("\n"))
    if not result.changed:
        out.note("migrate", f"{result.path} is up to date (version {result.to_version})")
        return
    versions = f"from version {result.from_version} to {result.to_version}"
    if dry_run:
        out.note("migrate", f"{result.path} would go {versions}; nothing was written")
        return
    out.done("migrate", f"{result.path} went {versions}")
    if result.backup_path is not None:
        out.note("backup", str(result.backup_path))
