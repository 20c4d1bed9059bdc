"""Scripts that stand in for programs of llama.cpp where none is installed."""

from __future__ import annotations

import sys
from pathlib import Path

_QUANTIZE = """
import shutil, sys
arguments = sys.argv[1:]
print("arguments", arguments)
if arguments[:1] == ["--imatrix"]:
    open(arguments[1], "rb").close()
    arguments = arguments[2:]
source, into, level = arguments
with open(source, "rb") as file:
    if file.read(4) != b"GGUF":
        sys.exit("failed to quantize: no magic in the file")
shutil.copyfile(source, into)
"""


def llama_quantize(folder: Path, body: str = _QUANTIZE) -> Path:
    """Write a ``llama-quantize`` that copies, or does what ``body`` says, into ``folder``; gives the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "llama-quantize"
    program.write_text(f"#!{sys.executable}\n{body}", encoding="utf-8")
    program.chmod(0o755)
    return folder
