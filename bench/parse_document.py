"""How long a 10 MB document takes to parse, against reading it line by line and against a YAML reader.

Run: ``python bench/parse_document.py [megabytes]``. Each row is the best of five; the ratio is to the time of
``str.splitlines`` on the same text in the same run, the least that any parser working by lines would need.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

HEAD = "---\ndlm_id: 01HQ8Z0000000000000000000A\ndlm_version: 15\nbase_model: b\n---\n\n"


def best(call: Callable[[], object], rounds: int = 5) -> float:
    """Give the shortest of several runs, in seconds of processor time."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def line_loop(text: str) -> int:
    """Look at each line once, as the plainest parser does."""
    return sum(1 for line in text.splitlines() if line.startswith(("::", "```", "### ")))


def bodies(size: int) -> dict[str, str]:
    """Give bodies of about ``size`` characters."""
    pair = "### Q\nWhat is number {0}?\n\n### A\n" + "It is the one that comes before the next one. " * 4 + "\n\n"
    prose = "::prose::\n" + ("Words and more words to read. " * 14 + "\n") * 40 + "\n```\n::code::\n```\n\n"
    pairs = "".join(pair.format(number) for number in range(size // len(pair)))
    return {
        "questions in one section": "::instruction::\n" + pairs,
        "one question per section": "".join(
            "::instruction::\n" + pair.format(number) for number in range(size // (len(pair) + 16))
        ),
        "long prose": prose * (size // len(prose)),
    }


def start_up() -> str:
    """Give the time of importing the parser beside that of starting Python."""

    def run(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - start

    empty = min(run("pass") for _ in range(5))
    ours = min(run("import dlm.domain.document") for _ in range(5))
    return f"import dlm.domain.document: {1000 * (ours - empty):.0f} ms on top of {1000 * empty:.0f} ms for Python"


def main() -> None:
    """Print one line per kind of body."""
    from dlm.domain.document import Document

    megabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    for name, body in bodies(int(megabytes * 1e6)).items():
        text = HEAD + body
        parse, split, loop = best(partial(Document.parse, text)), best(text.splitlines), best(partial(line_loop, text))
        document = Document.parse(text)
        rows = best(document.rows, 3)
        print(
            f"{name:26} {len(text) / 1e6:5.1f} MB  parse {parse:6.3f} s  splitlines {split:6.3f} s "
            f"(ratio {parse / split:5.1f})  line loop {loop:6.3f} s (ratio {parse / loop:4.1f})  rows {rows:6.3f} s"
        )
    print(start_up())


if __name__ == "__main__":
    main()
