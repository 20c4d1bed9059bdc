"""Help is instant: nothing heavy is imported until a command needs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlm.domain.environment import PROCESS_DEFAULTS

HEAVY = ("torch", "transformers", "numpy", "peft", "safetensors", "gguf", "rich", "httpx", "huggingface_hub", "shtab")


DOCUMENT = """---
dlm_id: 01JABCDEFGHJKMNPQRSTVWXYZ0
dlm_version: 15
base_model: smollm2-135m
---

# Notes

::instruction::
### Q
What is the answer?

### A
Forty-two.
"""


def _fresh(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _run(*words: str) -> tuple[int, list[str]]:
    """Exit code of the real program and the heavy packages it loaded."""
    code, *loaded = _fresh(
        "import contextlib, io, sys\nfrom dlm.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):\n"
        f"    code = main({words!r})\n"
        f"print(code, *[name for name in {HEAVY!r} if name in sys.modules])"
    ).split()
    return int(code), loaded


@pytest.mark.parametrize(
    ("words", "code"), [(("--help",), 0), (("train", "--help"), 0), (("--version",), 0), ((), 2), (("train", "--x"), 2)]
)
def test_help_and_refusals_load_nothing_heavy(words: tuple[str, ...], code: int) -> None:
    assert _run(*words) == (code, [])


@pytest.mark.parametrize(
    "words", [("show", "PATH"), ("metrics", "PATH"), ("migrate", "PATH", "--dry-run"), ("templates", "list")]
)
def test_commands_without_a_model_load_nothing_heavy(words: tuple[str, ...], notes: Path) -> None:
    notes.write_text(DOCUMENT, encoding="utf-8")

    assert _run(*(str(notes) if word == "PATH" else word for word in words)) == (0, [])


def test_the_process_defaults_hold_unless_chosen() -> None:
    code = "from dlm.cli.main import main; import os; main(['--version']); print(*(os.environ[n] for n in {!r}))"
    names = list(PROCESS_DEFAULTS)
    bare = {name: value for name, value in os.environ.items() if name not in names}

    def values(**chosen: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", code.format(names)],
            capture_output=True,
            text=True,
            check=True,
            env={**bare, **chosen},
        )
        return done.stdout.splitlines()[-1].split()

    assert values() == list(PROCESS_DEFAULTS.values())
    assert values(DO_NOT_TRACK="0") == list({**PROCESS_DEFAULTS, "DO_NOT_TRACK": "0"}.values())


def test_python_dash_m_is_the_same_program() -> None:
    done = subprocess.run([sys.executable, "-m", "dlm", "train"], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr.startswith("train: missing <path>\n")
