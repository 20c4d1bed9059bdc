"""Building an importance matrix, to be killed in the middle. Run as a script it kills a child before each step.

usage: python importance_scenarios.py <folder>

For n = 1, 2, … a child works on its own copy of a home with a damaged entry in ``<folder>/<n>`` and kills itself before
its n-th change of the file system, until one comes through. Prints the number of kills.
"""

from __future__ import annotations

import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

from dlm.adapters.filesystem.importances import FileImportanceCache
from dlm.domain.text_files import write_atomic
from dlm.testing.clocks import FixedClock
from dlm.testing.importance_cache_contract import key_of
from filesystem_steps import survives_kill_before

KEY, OTHER = key_of("wanted"), key_of("other")


def cache_in(home: Path) -> FileImportanceCache:
    return FileImportanceCache(home / "cache" / "imatrix", FixedClock())


def build(content: bytes) -> Any:
    """Give a builder that writes as the real one does: a file of its own aside, then the one asked for."""

    def write(into: Path) -> int:
        write_atomic(into, content)
        return 4

    return write


def prepare(home: Path) -> None:
    """Give a home with one whole matrix and a damaged one."""
    cache = cache_in(home)
    cache.get(OTHER, build(b"other"))
    kept = cache.get(KEY, build(b"old"))
    assert kept is not None
    kept.path.write_bytes(b"damaged")


def build_in(home: Path) -> None:
    """Build the matrix of a home anew."""
    cache_in(home).get(KEY, build(b"new"))


def main(folder: Path) -> None:
    prepare(folder / "seed")
    step = 0
    while True:
        step += 1
        home = folder / f"{step:03d}"
        shutil.copytree(folder / "seed", home)
        if survives_kill_before(step, partial(build_in, home)):
            print(step - 1)
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
