"""How fast dlm trains, beside TRL's ``SFTTrainer`` on the same rows and beside the machine's own matrix products.

    python bench/train_speed.py [--rounds 3] [--steps 8] [--only chat,full,scale,start,gpu]

Everything is measured in one run. Each training is a process of its own, ours and TRL's in turn, so that a busy moment
hits both; the first three steps of each are left out. SmolLM2-135M, LoRA of rank 16 on all linear layers but the head.

* **chat**: short questions with answers, eight a step. Tokens are those of the rows, without padding, for both sides;
  only answers are learned, by both. TRL runs with its defaults, then tuned (bf16 weights, no recomputing).
* **full**: rows of 512 or 256 tokens, every token learned. The arithmetic of a step is counted as
  4 × parameters × tokens (forward and the gradient of activations) and set against a large bf16 product.
* **start**: from the start of a process to the end of its first step.
* **scale**: seconds and memory of an epoch of 10, 100, 1,000 … questions.
* **gpu**: chat on CUDA against TRL with packing and bf16; left out without one.

The exit code is 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PARAMETERS = 134_515_008
BATCH_ROWS = 8
WARM_STEPS = 3
NAMES = ("lantern", "harbour", "orchard", "ferry", "mill", "tower", "garden", "bridge", "market", "bakery")
PEOPLE = ("Ysolde Crake", "Perrin Holloway", "Tamsin Vey", "Odo Marsh", "Brannoch Teal", "Wilmot Arden")


def pair(number: int) -> tuple[str, str]:
    """Give a question and its answer; with the template around them about 56 tokens."""
    name, person = NAMES[number % 10], PEOPLE[number % 6]
    return (
        f"Who looks after {name} number {number}?",
        f"{person} looks after {name} number {number}, from the first of May on.",
    )


# What a child process runs: one training, its figures as JSON on the last line.


def dlm_child(home: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Train with dlm."""
    from dlm.adapters.torch.bases import TorchBases
    from dlm.adapters.torch.trainer import TorchTrainer
    from dlm.domain.events import StepDone
    from dlm.testing.trainers import NoCheckpoints

    ends: list[float] = []
    tokens: list[float] = []
    began = time.perf_counter()

    def watch(event: object) -> None:
        if isinstance(event, StepDone):
            now = time.perf_counter()
            tokens.append(event.tokens_per_s)
            ends.append(now)

    with tempfile.TemporaryDirectory() as folder:
        outcome = TorchTrainer(TorchBases()).train(
            _job(home, options), into=Path(folder), checkpoints=NoCheckpoints(Path(folder) / "c"), emit=watch,
            stop=lambda: False,
        )  # fmt: skip
    return {
        **_figures(ends, outcome.tokens / max(1, outcome.steps), first_s=ends[0] - STARTED),
        "whole_s": time.perf_counter() - began,
        "loop_s": outcome.seconds,
        "last_loss": outcome.final_train_loss,
    }


def _job(home: Path, options: dict[str, Any]) -> Any:
    from dlm.domain.choice import Choice
    from dlm.domain.plan import TrainingPlan
    from dlm.domain.training import Recipe, TrainingJob

    def because(value: Any) -> Any:
        return Choice(value, "set by the benchmark")

    plan = TrainingPlan(
        precision=because("bf16"), attn_implementation=because("sdpa"), use_qlora=because(False),
        quant_compute_dtype=None, micro_batch_size=because(BATCH_ROWS), micro_batch_tokens=options["room"],
        grad_accum=because(1), gradient_checkpointing=because(False), sequence_len=because(2048),
        device=options["device"], est_peak_vram_gb=1.0, est_step_seconds=1.0,
    )  # fmt: skip
    recipe = Recipe(
        adapter=because("lora"), lora_r=because(16), lora_alpha=because(32), lora_dropout=because(0.0),
        target_modules=because("auto"), sequence_len=because(2048), learning_rate=because(2e-4),
        num_epochs=because(1000), optimizer=because("adamw_torch"), lr_scheduler=because("cosine"),
        warmup_ratio=because(0.0), stop_loss=because(None), batch_rows=because(options["batch"]),
        anchor_weight=because(0.0), anchor_rows=because(0), seed=42,
    )  # fmt: skip
    return TrainingJob(
        base=_base(home), system_prompt=None, train_rows=_rows(options), validation_rows=(), recipe=recipe, plan=plan,
        max_steps=options["steps"],
    )  # fmt: skip


def _base(home: Path) -> Any:
    from dlm.wiring import Workspace

    registry = Workspace(home).registry
    return registry.fetch(registry.describe("smollm2-135m"))


