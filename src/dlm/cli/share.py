"""``dlm push``, ``dlm pull`` and ``dlm serve``."""

from __future__ import annotations

import argparse
from typing import Literal

from dlm.cli.pack import add_pack_options, ask_passphrase, tell_installed
from dlm.cli.parser import Subparsers, add_command, add_json, add_path, complete_with, folder, positive, whole_number
from dlm.cli.progress import event_printer
from dlm.cli.signals import stop_on_signals
from dlm.cli.workspace import Session
from dlm.domain.numbers import human_size

_INSECURE = "Allow http:// to another machine; everybody on the way can read and change what is sent."


def add_push(commands: Subparsers) -> None:
    """Add ``push``."""
    parser = add_command(
        commands,
        "push",
        summary="send a document or pack to the Hub, a web address or a folder",
        text="Send a pack somewhere. A document is packed first. The signature travels with it.",
        example="dlm push notes.dlm --to hf:ada/notes --sign\ndlm push notes.dlm.pack --to /media/stick/",
    )
    add_path(parser, "The document, or a finished pack.")
    parser.add_argument(
        "--to",
        required=True,
        metavar="<destination>",
        help="hf:<org>/<repo>, an https:// address that takes a POST, or a path.",
    )
    parser.add_argument("--sign", action="store_true", help="Sign it with your key (see dlm keys generate).")
    parser.add_argument("--insecure", action="store_true", help=_INSECURE)
    add_pack_options(parser)
    add_json(parser, "Print one JSON object about what was sent.")
    parser.set_defaults(run=run_push)


def add_pull(commands: Subparsers) -> None:
    """Add ``pull``."""
    parser = add_command(
        commands,
        "pull",
        summary="fetch a pack, check it and install it",
        text="Fetch a pack from the Hub, a web address, a colleague's dlm serve or a folder. Its signature is looked "
        "up among the keys you trust, every byte is checked, then it is installed.",
        example="dlm pull hf:ada/notes\ndlm pull hf:ada/notes --require-verified --out documents/",
    )
    parser.add_argument(
        "source", metavar="<source>", help="hf:<org>/<repo>, https://…, the peer:// address of dlm serve, or a path."
    )
    out = parser.add_argument(
        "--out", type=folder, metavar="DIR", help="Folder for the document (default: the current folder)."
    )
    complete_with(out, "directory")
    parser.add_argument(
        "--force", action="store_true", help="Replace what is here under the same id, and a document of the same name."
    )
    policy = parser.add_mutually_exclusive_group()
    policy.add_argument(
        "--reject-invalid",
        action="store_true",
        help="Do not install what a trusted key is said to have signed, and did not.",
    )
    policy.add_argument(
        "--require-verified", action="store_true", help="Install only what a key that you trust has signed."
    )
    parser.add_argument("--insecure", action="store_true", help=_INSECURE)
    add_json(parser, "Print one JSON object about what was installed.")
    parser.set_defaults(run=run_pull)


def add_serve(commands: Subparsers) -> None:
    """Add ``serve``."""
    parser = add_command(
        commands,
        "serve",
        summary="let others on your network pull a document from you",
        text="Pack the document and serve it until Ctrl-C. The address that is printed holds a token; whoever has it "
        "can pull the document while the token lasts.",
        example="dlm serve notes.dlm\ndlm serve notes.dlm --public --i-know-this-is-public --token-ttl-minutes 60",
    )
    add_path(parser, "The trained document.")
    parser.add_argument(
        "--port", type=whole_number(0), default=7337, metavar="N", help="Port; 0 takes a free one (default: 7337)."
    )
    parser.add_argument(
        "--public", action="store_true", help="Listen for other machines; needs --i-know-this-is-public too."
    )
    parser.add_argument(
        "--i-know-this-is-public", action="store_true", help="You know that everybody on the network can reach it."
    )
    parser.add_argument(
        "--max-concurrency",
        type=whole_number(1),
        default=4,
        metavar="N",
        help="Downloads of one token at once (default: 4).",
    )
    parser.add_argument(
        "--rate-limit",
        type=whole_number(1),
        default=30,
        metavar="N",
        help="Requests of one token in a minute (default: 30).",
    )
    parser.add_argument(
        "--token-ttl-minutes",
        type=positive,
        default=15.0,
        metavar="N",
        help="How long a download may start (default: 15).",
    )
    parser.add_argument(
        "--tls",
        action="store_true",
        help="Encrypt, with a certificate made for this run and named in the address.",
    )
    parser.add_argument("--sign", action="store_true", help="Sign the pack with your key (see dlm keys generate).")
    parser.set_defaults(run=run_serve)


def run_push(args: argparse.Namespace, session: Session) -> int:
    """Send and say where it is."""
    with event_printer(session.out) as events:
        report = session.open().push(
            args.path,
            to=args.to,
            sign=args.sign,
            include_exports=args.include_exports,
            include_base=args.include_base,
            include_logs=args.include_logs,
            licensee_url=args.i_am_the_licensee,
            insecure=args.insecure,
            ask=ask_passphrase,
            on_event=events,
        )
    session.out.done("pushed", f"{report.to} ({human_size(report.size_bytes)})")
    if report.pull is not None:
        session.out.note("push", f"others get it with: {report.pull}")
    if args.json:
        session.out.json(report.to_json())
    return 0


def run_pull(args: argparse.Namespace, session: Session) -> int:
    """Fetch, install, say who signed it."""
    with event_printer(session.out) as events:
        report = session.open().pull(
            args.source, out=args.out, force=args.force, policy=_policy(args), insecure=args.insecure, on_event=events
        )
    tell_installed("pull", report.installed, session)
    if report.status == "unverified":
        session.out.warning("signature", f"unverified: {report.reason}")
    else:
        session.out.note("signature", f"{report.status}: {report.reason}")
    if args.json:
        session.out.json(report.to_json())
    return 0


def _policy(args: argparse.Namespace) -> Literal["permissive", "reject_invalid", "require_verified"]:
    if args.require_verified:
        return "require_verified"
    return "reject_invalid" if args.reject_invalid else "permissive"


def run_serve(args: argparse.Namespace, session: Session) -> int:
    """Serve until Ctrl-C."""
    document = session.document(args.path)
    out = session.out
    with event_printer(out) as events, stop_on_signals(lambda: None) as stop:
        serving = session.open().serve(
            document,
            port=args.port,
            public=args.public,
            acknowledged=args.i_know_this_is_public,
            max_concurrency=args.max_concurrency,
            rate_limit=args.rate_limit,
            ttl_minutes=args.token_ttl_minutes,
            encrypted=args.tls,
            sign=args.sign,
            ask=ask_passphrase,
            on_event=events,
        )
        with serving as running:
            host, port = running.address
            out.note("serve", f"at {host}:{port} until Ctrl-C; downloads may start until {running.expires:%H:%M} UTC")
            if not args.tls and args.public and args.i_know_this_is_public:
                out.warning("serve", "what is sent is not encrypted; add --tls to encrypt it")
            out.data(running.url)
            out.flush()
            while not stop() and not running.wait(0.2):
                pass
    out.done("serve", "ended; its token is worthless now")
    return 0
