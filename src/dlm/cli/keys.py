"""``dlm keys``."""

from __future__ import annotations

import argparse

from dlm.cli.pack import ask_passphrase
from dlm.cli.parser import Subparsers, add_command, add_json, complete_with, file_path
from dlm.cli.workspace import Session
from dlm.domain.errors import UsageError


def add(commands: Subparsers) -> None:
    """Add the group."""
    group = add_command(
        commands,
        "keys",
        summary="your signing key, and the keys of others that you trust",
        text="Keys are those of minisign: its program reads what dlm signs, and the other way round.",
        example="dlm keys list\ndlm keys generate",
    )
    inner = group.add_subparsers(title="commands", metavar="<command>", dest="subcommand")
    _add_list(inner)
    _add_generate(inner)
    _add_trust(inner)
    _add_revoke(inner)


def _add_list(commands: Subparsers) -> None:
    parser = add_command(
        commands,
        "list",
        summary="show the keys",
        text="Show your own key and those you trust, with their fingerprints.",
        example="dlm keys list",
    )
    add_json(parser, "Print one JSON object.")
    parser.set_defaults(run=run_list)


def _add_generate(commands: Subparsers) -> None:
    parser = add_command(
        commands,
        "generate",
        summary="make your own key",
        text="Make a key pair in dlm's folder. Give others the public key; the secret one stays with you, under a "
        "passphrase that you are asked for.",
        example="dlm keys generate\ndlm keys generate --no-passphrase --comment ada",
    )
    parser.add_argument("--no-passphrase", action="store_true", help="Leave the secret key open, for scripts.")
    parser.add_argument("--comment", default="", metavar="TEXT", help="A line in the public key for people.")
    parser.add_argument("--force", action="store_true", help="Replace your key; what it signed stays signed by it.")
    parser.set_defaults(run=run_generate)


def _add_trust(commands: Subparsers) -> None:
    parser = add_command(
        commands,
        "trust",
        summary="trust somebody's public key",
        text="Trust what is signed with a key from now on. Compare its fingerprint with its owner's first.",
        example="dlm keys trust ada.pub --label ada",
    )
    complete_with(parser.add_argument("key", type=file_path, metavar="<key.pub>", help="The public key file."), "file")
    parser.add_argument("--label", default="", metavar="NAME", help="Name for the file it is kept in.")
    parser.set_defaults(run=run_trust)


def _add_revoke(commands: Subparsers) -> None:
    parser = add_command(
        commands,
        "revoke",
        summary="trust a key no more",
        text="Take the trust in a key back. What was installed stays.",
        example="dlm keys revoke 0807060504030201",
    )
    parser.add_argument("name", metavar="<key>", help="Its id or fingerprint, as dlm keys list shows them.")
    parser.set_defaults(run=run_revoke)


def run_list(args: argparse.Namespace, session: Session) -> int:
    """Print the keys."""
    report = session.open().keys()
    if args.json:
        session.out.json(report.to_json())
    else:
        session.out.data(report.to_text())
    return 0


def run_generate(args: argparse.Namespace, session: Session) -> int:
    """Make a key, its passphrase typed twice."""
    passphrase = None if args.no_passphrase else _new_passphrase()
    key = session.open().generate_key(passphrase=passphrase, comment=args.comment, force=args.force)
    session.out.done("keys", f"your key is {key.name}, fingerprint {key.fingerprint}")
    return 0


def _new_passphrase() -> str:
    first = ask_passphrase("Passphrase for your new key: ")
    if first is None:
        raise UsageError(
            "keys.no-terminal",
            "there is no terminal to type a passphrase in",
            subject="keys",
            hint="Run it in a terminal, or add --no-passphrase.",
        )
    if not first or ask_passphrase("Once more: ") != first:
        raise UsageError(
            "keys.passphrase", "the passphrases differ, or are empty", subject="keys", hint="Run it again."
        )
    return first


def run_trust(args: argparse.Namespace, session: Session) -> int:
    """Trust a key."""
    trusted = session.open().trust_key(args.key, label=args.label)
    session.out.done("keys", f"{trusted.key.name} is trusted now, fingerprint {trusted.fingerprint} ({trusted.path})")
    return 0


def run_revoke(args: argparse.Namespace, session: Session) -> int:
    """Take trust back."""
    trusted = session.open().revoke_key(args.name)
    session.out.done("keys", f"{trusted.key.name} is not trusted any more")
    return 0
