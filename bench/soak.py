"""Edit and train again, many times, on the real small base; check after each time that nothing was lost.

    python bench/soak.py --cycles 50

Every cycle changes the document or the folder of notes beside it (adds, corrects, removes, or leaves all as it is) and
trains a few steps. Now and then a training is killed with SIGKILL, or interrupted and resumed. After each cycle the
store is compared with a model of what it must hold; at the end its growth is told part by part. Exits 1 when an
invariant is broken or the process keeps growing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from dlm.app.corpus_of import read_corpus
from dlm.domain.corpus import Corpus
from dlm.domain.document import Document
from dlm.domain.errors import Interrupted
from dlm.domain.events import Event, StepDone, ignore
from dlm.domain.manifest import Manifest
from dlm.domain.metrics import RunFilter
from dlm.domain.recall import superseded
from dlm.domain.replay import Snapshot
from dlm.domain.sections import Pair, Section
from dlm.wiring import Workspace

ID = "01KPXZ0000000000000000000S"
HEAD = (
    f"---\ndlm_id: {ID}\ndlm_version: 15\nbase_model: smollm2-135m\ntraining:\n  retention: 0\n"
    "  sources:\n    - path: notes\n---\nThe harbour of Velm was built of grey stone.\n"
)
STEPS = 4
SETTLED = 15
"""Cycle from which the process must not grow any more; until then it meets rows of ever new lengths."""

KERNELS = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
"""oneDNN keeps a kernel for each shape it ever met, up to 1,024 of them: about 1 GB that is not dlm's to explain."""
NAMES = "Ada Ben Cleo Dov Elin Finn Gil Hana Ivo Jun Kit Lena Milo Nell Olaf Pia Quin Rosa Sven Tove".split()
THINGS = "bell ferry mill tower inn gate well bridge library chapel school market quay garden lamp".split()


