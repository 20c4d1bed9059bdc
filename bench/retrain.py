"""Train a code base again: how long until a person knows that nothing changed, and until the first step when it did.

    python bench/retrain.py [--files 10000] [--rounds 3]

The corpus is made of Python's own library, about 5 kB a file. Everything is measured in one run, each training in a
process of its own, beside TRL's ``SFTTrainer`` on the same files, tokenised by ``datasets`` with its cache.

* **first**: from the start of the process to the end of the first step, nothing kept yet.
* **changed**: the same after one file of all was edited: files remembered, tokens cached.
* **nothing**: ``dlm train`` when no file changed, the whole process. TRL has nothing like it; it starts again.

Of a whole training the share before the first step is reckoned from the steps it would have and the time of a step.
The exit code is 1 when a goal is missed: nothing in 1 s, share below 5 %.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STARTED = time.perf_counter()
FILE_BYTES = 5_000
GOAL_NOTHING_S, GOAL_SHARE = 1.0, 0.05


def write_corpus(folder: Path, files: int) -> None:
    """Write files of Python, no two alike."""
    sources = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in sources]
    for number in range(files):
        place = folder / f"part{number // 100:03}" / f"module{number:05}.py"
        place.parent.mkdir(exist_ok=True)
        text = texts[number % len(texts)]
        start = number // len(texts) * FILE_BYTES % max(1, len(text) - FILE_BYTES)
        place.write_text(f"# module {number}\n{text[start : start + FILE_BYTES]}", encoding="utf-8")


def ours(folder: Path) -> dict[str, Any]:
    """Train two steps, in this process."""
    from dlm.domain.document import Document
    from dlm.domain.events import Event, StepDone, Tokenized
    from dlm.wiring import Workspace

    ends: list[float] = []
    found: dict[str, Any] = {}

    def watch(event: Event) -> None:
        if isinstance(event, StepDone):
            ends.append(time.perf_counter())
        elif isinstance(event, Tokenized):
            found.update(tokenise_s=event.seconds, hits=event.cache_hits, misses=event.cache_misses)

    workspace, document = Workspace(folder / "home"), Document.load(folder / "corpus" / ".dlm" / "corpus.dlm")
    report = workspace.train(document, mode="fresh", max_steps=2, on_event=watch)
    assert report.recipe is not None
    steps = report.recipe.num_epochs.value * found["hits"] + report.recipe.num_epochs.value * found["misses"]
    return {**found, "first_s": ends[0] - STARTED, "step_s": ends[1] - ends[0], "steps": steps / 9}


def peer(folder: Path) -> dict[str, Any]:
    """Train two steps with TRL, in this process."""
    import datasets
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from dlm.wiring import Workspace

    datasets.disable_progress_bars()
    ends: list[float] = []

    class Watch(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

    registry = Workspace(folder / "home").registry
    base = registry.fetch(registry.describe("smollm2-135m"))
    files = sorted(str(path) for path in (folder / "corpus").glob("**/*.py"))
    data = datasets.load_dataset(
        "text", data_files=files, sample_by="document", split="train", cache_dir=str(folder / "datasets")
    )
    config = SFTConfig(
        output_dir=str(folder / "trl"), max_steps=2, max_length=2048, per_device_train_batch_size=1, use_cpu=True,
        save_strategy="no", report_to=[], disable_tqdm=True, model_init_kwargs={"dtype": "bfloat16"},
        gradient_checkpointing=False,
    )  # fmt: skip
    trainer = SFTTrainer(
        model=str(base.folder),
        args=config,
        train_dataset=data,
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
        callbacks=[Watch()],
    )
    trainer.train()
    return {"first_s": ends[0] - STARTED, "step_s": ends[1] - ends[0]}


def in_process(side: str, folder: Path) -> dict[str, Any]:
    """Run one side in a fresh process."""
    words = [sys.executable, __file__, "--side", side, "--folder", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr[-4000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def nothing_changed(folder: Path, rounds: int) -> float:
    """Give the seconds of ``dlm train`` on an unchanged folder, the best of some rounds."""
    words = [sys.executable, "-m", "dlm", "--home", str(folder / "home"), "train", str(folder / "corpus")]
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        done = subprocess.run([*words, "--max-steps", "2"], capture_output=True, text=True, check=True)
        times.append(time.perf_counter() - began)
        assert "nothing has changed" in done.stderr, done.stderr
    return min(times)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=("ours", "peer"))
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args(argv)
    if args.side:
        print(json.dumps((ours if args.side == "ours" else peer)(args.folder)))
        return 0
    with tempfile.TemporaryDirectory(prefix="dlm-retrain-") as name:
        return measure(Path(name), args.files, args.rounds)


def measure(folder: Path, files: int, rounds: int) -> int:
    """Measure both sides, first and again."""
    from dlm.wiring import Workspace

    (folder / "corpus").mkdir()
    write_corpus(folder / "corpus", files)
    Workspace(folder / "home").scaffold_folder(folder / "corpus", base="smollm2-135m")
    first = {side: in_process(side, folder) for side in ("ours", "peer")}
    nothing = nothing_changed(folder, rounds)
    edited = folder / "corpus" / "part000" / "module00000.py"
    edited.write_text(edited.read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
    again = {side: in_process(side, folder) for side in ("ours", "peer")}
    return _tell(files, first, again, nothing)


def _tell(files: int, first: dict[str, Any], again: dict[str, Any], nothing: float) -> int:
    share = again["ours"]["first_s"] / (again["ours"]["first_s"] + again["ours"]["steps"] * again["ours"]["step_s"])
    print(f"{files} files, {again['ours']['misses']} of {again['ours']['hits'] + again['ours']['misses']} rows anew")
    for name, figures in (("first", first), ("changed", again)):
        mine, other = figures["ours"]["first_s"], figures["peer"]["first_s"]
        print(f"{name:<8} dlm {mine:7.1f} s   TRL and datasets {other:7.1f} s   ratio {other / mine:.2f}")
    print(f"tokens   first {first['ours']['tokenise_s']:.1f} s, again {again['ours']['tokenise_s']:.2f} s")
    print(f"share of a whole training before its first step: {share:.3%} (goal below {GOAL_SHARE:.0%})")
    print(f"nothing changed: {nothing:.2f} s (goal below {GOAL_NOTHING_S:.0f} s)")
    return 1 if nothing > GOAL_NOTHING_S or share > GOAL_SHARE else 0


if __name__ == "__main__":
    raise SystemExit(main())
