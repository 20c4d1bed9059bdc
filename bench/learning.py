"""What a document teaches and what it costs the rest of the model, on documents the recipe has never seen.

    python bench/learning.py [--set report] [--seeds 1 2 3] [--documents faq …] [--json FILE]

Trains every document of ``tests/learning/<set>`` with default settings, ``dlm train`` in a process of its own each, and
asks each trained model its own questions, three rewordings of each, what only its prose states, and 60 unrelated
prompts. Prints a line for each training, then mean and worst case beside the goals. ``report`` is never used to choose
anything; ``dev`` is.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from dlm.domain.inference_plan import resolve_inference_plan
from dlm.wiring import Workspace
from learning_set import SHAPES, Case, Figures, grade, unrelated

GOALS = {
    "own": (">=", 0.98),
    "reworded": (">=", 0.85),
    "prose": (">=", 0.60),
    "leak": ("<=", 0.02),
    "kept": (">=", 0.97),
    "drift": ("<=", 0.05),
    "seconds": ("<=", 60.0),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench."""
    args = _arguments(argv)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        home = (args.home or Path(folder)) / "home"
        for seed in args.seeds:
            for shape in args.documents:
                row = measure(Case.load(args.set, shape), seed, Workspace(home), args)
                rows.append(row)
                print(_line(row), flush=True)
    _summary(rows)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0


def measure(case: Case, seed: int, workspace: Workspace, args: argparse.Namespace) -> dict[str, Any]:
    """Train one document as a user does, in a fresh process, and grade what it became."""
    path = workspace.home.parent / f"{case.name}.dlm"
    case.document.edit(set={"training.seed": seed, **_settings(args.settings)}).save(path)
    began = time.monotonic()
    command = [sys.executable, "-m", "dlm", "--home", str(workspace.home), "--quiet", "train", str(path)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONWARNINGS": "ignore"}, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - began
    figures = _graded(case, workspace, args.set)
    return {"document": case.name, "seed": seed, **attrs.asdict(figures), "seconds": seconds}


def _graded(case: Case, workspace: Workspace, set_name: str) -> Figures:
    document = case.document
    adapter = workspace.store.current(document.dlm_id)
    assert adapter is not None
    base = workspace.registry.fetch(workspace.registry.describe(document.base_model))
    plan = resolve_inference_plan(
        workspace.hardware.probe(), backend="pytorch", trained_with_qlora=False, modality="text"
    )
    system_prompt = document.frontmatter.system_prompt
    with workspace.generator.load(base, adapter.folder, plan, system_prompt=system_prompt) as model:
        return grade(model, case, unrelated(set_name))


def _settings(pairs: Sequence[str]) -> dict[str, Any]:
    return {f"training.{name}": json.loads(value) for name, _, value in (pair.partition("=") for pair in pairs)}


def _line(row: dict[str, Any]) -> str:
    kinds = "/".join(f"{row[kind]:.2f}" for kind in ("moderate", "strong", "terse"))
    return (
        f"{row['document']:16s} seed {row['seed']}  own {row['own']:.2f}  reworded {row['reworded']:.2f} ({kinds})  "
        f"prose {row['prose']:.2f}  leak {row['leak']:.3f}  kept {row['kept']:.2f}  drift {row['drift']:.3f}  "
        f"{row['seconds']:.0f} s"
    )


def _summary(rows: Sequence[dict[str, Any]]) -> None:
    print(f"\n{'':10s}{'mean':>8s}{'worst':>8s}   goal")
    for name, (sign, goal) in GOALS.items():
        values = [row[name] for row in rows]
        mean, worst = sum(values) / len(values), (min if sign == ">=" else max)(values)
        met = mean >= goal if sign == ">=" else mean <= goal
        print(f"{name:10s}{mean:8.3f}{worst:8.3f}   {sign} {goal:g}  {'met' if met else 'not met'}")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=("report", "dev"), default="report", help="which documents")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--documents", nargs="+", choices=SHAPES, default=SHAPES)
    parser.add_argument("--settings", nargs="*", default=[], metavar="KEY=JSON", help="keys under training to set")
    parser.add_argument("--home", type=Path, help="folder to keep for another run: the base stays unpacked")
    parser.add_argument("--json", type=Path, help="where to write the figures of every training")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
