"""Running launch scripts with stand-ins for the programs they start."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

BASH = shutil.which("bash")
"""None on machines without a bash, where launch scripts cannot be tried."""

_PROGRAM = """#!{bash}
if [ "${{1-}}" = -c ]; then
  [ $# -lt 4 ] || printf '%s\n' "/fetched/$3/$4"
  exit {importable}
fi
printf '%s\\0' "$0" "$PWD" "${{LLAMA_API_KEY-}}${{VLLM_API_KEY-}}" \\
  "${{VLLM_METAL_USE_PAGED_ATTENTION-}}${{VLLM_METAL_MEMORY_FRACTION-}}" "$@" > "$RECORD"
"""


@attrs.frozen
class Call:
    """How a program was started: its path, its folder, its API key, vLLM's settings for Apple, arguments."""

    program: str
    cwd: str
    key: str
    apple: str
    argv: list[str]


@attrs.frozen
class Script:
    """A script to be run with arguments."""

    path: Path | str
    arguments: Sequence[str] = ()


def stand_in(path: Path, *, importable: bool = True) -> Path:
    """Write a program that records how it is started; as a Python it finds every package, or none, and fetches models
    into ``/fetched``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_PROGRAM.format(bash=BASH, importable=0 if importable else 1), encoding="utf-8")
    path.chmod(0o755)
    return path


def tools(folder: Path, *names: str) -> str:
    """Give a ``PATH`` with the few programs a script needs, and stand-ins of these names."""
    for name in ("bash", "dirname", "uname", "mkdir"):
        found = shutil.which(name)
        assert found is not None
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / name).exists():
            (folder / name).symlink_to(found)
    for name in names:
        stand_in(folder / name)
    return str(folder)


def calls(scripts: Sequence[Script], work: Path, environ: Mapping[str, str]) -> list[Call]:
    """Check and run scripts one after the other in ``work``, in one bash; gives how each started its program."""
    work.mkdir(parents=True, exist_ok=True)
    lines = ["set -eu"]
    for number, script in enumerate(scripts):
        words = [str(script.path), *script.arguments]
        lines.append(f"{BASH} -n {shlex.quote(words[0])}")
        lines.append(f"RECORD={shlex.quote(str(work / f'record {number}'))} {BASH} {shlex.join(words)}")
    assert BASH is not None
    # Its text comes on a pipe: as an argument it could be too long.
    done = subprocess.run(
        [BASH], input="\n".join(lines).encode(), cwd=work, env=environ, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
    return [_read(work / f"record {number}") for number in range(len(scripts))]


def _read(record: Path) -> Call:
    program, cwd, key, apple, *argv = os.fsdecode(record.read_bytes()).split("\0")[:-1]
    return Call(program, cwd, key, apple, argv)
