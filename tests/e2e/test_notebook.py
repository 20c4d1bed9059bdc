"""The notebook runs from top to bottom, and is kept without outputs."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from docs_pages import ROOT
from e2e.shared_home import with_shared_answers

NOTEBOOK = ROOT / "examples" / "first_steps.ipynb"


def test_the_notebook_is_kept_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]

    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


@pytest.mark.model
@pytest.mark.timeout(900)
# nbclient and its kernel client leave sockets and loops to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_notebook_trains_and_answers(
    tmp_path: Path, home: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_shared_answers(home, tmp_path_factory)
    for document in (ROOT / "examples").glob("*.dlm"):
        shutil.copy(document, tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "jupyter"))

    cells = _executed(tmp_path)

    printed = [_text(cell) for cell in cells]
    assert "goat hair" in printed[2]
    assert "Paris" in printed[3]
    assert "'own': {'right': 6, 'asked': 6}" in printed[4]
    assert "a small base needs firm steps" in printed[5]
    assert "<svg" in cells[1].outputs[-1]["data"]["text/html"]
    assert "anchor_loss" in printed[6]
    assert (Path(os.environ["DLM_HOME"]) / "store").is_dir()


def _executed(folder: Path) -> list[Any]:
    import nbclient
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]  # nbformat leaves it untyped
    nbclient.NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _text(cell: Any) -> str:
    parts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "".join(parts)
