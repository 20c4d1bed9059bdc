"""The whole command tree."""

from __future__ import annotations

from dlm.cli import cache, export, init, inspect, keys, metrics, migrate, pack, prompt, share, templates, train
from dlm.cli.parser import EXAMPLE, Parser, add_global_options


def build_parser() -> Parser:
    """Give the parser of ``dlm`` with all its commands; their order is the order a newcomer needs them."""
    parser = Parser(
        prog="dlm",
        description="A document becomes a local language model: write it, train it, talk to it.",
        epilog=EXAMPLE + "  dlm init notes.dlm --base smollm2-135m\n"
        "  dlm train notes.dlm\n"
        '  dlm prompt notes.dlm "What did I write?"\n\n'
        "dlm <command> --help explains a command.",
    )
    add_global_options(parser)
    commands = parser.add_subparsers(title="commands", metavar="<command>", dest="command")
    init.add(commands)
    train.add(commands)
    prompt.add(commands)
    export.add(commands)
    inspect.add_exam(commands)
    inspect.add_show(commands)
    metrics.add(commands)
    inspect.add_doctor(commands)
    pack.add_pack(commands)
    pack.add_unpack(commands)
    pack.add_verify(commands)
    share.add_push(commands)
    share.add_pull(commands)
    share.add_serve(commands)
    keys.add(commands)
    migrate.add(commands)
    cache.add(commands)
    templates.add(commands)
    return parser