class Soak:
    """A document, its folder of notes, its store, and a model of what was ever in them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.path = folder / "notes.dlm"
        self.notes = folder / "notes"
        self.notes.mkdir(parents=True)
        self.path.write_text(HEAD, encoding="utf-8")
        (self.notes / "a.md").write_text("The bell of Orla rings at noon.\n", encoding="utf-8")
        self.home = folder / "home"
        self.workspace = Workspace(self.home)
        self.ever: dict[str, Snapshot] = {}
        self.let_go: set[str] = set()
        self.problems: list[str] = []

    @property
    def document(self) -> Document:
        return Document.load(self.path)

    def edit(self) -> str:
        """Change something at random; gives what."""
        kinds = (self._add, self._add, self._correct, self._remove, self._add_file, self._edit_file, self._remove_file)
        if self.random.random() < 0.1:
            return "nothing"
        change = self.random.choice(kinds)
        change()
        return change.__name__.strip("_")

    def _fact(self) -> Pair:
        name, thing, number = self.random.choice(NAMES), self.random.choice(THINGS), self.random.randrange(1000)
        return Pair(f"Who looks after {thing} number {number}?", f"{name} looks after it.")

    def _instructions(self) -> list[Section]:
        return [section for section in self.document.sections if section.type == "instruction"]

    def _add(self) -> None:
        self.document.edit(append=[Section.instruction([self._fact(), self._fact()])]).save()

    def _correct(self) -> None:
        sections = self._instructions()
        if not sections:
            return self._add()
        old = self.random.choice(sections)
        pairs = [Pair(pair.question, f"{self.random.choice(NAMES)} does now.") for pair in old.pairs]
        self.document.edit(replace={old.section_id: Section.instruction(pairs)}).save()
        return None

    def _remove(self) -> None:
        sections = self._instructions()
        if sections:
            self.document.edit(remove=[self.random.choice(sections).section_id]).save()

    def _files(self) -> list[Path]:
        return sorted(self.notes.iterdir())

    def _add_file(self) -> None:
        thing = self.random.choice(THINGS)
        path = self.notes / f"{thing}-{self.random.randrange(1000)}.md"
        path.write_text(f"The {thing} was painted by {self.random.choice(NAMES)}.\n", encoding="utf-8")

    def _edit_file(self) -> None:
        if files := self._files():
            self.random.choice(files).write_text(f"{self.random.choice(NAMES)} came by.\n", encoding="utf-8")

    def _remove_file(self) -> None:
        if files := self._files():
            self.random.choice(files).unlink()

    # One cycle.

    def train(self) -> str:
        """Train a few steps; gives the outcome."""
        return self.workspace.train(self.document, max_steps=STEPS).status

    def interrupt_and_resume(self) -> str:
        """Stop after two steps, then go on to the end."""
        seen: list[StepDone] = []

        def watch(event: Event) -> None:
            if isinstance(event, StepDone):
                seen.append(event)

        try:
            self.workspace.train(
                self.document, mode="fresh", max_steps=STEPS, on_event=watch, stop=lambda: len(seen) >= 2
            )
        except Interrupted:
            report = self.workspace.train(self.document, mode="resume", max_steps=STEPS)
            self.expect(report.steps == STEPS, f"resumed to step {report.steps}")
            return "interrupted, resumed"
        self.problems.append("a training that was told to stop did not")
        return "not interrupted"

    def kill(self) -> str:
        """Kill a training somewhere, then train again over what it left."""
        words = [sys.executable, "-m", "dlm", "--home", str(self.home), "--quiet", "train", str(self.path), "--fresh"]
        with subprocess.Popen([*words, "--max-steps", str(STEPS)], stdout=subprocess.DEVNULL) as child:
            try:
                child.wait(self.random.uniform(2.0, 14.0))
            except subprocess.TimeoutExpired:
                child.kill()
        if child.returncode == 0:
            return "finished before it was killed"
        self.workspace.train(self.document, mode="fresh", max_steps=STEPS, break_lock=True)
        return "killed, trained again"

    # What must hold.

    def expect(self, holds: bool, problem: str) -> None:
        """Note a broken invariant."""
        if not holds:
            self.problems.append(problem)

    def check(self) -> None:
        """Compare the store with what it must hold."""
        store = self.workspace.store
        manifest, current = store.manifest(ID), store.current(ID)
        assert manifest is not None
        assert current is not None
        self._check_runs(manifest)
        self.expect(manifest.adapter_version == current.version, "manifest and pointer name different versions")
        self.expect((current.folder / "adapter_model.safetensors").is_file(), "the adapter is not there")
        self._check_memory(manifest)
        root = store.location(ID)
        left = [path.name for path in root.rglob("*") if ".staging" in path.name or ".tmp." in path.name]
        left += [".lock"] * (root / ".lock").exists()
        self.expect(not left, f"left over: {left}")

    def _check_runs(self, manifest: Manifest) -> None:
        ids = [run.run_id for run in manifest.training_runs]
        self.expect(ids == list(range(1, len(ids) + 1)), f"run ids are not one after another: {ids}")
        told = {run.run_id: run.status for run in self.workspace.run_metrics.runs(ID, RunFilter(limit=None))}
        for run in manifest.training_runs:
            wanted = {"completed": "ok"}.get(run.status, run.status)
            # A process that was killed between the two has a row in the manifest only.
            self.expect(told.get(run.run_id, "failed") == wanted, f"run {run.run_id}: {run.status}, {told}")

    def _check_memory(self, manifest: Manifest) -> None:
        """What is in the document is remembered, and so is what left it, unless the document says it otherwise now."""
        corpus = read_corpus(self.document, sources=self.workspace.sources, store=self.workspace.store, emit=ignore)
        here = set(corpus.section_ids)
        self.expect(set(manifest.content_hashes) == here, "the manifest knows other sections")
        self.ever |= {said.section_id: said for said in self.workspace.replay.read(ID, sorted(here))}
        self.expect(here <= set(self.ever), f"sections of the document are not remembered: {here - set(self.ever)}")
        gone = {name: said for name, said in self.ever.items() if name not in here}
        kept = {said.section_id for said in self.workspace.replay.read(ID, sorted(gone))}
        for name in set(gone) - kept:
            self.expect(name in self.let_go or self._is_superseded(gone[name], corpus), f"{name} is lost")
            self.let_go.add(name)

    @staticmethod
    def _is_superseded(said: Snapshot, corpus: Corpus) -> bool:
        return bool(superseded([said], corpus.rows))

    def parts(self) -> dict[str, int]:
        """Give bytes on disk by part of the store."""
        root = self.workspace.store.location(ID)
        sizes: dict[str, int] = {}
        for path in root.rglob("*"):
            if path.is_file():
                part = path.relative_to(root).parts[0]
                sizes[part] = sizes.get(part, 0) + path.stat().st_size
        return sizes


def cycles(soak: Soak, count: int) -> Iterator[dict[str, Any]]:
    """Run the cycles; gives what each did and how large things are after it."""
    process = psutil.Process()
    for number in range(1, count + 1):
        began, what = time.monotonic(), soak.edit()
        if number % 10 == 0:
            outcome = soak.kill()
        elif number % 7 == 0:
            outcome = soak.interrupt_and_resume()
        else:
            outcome = soak.train()
        soak.check()
        yield {
            "cycle": number,
            "edit": what,
            "outcome": outcome,
            "seconds": round(time.monotonic() - began, 1),
            "rss_mb": process.memory_info().rss >> 20,
            "store": soak.parts(),
        }


def main() -> int:
    """Run the soak and judge it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=50)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    os.environ.setdefault(KERNELS, "64")
    with tempfile.TemporaryDirectory(prefix="dlm-soak-") as folder:
        soak = Soak(Path(folder), args.seed)
        seen = []
        for line in cycles(soak, args.cycles):
            seen.append(line)
            print(json.dumps(line), flush=True)
        return _judge(soak, seen)


def _judge(soak: Soak, seen: list[dict[str, Any]]) -> int:
    versions = len(list(soak.workspace.store.location(ID).glob("adapter/versions/v*")))
    last, settled = seen[-1], seen[min(SETTLED, len(seen)) - 1]
    growth = last["rss_mb"] - settled["rss_mb"]
    print(f"{len(seen)} cycles, {versions} adapter versions, {len(soak.ever)} sections ever")
    for part, size in sorted(last["store"].items()):
        print(f"  {part:<16} {size / 2**20:9.2f} MiB")
    print(f"  memory after cycle {settled['cycle']}: {settled['rss_mb']} MB, at the end {last['rss_mb']} MB")
    for problem in soak.problems:
        print(f"BROKEN: {problem}")
    limit = max(100, settled["rss_mb"] // 5)
    if growth > limit:
        print(f"BROKEN: the process grew by {growth} MB, more than {limit}")
    return 1 if soak.problems or growth > limit else 0


if __name__ == "__main__":
    raise SystemExit(main())
