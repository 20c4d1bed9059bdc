"""``python -m dlm.adapters.servers.serve``: serves a GGUF file where ``llama-server`` is not installed.

It takes the arguments that our launch scripts write, no others, and answers as ``llama-server`` does: it is the same
server, from the Python package ``xllamacpp``. A key in ``LLAMA_API_KEY`` is asked of every client; commas separate
several. It ends with ``SIGTERM`` or Ctrl-C, a second one at once.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dlm.domain.environment import GOMP_SPINCOUNT

_CONVERSATIONS = 4
"""Conversations answered at the same time, as in ``llama-server``; they share the context's memory."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve; gives the exit status."""
    args = _parser().parse_args(argv)
    os.environ.setdefault("GOMP_SPINCOUNT", GOMP_SPINCOUNT)
    try:
        server = _server(args)
    except ImportError as exc:
        return _failed(f"xllamacpp cannot be used: {exc}. Run: pip install 'dlm[runtime]'")
    except (OSError, UnicodeDecodeError) as exc:
        return _failed(f"{args.chat_template_file} cannot be read: {exc}")
    except RuntimeError as exc:
        return _failed(f"{args.model} cannot be served at {args.host}, port {args.port}: {exc}")
    _wait_for_end()
    del server  # answers nothing from here on
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dlm.adapters.servers.serve", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--model", required=True, help="GGUF file")
    parser.add_argument("--lora", help="GGUF file of an adapter")
    parser.add_argument("--ctx-size", type=int, default=0, help="tokens of context; 0: what the model was made for")
    parser.add_argument("--jinja", action="store_true", help="use the chat template; always so")
    parser.add_argument("--chat-template-file", help="chat template instead of the model's own")
    parser.add_argument("--alias", help="name that clients ask for")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at")
    parser.add_argument("--port", type=int, default=8000, help="port to listen at")
    return parser


def _server(args: argparse.Namespace) -> Any:
    """Load the model and listen. Until then a signal ends the process as if it were any other program."""
    import xllamacpp

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    params = xllamacpp.CommonParams()
    params.model.path = args.model
    params.hostnames, params.port = [args.host], args.port
    params.n_ctx, params.n_parallel, params.kv_unified = args.ctx_size, _CONVERSATIONS, True
    params.api_keys = [key for key in os.environ.get("LLAMA_API_KEY", "").split(",") if key]
    if args.alias:
        params.model_alias = {args.alias}
    if args.lora:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(args.lora, 1.0)]
    if args.chat_template_file:
        params.chat_template = Path(args.chat_template_file).read_text(encoding="utf-8")
    return xllamacpp.Server(params)


def _wait_for_end() -> None:
    ended = threading.Event()

    def end(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    ended.wait()


def _failed(why: str) -> int:
    sys.stderr.write(f"{why}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
