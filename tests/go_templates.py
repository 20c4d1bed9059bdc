"""Rendering with Go's own text/template, as Ollama does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import pytest

from dlm.domain.rows import Turn

_SOURCE = Path(__file__).parent / "go" / "render.go"


def go_rendered(jobs: Iterable[tuple[str, Sequence[Turn]]]) -> list[str]:
    """Render templates with the messages given to each; a template that fails gives its error in angle brackets."""
    asked = [
        {"template": text, "messages": [{"role": turn.role, "content": turn.content} for turn in turns]}
        for text, turns in jobs
    ]
    done = subprocess.run([_program()], input=json.dumps(asked).encode(), capture_output=True, check=True, timeout=60)
    return [f"<<{each['error']}>>" if each["error"] else each["text"] for each in json.loads(done.stdout)]


@cache
def _program() -> str:
    """Build the program once; its folder goes with the test run."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not installed (Debian: golang-go), so its templates cannot be rendered")
    import atexit
    import tempfile

    folder = tempfile.TemporaryDirectory(prefix="dlm-go-")
    atexit.register(folder.cleanup)
    path = str(Path(folder.name) / "render")
    environ = {**os.environ, "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GOPROXY": "off"}
    environ.setdefault("GOCACHE", str(Path(folder.name) / "cache"))
    subprocess.run([go, "build", "-o", path, str(_SOURCE)], env=environ, check=True, timeout=300)
    return path
