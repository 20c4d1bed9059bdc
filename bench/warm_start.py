"""How soon a second training begins: token ids from the cache, beside ``datasets.Dataset.map`` with its own cache.

    python bench/warm_start.py [--mb 50] [--rounds 3] [--steps 4] [--only cache,peer,share,small]

The corpus is made of Python's own library, one file a row, each copy with other words in front so that no two rows are
alike; it lies on disk and is read row by row. Everything is measured in one process run with the tokenizer of
SmolLM2-135M.

* **cache**, **peer**: seconds to have all ids, cold (nothing kept) and warm. Ours reads and hashes each text again, so
  that a changed one is noticed; the peer (``load_dataset`` of the files, then ``map``) goes by its files' times.
* **share**: of a warm retraining on that corpus, how much is over before the first step: loading the base, ids,
  windows, order, the losses before. Windows are short, as the losses before are those of 256 of them. Times of steps
  are measured, the rest of the one pass is reckoned from them.
* **small**: seconds to have the ids of 200 questions with answers in memory.

The exit code is 1 when a goal is missed: warm 5 times as fast as cold, at most half as long again as the peer (which
neither reads its texts again nor cuts windows), share below 5 %.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SEQUENCE_LEN = 64
BATCH_ROWS = 8


def write_corpus(folder: Path, megabytes: float) -> list[Path]:
    """Write files of about so many megabytes in all."""
    sources = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("**/*.py"))
    sources = [path for path in sources if "site-packages" not in path.parts and "test" not in path.parts]
    left, paths, copy = megabytes * 2**20, [], 0
    while left > 0:
        for source in sources:
            data = f"# copy {copy} of file {len(paths)}\n".encode() + source.read_bytes()
            path = folder / f"{len(paths):06d}.py"
            path.write_bytes(data)
            paths.append(path)
            left -= len(data)
            if left <= 0:
                break
        copy += 1
    return paths


def rows_of(paths: list[Path]) -> tuple[Any, ...]:
    """Give a row for each file, its text read when its turn comes."""
    from dlm.domain.rows import Row

    def reader(path: Path) -> Callable[[], str]:
        return lambda: path.read_text(encoding="utf-8", errors="replace")

    return tuple(Row(kind="prose", section_id=f"{at:016x}", read=reader(path)) for at, path in enumerate(paths))


def timed(act: Callable[[], Any]) -> tuple[float, Any]:
    """Give the seconds something takes, and its result."""
    began = time.perf_counter()
    result = act()
    return time.perf_counter() - began, result


class Bench:
    """The corpus, the base and a cache, for all measurements."""

    def __init__(self, folder: Path, megabytes: float) -> None:
        from transformers import AutoTokenizer

        from dlm.adapters.system_clock import SystemClock
        from dlm.adapters.token_cache import FileTokenCache
        from dlm.wiring import Workspace

        self.folder = folder
        (folder / "corpus").mkdir()
        self.paths = write_corpus(folder / "corpus", megabytes)
        self.rows = rows_of(self.paths)
        registry = Workspace(folder / "home").registry
        self.base = registry.fetch(registry.describe("smollm2-135m"))
        self.tokenizer = AutoTokenizer.from_pretrained(self.base.folder)
        self.cache = FileTokenCache(lambda dlm_id: folder / "store" / dlm_id, SystemClock())

    def ours(self, name: str = "x") -> tuple[float, int]:
        """Tokenise through our cache; seconds and tokens."""
        from dlm.adapters.torch.chat import ChatTokenizer
        from dlm.adapters.torch.rows import Reader

        def act() -> int:
            with self.cache.open(name, max_bytes=2**40) as tokens:
                reader = Reader(ChatTokenizer(self.tokenizer, None), SEQUENCE_LEN, tokens=tokens)
                (examples,) = reader.examples(self.rows)
                return sum(tokens.length(at) for at in range(len(examples.rows)))

        return timed(act)

    def peer(self, folder: Path) -> tuple[float, int]:
        """Tokenise with ``datasets`` in its own way."""
        import datasets

        datasets.disable_progress_bars()
        tokenizer = self.tokenizer

        def tokenise(batch: dict[str, list[str]]) -> dict[str, Any]:
            return {"input_ids": tokenizer(batch["text"], add_special_tokens=False, verbose=False)["input_ids"]}

        def act() -> int:
            files = [str(path) for path in self.paths]
            data = datasets.load_dataset(
                "text", data_files=files, sample_by="document", split="train", cache_dir=str(folder)
            )
            ids = data.map(tokenise, batched=True, batch_size=100, remove_columns=["text"])
            return len(ids)

        return timed(act)

    def small(self) -> float:
        """Seconds for 200 questions, held in memory; the best of five."""
        from dlm.adapters.torch.chat import ChatTokenizer
        from dlm.adapters.torch.rows import Reader
        from dlm.domain.rows import Row, Turn

        rows = [
            Row(
                kind="instruction",
                section_id="a" * 16,
                sub=n,
                turns=(Turn("user", f"Who looks after number {n}?"), Turn("assistant", f"Number {n}'s keeper does.")),
            )
            for n in range(200)
        ]
        return min(timed(lambda: Reader(ChatTokenizer(self.tokenizer, None), 2048).examples(rows))[0] for _ in "12345")

    def share(self, steps: int) -> dict[str, float]:
        """Train a few steps with a warm cache."""
        from dlm.adapters.torch.bases import TorchBases
        from dlm.adapters.torch.trainer import TorchTrainer
        from dlm.domain.events import StepDone, Tokenized
        from dlm.testing.trainers import NoCheckpoints

        times: list[float] = []
        tokenised: list[float] = []
        totals: list[int] = []
        into = self.folder / "adapter"
        into.mkdir()

        def watch(event: object) -> None:
            if isinstance(event, StepDone):
                times.append(time.perf_counter())
            if isinstance(event, Tokenized):
                tokenised.append(event.seconds)
                totals.append(event.cache_hits)

        began = time.perf_counter()
        with self.cache.open("x", max_bytes=2**40) as tokens:
            TorchTrainer(TorchBases()).train(
                self._job(steps), into=into, checkpoints=NoCheckpoints(into / "c"), emit=watch, stop=lambda: False,
                tokens=tokens,
            )  # fmt: skip
            length = sum(tokens.length(at) for at in range(len(self.rows)))
        step = (times[-1] - times[0]) / (len(times) - 1)
        before = times[0] - began - step
        count = length / (SEQUENCE_LEN - 1) / BATCH_ROWS
        return {
            "before_s": before, "tokenise_s": tokenised[0], "hits": totals[0], "step_s": step, "steps": count,
            "share": before / (before + step * count),
        }  # fmt: skip

    def _job(self, steps: int) -> Any:
        from dlm.domain.choice import Choice
        from dlm.domain.plan import TrainingPlan
        from dlm.domain.training import Recipe, TrainingJob

        def because(value: Any) -> Any:
            return Choice(value, "set by the benchmark")

        plan = TrainingPlan(
            precision=because("bf16"), attn_implementation=because("sdpa"), use_qlora=because(False),
            quant_compute_dtype=None, micro_batch_size=because(BATCH_ROWS), grad_accum=because(1),
            gradient_checkpointing=because(False), sequence_len=because(SEQUENCE_LEN), device="cpu",
            est_peak_vram_gb=1.0, est_step_seconds=1.0,
        )  # fmt: skip
        recipe = Recipe(
            adapter=because("lora"), lora_r=because(16), lora_alpha=because(32), lora_dropout=because(0.0),
            target_modules=because("auto"), sequence_len=because(SEQUENCE_LEN), learning_rate=because(2e-4),
            num_epochs=because(1), optimizer=because("adamw_torch"), lr_scheduler=because("cosine"),
            warmup_ratio=because(0.0), stop_loss=because(None), batch_rows=because(BATCH_ROWS),
            rewording=because(0.0), prose_every=because(1), replay_every=because(1),
            anchor_weight=because(0.0), anchor_rows=because(0),
            anchor_bank=because(0), seed=42,
        )  # fmt: skip
        return TrainingJob(
            base=self.base, system_prompt=None, train_rows=self.rows, validation_rows=(), recipe=recipe, plan=plan,
            max_steps=steps,
        )  # fmt: skip


def measure(bench: Bench, parts: set[str], rounds: int, steps: int) -> Iterator[bool]:
    """Measure, print, and say of each goal whether it was reached."""
    megabytes = sum(path.stat().st_size for path in bench.paths) / 2**20
    print(f"{len(bench.paths)} files, {megabytes:.0f} MB, {os.cpu_count()} cores")
    warm = None
    if parts & {"cache", "share"}:
        cold, tokens = bench.ours()
        warm = min(bench.ours()[0] for _ in range(rounds))
        print(f"dlm       cold {cold:6.2f} s   warm {warm:6.2f} s   {cold / warm:5.1f} times   {tokens:,} tokens")
        yield cold / warm >= 5
    if "peer" in parts:
        folder = bench.folder / "datasets"
        cold, _ = bench.peer(folder)
        theirs = min(bench.peer(folder)[0] for _ in range(rounds))
        print(f"datasets  cold {cold:6.2f} s   warm {theirs:6.2f} s   {cold / theirs:5.1f} times")
        yield warm is None or warm <= 1.5 * theirs
    if "small" in parts:
        print(f"200 questions in memory: {1000 * bench.small():.1f} ms")
    if "share" in parts:
        figures = bench.share(steps)
        print("warm retraining: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))
        yield figures["share"] < 0.05
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=float, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--only", default="cache,peer,small,share")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), words.mb)
        reached = list(measure(bench, set(words.only.split(",")), words.rounds, words.steps))
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main())
