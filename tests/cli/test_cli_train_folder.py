"""``dlm train <folder>``: what reaches the library, and what a person reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.cli_fakes import Runner
from dlm.domain.errors import Interrupted


def test_a_folder_becomes_a_document_that_is_trained(dlm: Runner, tmp_path: Path) -> None:
    outcome = dlm("train", str(tmp_path), "--base", "tiny", "--include", "*.md", "--include", "*.txt", "--seed", "3")
    assert outcome.code == 0
    (first, asked), (second, trained) = dlm.workspace.calls
    assert (first, second) == ("scaffold_folder", "train")
    assert asked == {
        "folder": tmp_path,
        "base": "tiny",
        "include": ("*.md", "*.txt"),
        "exclude": (),
        "recursive": None,
        "name": None,
        "policy": None,
        "rescaffold": False,
    }
    document = tmp_path / ".dlm" / "corpus.dlm"
    assert (trained["path"], trained["seed"]) == (document, 3)
    assert outcome.err.startswith(f"scaffolded: {document} (dlm_id=01JABC)\n")


def test_a_document_that_was_there_is_named(dlm: Runner, tmp_path: Path) -> None:
    dlm.workspace.scaffolds = False
    assert dlm("train", str(tmp_path)).err.startswith(f"train: using {tmp_path / '.dlm' / 'corpus.dlm'}\n")
    assert "using" not in dlm("train", str(tmp_path), "-q").err


@pytest.mark.parametrize(
    "words",
    ["--include *", "--exclude *", "--no-recursive", "--recursive", "--name x", "--rescaffold", "--policy strict"],
)
def test_options_for_folders_are_refused_beside_a_document(dlm: Runner, notes: Path, words: str) -> None:
    outcome = dlm("train", str(notes), *words.split())
    assert outcome.code == 2
    assert f"train: {words.split()[0]}: only for folders" in outcome.err
    assert dlm.workspace.calls == []


def test_a_base_beside_a_document_is_ignored_and_told(dlm: Runner, notes: Path) -> None:
    outcome = dlm("train", str(notes), "--base", "tiny")
    assert outcome.code == 0
    assert "train: --base tiny is ignored" in outcome.err
    assert [name for name, _ in dlm.workspace.calls] == ["train"]


def test_the_command_that_goes_on_names_the_document(
    dlm: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise Interrupted("train.interrupted", "stopped")

    monkeypatch.setattr(dlm.workspace, "train", stopped)
    outcome = dlm("train", str(tmp_path), "--base", "tiny")
    assert outcome.code == 130
    assert f"dlm train {tmp_path / '.dlm' / 'corpus.dlm'} --resume" in outcome.err