def _rows(options: dict[str, Any]) -> tuple[Any, ...]:
    from dlm.domain.rows import Row, Turn

    if options["words"]:
        texts = (" ".join(f"{number * 7 + word * 3}" for word in range(options["words"])) for number in range(64))
        return tuple(Row(kind="prose", section_id="a" * 16, line=1, text=text) for text in texts)
    return tuple(
        Row(kind="instruction", section_id="a" * 16, sub=n, line=n, turns=(Turn("user", q), Turn("assistant", a)))
        for n, (q, a) in ((number, pair(number)) for number in range(options["pairs"]))
    )


def trl_child(home: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Train with TRL; ``tuned`` takes bf16 weights, no recomputing, and packing on a GPU."""
    import torch
    from datasets import Dataset, disable_progress_bars
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    disable_progress_bars()
    ends: list[float] = []

    class Watch(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

    pairs = [pair(number) for number in range(options["pairs"])]
    data = Dataset.from_dict(
        {
            "prompt": [[{"role": "user", "content": question}] for question, _ in pairs],
            "completion": [[{"role": "assistant", "content": answer}] for _, answer in pairs],
        }
    )
    tuned: dict[str, Any] = {}
    if options["tuned"]:
        tuned = {"model_init_kwargs": {"dtype": "bfloat16"}, "gradient_checkpointing": False}
        if options["device"] == "cuda":
            tuned |= {"packing": True, "max_length": 512}
    with tempfile.TemporaryDirectory() as folder:
        config = SFTConfig(
            output_dir=folder, max_steps=options["steps"], save_strategy="no", report_to=[], disable_tqdm=True,
            use_cpu=options["device"] == "cpu", **tuned,
        )  # fmt: skip
        trainer = SFTTrainer(
            model=str(_base(home).folder),
            args=config,
            train_dataset=data,
            peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
            callbacks=[Watch()],
        )
        lengths = [len(ids) for ids in trainer.train_dataset["input_ids"]]
        trainer.train()
    rows = config.per_device_train_batch_size
    figures = _figures(ends, rows * statistics.mean(lengths), first_s=ends[0] - STARTED)
    return {**figures, "dtype": str(next(trainer.model.parameters()).dtype), "torch": torch.__version__}


def _figures(ends: Sequence[float], tokens_a_step: float, *, first_s: float) -> dict[str, Any]:
    """Give the median step after the warm ones, and the most memory this process ever held."""
    steps = [after - before for before, after in zip(ends[WARM_STEPS - 1 :], ends[WARM_STEPS:], strict=False)]
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "step_s": statistics.median(steps) if steps else 0.0,
        "tokens": tokens_a_step,
        "tokens_per_s": tokens_a_step / statistics.median(steps) if steps else 0.0,
        "peak_mb": usage.ru_maxrss / 1024,
        "first_s": first_s,
        "faults": usage.ru_minflt,
    }


def matmul_rate() -> float:
    """Give the rate of a large bf16 product in flop/s: the best of ten."""
    import torch

    a, b = (torch.randn(4096, 4096).to(torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        began = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - began)
    return float(2 * 4096**3 / best)


# What the parent does.


def child(side: str, home: Path, **changes: Any) -> dict[str, Any]:
    """Run one training in a fresh process and give its figures."""
    options = {
        "side": side, "home": str(home), "device": "cpu", "pairs": 200, "words": 0, "batch": BATCH_ROWS, "room": 16384,
        "steps": WARM_STEPS + 8, "tuned": False, **changes,
    }  # fmt: skip
    line = [sys.executable, __file__, "--child", json.dumps(options)]
    done = subprocess.run(
        line, capture_output=True, text=True, check=False, env={**os.environ, "GOMP_SPINCOUNT": "5000"}
    )
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr[-3000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def chat(home: Path, rounds: int, steps: int) -> bool:
    """Compare on short rows."""
    sides = {"dlm": {}, "TRL, defaults": {}, "TRL, tuned": {"tuned": True}}
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, options in sides.items():
            runs[name].append(child(name[:3].lower(), home, steps=WARM_STEPS + steps, **options))
    return _table(runs, speed_goal=3.0, memory_goal=0.7)


def _table(runs: dict[str, list[dict[str, Any]]], *, speed_goal: float, memory_goal: float) -> bool:
    """Print a line per side; say whether the second was beaten by the goals."""

    def middle(name: str, key: str) -> float:
        return statistics.median(run[key] for run in runs[name])

    names = list(runs)
    heads = ("tokens a row", "s a step", "tokens/s", "peak MB", "first step")
    print(f"{'chat, 8 rows a step':<22}" + "".join(f"{head:>13}" for head in heads))
    for name in names:
        print(
            f"{name:<22}{middle(name, 'tokens') / BATCH_ROWS:>13.1f}{middle(name, 'step_s'):>13.3f}"
            f"{middle(name, 'tokens_per_s'):>13.0f}{middle(name, 'peak_mb'):>13.0f}{middle(name, 'first_s'):>11.1f} s"
        )
    good = True
    for name in names[1:]:
        speed = middle(names[0], "tokens_per_s") / middle(name, "tokens_per_s")
        memory = middle(names[0], "peak_mb") / middle(name, "peak_mb")
        print(
            f"against {name}: {speed:.2f} times the speed (goal {speed_goal}), "
            f"{memory:.2f} of the memory (goal {memory_goal})"
        )
        if name == names[1]:
            good = speed >= speed_goal and memory <= memory_goal
    return good


def full(home: Path, rounds: int, steps: int) -> bool:
    """Compare full rows with the machine's own rate."""
    good = True
    for rows, tokens in ((1, 512), (4, 256)):
        shares = []
        for _ in range(rounds):
            rate = matmul_rate()
            figures = child("dlm", home, batch=rows, words=_words(tokens), steps=WARM_STEPS + steps)
            done = 4 * PARAMETERS * figures["tokens"]
            shares.append(done / figures["step_s"] / rate)
        share = statistics.median(shares)
        print(
            f"full rows {rows} x {figures['tokens'] / rows:.0f}: {figures['step_s']:.3f} s a step, "
            f"{figures['peak_mb']:.0f} MB, {share:.0%} of {rate / 1e12:.2f} TFLOP/s (goal 50%)"
        )
        good = good and share >= 0.5
    return good


def _words(tokens: int) -> int:
    """Give how many of our numbers make so many tokens: about four each, as the tokenizer cuts to the digit."""
    return tokens // 4


def start(home: Path, rounds: int, steps: int) -> bool:
    """Measure from the start of a process to its first step."""
    del steps
    times = [child("dlm", home, steps=1)["first_s"] for _ in range(max(2, rounds))]
    print(f"process start to first step, warm: {statistics.median(times):.1f} s (goal 6 s)")
    return statistics.median(times) <= 6


def scale(home: Path, rounds: int, steps: int) -> bool:
    """Measure whole epochs of growing documents."""
    del rounds, steps
    seen = []
    for pairs in (10, 100, 1000, 10_000):
        wanted = -(-pairs // BATCH_ROWS)
        figures = child("dlm", home, pairs=pairs, steps=wanted)
        seen.append((pairs, figures["loop_s"], figures["peak_mb"]))
        print(
            f"{pairs:>6} pairs: {figures['loop_s']:7.1f} s, {figures['loop_s'] / pairs:.4f} s a pair, "
            f"{figures['peak_mb']:.0f} MB"
        )
    a_pair = [seconds / pairs for pairs, seconds, _ in seen]
    return a_pair[-1] <= 1.15 * a_pair[1] and seen[-1][2] <= 1.1 * seen[0][2]


def gpu(home: Path, rounds: int, steps: int) -> bool:
    """Compare on CUDA with TRL packed and in bf16."""
    import torch

    if not torch.cuda.is_available():
        print("gpu: left out, this machine has no CUDA device (an NVIDIA GPU with its driver)")
        return True
    sides = {"dlm": {}, "TRL, packed, bf16": {"tuned": True}}
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, options in sides.items():
            runs[name].append(child(name[:3].lower(), home, device="cuda", steps=WARM_STEPS + steps, **options))
    return _table(runs, speed_goal=1.3, memory_goal=1.0)


def main() -> int:
    """Measure what was asked for."""
    parts = {"chat": chat, "full": full, "start": start, "scale": scale, "gpu": gpu}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8, help="measured steps of each training")
    parser.add_argument("--only", default=",".join(parts), help="parts, with commas between")
    parser.add_argument("--home", type=Path, help="a dlm home that holds the base; a fresh one if left out")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        options = json.loads(given.child)
        side = dlm_child if options["side"] == "dlm" else trl_child
        print("\n" + json.dumps(side(Path(options["home"]), options)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        home = given.home or Path(folder)
        _base(home)
        good = [parts[name](home, given.rounds, given.steps) for name in given.only.split(",")]
    return int(not all(good))


STARTED = time.perf_counter()

if __name__ == "__main__":
    sys.exit(main())
