"""Places one converted base from a process of its own; what is written stands in for a conversion.

Arguments: home, where to, a log that gets a line per conversion, and ``hang`` to stop in the middle of writing.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from dlm.adapters.gguf.base_cache import BaseCache, BaseKey
from dlm.adapters.gguf.container import Written
from dlm.domain.text_files import write_chunks_atomic

KEY = BaseKey(
    base_sha256="a" * 64,
    hf_id="example/tiny",
    revision=None,
    tokenizer_sha256="b" * 64,
    quant="F16",
    importance_sha256=None,
    quantizer="",
    license="MIT",
)
DATA = b"GGUF" + bytes(range(256)) * 1000


def make(into: Path, log: Path, *, pause_s: float = 0, hangs: bool = False) -> Written:
    """Write the file, with a pause in the middle in which others can come."""
    with log.open("a") as file:
        file.write("made\n")

    def pieces() -> Iterator[bytes]:
        yield DATA[:1000]
        if hangs:
            print("half", flush=True)
            time.sleep(600)
        time.sleep(pause_s)
        yield DATA[1000:]

    write_chunks_atomic(into, pieces())
    return Written(sha256=hashlib.sha256(DATA).hexdigest(), size_bytes=len(DATA))


if __name__ == "__main__":
    home, target, log = map(Path, sys.argv[1:4])
    BaseCache(home).place(KEY, target, lambda into: make(into, log, pause_s=0.3, hangs=sys.argv[4:] == ["hang"]))
