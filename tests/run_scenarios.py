"""A whole training run on real storage and a model of paper, to be killed before each of its changes of the disk.

usage: python run_scenarios.py <folder>

For n = 1, 2, … a child trains an edited document in its own copy of a prepared home in ``<folder>/<n>`` and kills
itself before its n-th change of the file system, until one comes through. Prints the number of kills.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from dlm.domain.document import Document
from dlm.testing.clocks import FixedClock
from dlm.testing.generators import FakeGenerator
from dlm.testing.hardware import FakeHardware
from dlm.testing.trainers import FakeTrainer
from dlm.wiring import Workspace
from filesystem_steps import survives_kill_before
from run_cases import ANSWERS, BODY, CountingRegistry, a_text

TRAINING = "num_epochs: 2\nsources:\n  - path: notes"
TOWER = "::instruction::\n### Q\nHow many steps has the tower?\n\n### A\nThere are 214 steps.\n"
INN = "::instruction::\n### Q\nWhich tree stands before the inn?\n\n### A\nA hollow lime tree.\n"


def workspace_in(folder: Path) -> Workspace:
    """Give a workspace whose storage is real and whose model is not."""
    clock = FixedClock()
    return Workspace(
        folder / "home",
        registry=CountingRegistry(Path(tempfile.mkdtemp(dir=folder))),
        hardware=FakeHardware(),
        trainer=FakeTrainer(),
        generator=FakeGenerator(ANSWERS),
        clock=clock,
        environ={},
    )


def document_in(folder: Path, added: str) -> Document:
    """Give the document beside a folder of notes."""
    return Document.parse(a_text(BODY + added, training=TRAINING), path=folder / "notes.dlm")


def prepare(folder: Path) -> None:
    """Train once; then a section and a file go and others come."""
    notes = folder / "notes"
    notes.mkdir(parents=True)
    (notes / "ferry.md").write_text("The ferry to Nessa is dark green.\n", encoding="utf-8")
    workspace_in(folder).train(document_in(folder, TOWER))
    (notes / "ferry.md").unlink()
    (notes / "bell.md").write_text("The bell of Orla rings at noon.\n", encoding="utf-8")


def edit_and_train(folder: Path, **options: Any) -> Any:
    """Train what the document has become."""
    return workspace_in(folder).train(document_in(folder, INN), **options)


def train_in(folder: Path) -> None:
    """Train the second document of a folder."""
    workspace_in(folder).train(document_in(folder, INN))


def main(folder: Path) -> None:
    """Kill one child after the other."""
    prepare(folder / "seed")
    step = 0
    while True:
        step += 1
        place = folder / f"{step:03d}"
        shutil.copytree(folder / "seed", place)
        if survives_kill_before(step, partial(train_in, place)):
            print(step - 1)
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
