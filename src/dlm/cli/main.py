"""The program ``dlm``: read the command line, run one command, turn every outcome into an exit code.

0    done
1    something went wrong; the message says what
2    the command line cannot mean anything
130  stopped with Ctrl-C or a polite kill
141  the program that read the output went away (as for other programs in a pipe)
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress

from dlm.cli.parser import CompletionRequest, Parser, ParserExit, refuse_extras, subcommands
from dlm.cli.render import Output
from dlm.cli.tree import build_parser
from dlm.cli.workspace import Session, WorkspaceFactory, open_workspace
from dlm.domain.environment import PROCESS_DEFAULTS
from dlm.domain.errors import DlmError, DocumentError, UsageError

INTERRUPTED = 130
READER_GONE = 141  # 128 + SIGPIPE


def main(argv: Sequence[str] | None = None, *, workspace: WorkspaceFactory = open_workspace) -> int:
    """Run ``dlm`` and give its exit code.

    Args:
        argv: words after the program's name; those of the process when None.
        workspace: gives the library to call for a home folder.
    """
    for name, value in PROCESS_DEFAULTS.items():
        os.environ.setdefault(name, value)
    out = Output.standard()
    out.traces = os.environ.get("DLM_VERBOSE") == "1"
    code = _guarded(sys.argv[1:] if argv is None else list(argv), out, workspace)
    try:
        out.flush()
    except OSError:
        # Already reported; what is still buffered can go nowhere.
        _silence_stdout()
    return code


def _guarded(words: list[str], out: Output, workspace: WorkspaceFactory) -> int:
    try:
        code = _run(words, out, workspace)
        out.flush()
        return code
    except BrokenPipeError:
        return READER_GONE
    except KeyboardInterrupt:
        out.error(None, "interrupted")
        return INTERRUPTED
    except DlmError as exc:
        out.failure(exc)
        if not isinstance(exc, UsageError | DocumentError):
            _trace(exc, out)
        return exc.exit_code
    except SystemExit as exc:
        return _exit_code(exc, out)
    except OSError as exc:
        out.error("io", _describe(exc))
        _trace(exc, out)
        return 1
    except Exception as exc:  # noqa: BLE001 - the outermost place: whatever it is, the person gets a line and a code
        name = type(exc).__name__
        out.error("error", f"{name}: {exc}" if str(exc) else name, None if out.traces else _MORE)
        _trace(exc, out)
        return 1


_MORE = "This is a fault of dlm. Run the command again with --verbose to see where it happened."


def _run(words: list[str], out: Output, workspace: WorkspaceFactory) -> int:
    if "--version" in itertools.takewhile(lambda word: word != "--", words):
        return _print_version(out)
    parser = build_parser()
    try:
        args, extras = parser.parse_known_args(words)
    except ParserExit as done:
        return done.status
    except CompletionRequest as request:
        return _complete(request, parser, out)
    chosen = _chosen(parser, args)
    if extras:
        refuse_extras(chosen, extras)
    _apply_globals(args, out)
    if not hasattr(args, "run"):
        chosen.print_help(out.stderr)
        return UsageError.exit_code
    with _logging() if out.verbose else nullcontext():
        code: int = args.run(args, Session(out, workspace, getattr(args, "home", None)))
    return code


def _chosen(parser: Parser, args: argparse.Namespace) -> Parser:
    """Give the innermost parser the command line named."""
    for dest in ("command", "subcommand"):
        name = getattr(args, dest, None)
        if name is not None:
            parser = subcommands(parser)[name]
    return parser


def _apply_globals(args: argparse.Namespace, out: Output) -> None:
    verbose, quiet = getattr(args, "verbose", False), getattr(args, "quiet", False)
    if verbose and quiet:
        raise UsageError(
            "cli.verbose-and-quiet",
            "--verbose and --quiet cannot be used together",
            hint="Leave out one of them.",
        )
    out.verbose = verbose or getattr(args, "show_plan", False)
    out.traces = out.traces or out.verbose
    out.quiet = quiet


def _print_version(out: Output) -> int:
    from importlib.metadata import version

    out.data(f"dlm {version('dlm')}")
    return 0


def _complete(request: CompletionRequest, parser: Parser, out: Output) -> int:
    from dlm.cli import completion

    shell = completion.choose_shell(request.shell)
    if not request.install:
        out.data(completion.script(shell, parser).rstrip("\n"))
        return 0
    path = completion.install(shell, parser)
    out.note("completion", f"wrote {path}")
    out.note("completion", completion.activation(shell, path))
    return 0


@contextmanager
def _logging() -> Iterator[None]:
    """Show log lines of dlm and its libraries on stderr for the time of one command."""
    import logging

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s: %(message)s"))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for every request, hundreds in an export
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


def _trace(exc: BaseException, out: Output) -> None:
    if out.traces:
        import traceback

        out.trace("".join(traceback.format_exception(exc)).rstrip("\n"))


def _describe(exc: OSError) -> str:
    if exc.filename is None:
        return exc.strerror or str(exc) or type(exc).__name__
    return f"{exc.filename}: {exc.strerror or exc}"


def _exit_code(exc: SystemExit, out: Output) -> int:
    if isinstance(exc.code, str):
        out.error("error", exc.code)
        return 1
    return exc.code or 0


def _silence_stdout() -> None:
    """Keep the interpreter from complaining, at its end, about output nobody reads."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
