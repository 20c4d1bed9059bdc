"""How long dlm takes before it does anything, beside Python alone, measured alternately in one run.

    python bench/startup.py [--runs 15]

Each command runs in a fresh process, in turn, so that a busy moment of the machine hits all of them. Printed are the
median, the ratio to ``python -c pass`` and the goal; the exit code is 1 when a median misses its goal.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

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

GOALS_MS: Mapping[str, float] = {
    "dlm --help": 120,
    "dlm show": 250,
    "dlm migrate --dry-run": 250,
    "import dlm": 100,
}


def commands(document: Path) -> dict[str, Sequence[str]]:
    """Give each measured command line by name; the first is the yardstick."""
    dlm = [str(Path(sys.executable).parent / "dlm")]
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "dlm --help": [*dlm, "--help"],
        "dlm show": [*dlm, "show", str(document)],
        "dlm migrate --dry-run": [*dlm, "migrate", str(document), "--dry-run"],
        "import dlm": [sys.executable, "-c", "import dlm"],
    }


def measure(lines: Mapping[str, Sequence[str]], runs: int, home: Path) -> dict[str, list[float]]:
    """Give the milliseconds of every run; one unmeasured round first fills the file cache and writes bytecode."""
    times: dict[str, list[float]] = {name: [] for name in lines}
    environment = {**os.environ, "DLM_HOME": str(home)}
    for number in range(runs + 1):
        for name, line in lines.items():
            began = time.perf_counter()
            subprocess.run(line, env=environment, capture_output=True, check=True)
            if number:
                times[name].append((time.perf_counter() - began) * 1000)
    return times


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15, help="runs of each command")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        document = Path(folder) / "notes.dlm"
        document.write_text(DOCUMENT, encoding="utf-8")
        times = measure(commands(document), runs, Path(folder) / "home")
    medians = {name: statistics.median(values) for name, values in times.items()}
    yardstick = medians["python -c pass"]
    print(f"{'command':<24}{'median':>10}{'ratio':>8}{'goal':>10}")
    for name, median in medians.items():
        goal = f"{GOALS_MS[name]:.0f} ms" if name in GOALS_MS else ""
        print(f"{name:<24}{median:>7.0f} ms{median / yardstick:>7.1f}x{goal:>10}")
    return int(any(medians[name] > goal for name, goal in GOALS_MS.items()))


if __name__ == "__main__":
    sys.exit(main())
