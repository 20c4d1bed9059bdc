"""Rendering with llama.cpp's own reader of Jinja, as llama-server does. Runs itself in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dlm.domain.rows import Turn


def llama_rendered(model: Path, jobs: Sequence[tuple[str, Sequence[Sequence[Turn]]]]) -> list[list[str]]:
    """Render, for each template, the conversations given with it.

    Args:
        model: any GGUF file; its tokenizer names the first and last token.
    """
    asked = [[text, [[[turn.role, turn.content] for turn in turns] for turns in talks]] for text, talks in jobs]
    done = subprocess.run(
        [sys.executable, __file__, str(model)],
        input=json.dumps(asked).encode(),
        capture_output=True,
        check=True,
        timeout=120,
    )
    rendered: list[list[str]] = json.loads(done.stdout.splitlines()[-1])
    return rendered


def _served(model: str, template: str, talks: list[list[list[str]]]) -> list[str]:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_ctx = 128
    params.n_parallel = 1
    params.warmup = False
    params.cpuparams.n_threads = 1
    params.use_jinja = True
    params.chat_template = template
    server = xllamacpp.Server(params)
    return [_asked(server, talk)["prompt"] for talk in talks]


def _asked(server: Any, talk: list[list[str]]) -> Any:
    messages = [{"role": role, "content": content} for role, content in talk]
    request = urllib.request.Request(
        f"{server.listening_address}/apply-template", json.dumps({"messages": messages}).encode()
    )
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply)


if __name__ == "__main__":
    print(json.dumps([_served(sys.argv[1], *job) for job in json.load(sys.stdin)]))
