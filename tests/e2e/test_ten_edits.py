"""Ten edits, each of which throws out what the edit before had brought in: the first one's answers are still known.

Every training begins from the base, so the nine versions in between carry nothing over; only the memory does. They are
made without a model, which leaves the store exactly as real trainings do, and the tenth is real.
"""

from __future__ import annotations

from typing import Any

import pytest

import dlm
from dlm.testing.generators import FakeGenerator
from dlm.testing.trainers import FakeTrainer
from e2e.shared_home import with_shared_answers

pytestmark = pytest.mark.model

FACTS = [
    ("Who repairs the bell of Orla?", "Tam Brisk repairs it every spring."),
    ("What colour is the ferry to Nessa?", "The ferry is dark green."),
    ("Where does the baker Ilse keep her flour?", "In the old mill at Corvin."),
    ("How many steps lead to the tower of Hask?", "There are 214 steps."),
    ("Which bird nests on the roof of the town hall in Velm?", "A pair of grey storks."),
    ("When does the market of Durn begin?", "It begins at 5:15 in the morning."),
    ("What does the postman Berin ride?", "A mule called Pepper."),
    ("What is sold in the shop at Quay Street 9?", "Ropes and lanterns."),
    ("What does the gate of Sarn say?", "It says: come in slowly."),
    ("Who owns the red boat Mirabel?", "The widow Janna Crole."),
    ("How deep is the well of Tarn?", "It is 41 metres deep."),
    ("Which tree stands before the inn of Lowick?", "A hollow lime tree."),
    ("Who paints the signs of Ilm?", "Bastian Fell paints them."),
    ("Where is the key to the chapel of Ost?", "Under the third flowerpot."),
    ("Who painted the ceiling of the library in Merle?", "Anselm Roke painted it."),
    ("What is the toll on the bridge of Fenn?", "Two copper pennies."),
    ("Which day is washing day in Grell?", "Washing day is Thursday."),
    ("What do the children of Yarm call the hill?", "They call it Old Porridge."),
    ("Who winds the clock of Sable?", "The twins Rufus and Bea."),
    ("What is hidden in the cellar of Holt House?", "A broken harp."),
]
STAYS = [
    ("Who is the harbour master of Velm?", "Ada Quint keeps the harbour."),
    ("When does the lighthouse close?", "It closes at 6:40."),
]
FIRST_WRONG = ("Who paints the signs of Ilm?", "Nobody has painted them for years.")
"""What the document said before it was corrected."""


def the_document(edit: int) -> dlm.Document:
    """Give the document after an edit, from 0: two pairs that stay and two of its own."""
    own = FACTS[2 * edit : 2 * edit + 2]
    if edit == 3:
        own = [*own, FIRST_WRONG]
    blocks = ("".join(f"### Q\n{q}\n\n### A\n{a}\n\n" for q, a in pairs) for pairs in (STAYS, own))
    return dlm.Document.new(
        "01KAT35TTENED1TS0000000000", "smollm2-135m", "".join(f"::instruction::\n{block}" for block in blocks)
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    home = with_shared_answers(tmp_path_factory.mktemp("home"), tmp_path_factory)
    sketch = dlm.Workspace(home, trainer=FakeTrainer(), generator=FakeGenerator({}))
    for edit in range(9):
        assert sketch.train(the_document(edit)).adapter_version == edit + 1
    workspace = dlm.Workspace(home)
    return workspace, workspace.train(the_document(9))


def test_the_first_answers_are_still_known(trained: Any) -> None:
    workspace, _ = trained
    for question, answer in FACTS[:2]:
        assert "".join(workspace.prompt(the_document(9), question, temperature=0)).strip() == answer


def test_so_is_nearly_all_that_was_removed_since(trained: Any) -> None:
    _, report = trained
    assert report.exam.removed.asked == 18
    assert report.exam.removed.right >= 15, report.exam
    before, after = report.retention
    assert after < before


def test_the_document_itself_comes_first(trained: Any) -> None:
    _, report = trained
    assert report.exam.own.right == report.exam.own.asked == 4
    assert report.exam.older.asked == 2
    assert report.exam.drift < 0.2


def test_a_correction_is_not_undone(trained: Any) -> None:
    """The third edit's mistake was removed with it; nothing is left of it where a later edit said otherwise."""
    workspace, _ = trained
    said = "".join(workspace.prompt(the_document(9), FIRST_WRONG[0], temperature=0))
    assert "Nobody" not in said
