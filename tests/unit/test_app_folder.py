"""The document of a folder: written once, used as it is, changed only on request."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlm.adapters.sources import FileSources
from dlm.app.folder import FolderOptions, ScaffoldedFolder, document_for_folder
from dlm.domain.document import Document
from dlm.domain.errors import BaseModelError, DlmError, DocumentError, FolderError, UsageError
from dlm.testing.clocks import FixedClock
from dlm.testing.registries import FakeRegistry
from dlm.testing.sources_contract import ID, paths


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "My notes"
    folder.mkdir()
    (folder / "a.md").write_text("1")
    return folder


CLOCK = FixedClock()


def made(folder: Path, **options: Any) -> ScaffoldedFolder:
    registry = FakeRegistry(folder / "bases")
    return document_for_folder(folder, FolderOptions(**options), registry=registry, clock=CLOCK)


def refused(folder: Path, **options: Any) -> DlmError:
    with pytest.raises(DlmError) as caught:
        made(folder, **options)
    return caught.value


def source_of(path: Path) -> dict[str, Any]:
    training = Document.load(path).frontmatter.training
    (source,) = training.sources or ()
    found: dict[str, Any] = {"include": source.include, "exclude": source.exclude, "policy": training.sources_policy}
    return found


def test_the_first_time_a_document_is_written(folder: Path) -> None:
    found = made(folder, base="tiny")
    assert found.created
    assert found.path == folder / ".dlm" / "corpus.dlm"
    document = Document.load(found.path)
    assert (document.dlm_id, document.base_model) == (found.dlm_id, "tiny")
    assert found.path.read_text() == (
        f"---\ndlm_id: {found.dlm_id}\ndlm_version: 15\nbase_model: tiny\ntraining:\n  sources:\n    - path: .\n"
        "  sources_policy: strict\n---\n\n# The files of My notes\n"
    )
    assert source_of(found.path) == {"include": ("**/*",), "exclude": (), "policy": "strict"}


def test_it_works_where_the_folder_is_moved_to(folder: Path, tmp_path: Path) -> None:
    made(folder, base="tiny")
    moved = tmp_path / "elsewhere"
    shutil.move(folder, moved)
    document = Document.load(moved / ".dlm" / "corpus.dlm")
    assert paths(FileSources().scan(document)) == ["a.md"]


def test_the_second_time_it_is_used_as_it_is(folder: Path) -> None:
    first = made(folder, base="tiny", include=("*.md",), policy="permissive")
    text = first.path.read_bytes()
    for options in ({}, {"base": "tiny"}, {"include": ("*.md",)}, {"policy": "permissive"}, {"name": "corpus"}):
        again = made(folder, **options)
        assert (again.path, again.dlm_id, again.created) == (first.path, first.dlm_id, False)
    assert first.path.read_bytes() == text
    assert made(folder / ".dlm").path == first.path


@pytest.mark.parametrize(
    "options",
    [
        {"base": "smollm2-135m"},
        {"include": ("*.md",)},
        {"exclude": ("x",)},
        {"policy": "permissive"},
        {"recursive": False},
    ],
)
def test_other_wishes_than_the_document_are_refused(folder: Path, options: dict[str, Any]) -> None:
    path = made(folder, base="tiny").path
    before = path.read_bytes()
    error = refused(folder, **options)
    assert (error.code, error.exit_code) == ("folder.differs", 1)
    assert "--rescaffold" in (error.hint or "")
    assert path.read_bytes() == before


def test_rescaffold_changes_what_is_asked_and_keeps_who_it_is(folder: Path) -> None:
    first = made(folder, base="tiny", include=("*.md",))
    edited = Document.load(first.path).edit(set={"training.seed": 7, "system_prompt": "Be kind."})
    edited.save()
    again = made(folder, rescaffold=True, exclude=("*: #",), policy="permissive")
    assert (again.dlm_id, again.base, again.created) == (first.dlm_id, "tiny", True)
    document = Document.load(first.path)
    assert source_of(first.path) == {"include": ("**/*",), "exclude": ("*: #",), "policy": "permissive"}
    assert (document.frontmatter.training.seed, document.frontmatter.system_prompt) == (7, "Be kind.")
    assert made(folder, rescaffold=True, base="smollm2-135m").base == "smollm2-135m"
    assert Document.load(first.path).base_model == "smollm2-135m"
    assert made(folder, rescaffold=True, name="new", base="tiny").dlm_id != first.dlm_id


def test_further_sources_and_limits_stay(folder: Path) -> None:
    path = made(folder, base="tiny").path
    entries = [{"path": "."}, {"path": "more", "max_files": 3}]
    entries[0]["max_bytes_per_file"] = 100  # type: ignore[assignment]
    Document.load(path).edit(set={"training.sources": entries}).save()
    made(folder, rescaffold=True, include=("*.md",))
    sources = Document.load(path).frontmatter.training.sources or ()
    assert [(entry.path, entry.max_bytes_per_file, entry.max_files) for entry in sources] == [
        (".", 100, None),
        ("more", None, 3),
    ]
    assert sources[0].include == ("*.md",)


def test_an_unreadable_document_is_an_error_and_stays(folder: Path) -> None:
    path = made(folder, base="tiny").path
    path.write_text("nothing")
    for options in ({}, {"rescaffold": True, "base": "tiny"}):
        assert isinstance(refused(folder, **options), DocumentError)
    assert path.read_text() == "nothing"


def test_without_a_base_nothing_is_written(folder: Path) -> None:
    error = refused(folder)
    assert error.code == "folder.needs-base"
    assert "--base" in (error.hint or "")
    assert "--name more --base" in (refused(folder, name="more").hint or "")
    assert isinstance(refused(folder, base="no-such-base"), BaseModelError)
    assert not (folder / ".dlm").exists()


def test_one_other_document_is_taken_and_several_are_listed(folder: Path) -> None:
    first = made(folder, base="tiny", name="one")
    assert made(folder).path == first.path
    assert made(folder, rescaffold=True).dlm_id == first.dlm_id
    made(folder, base="tiny", name="two")
    error = refused(folder)
    assert error.code == "folder.several"
    assert f"dlm train '{folder}' --name one\ndlm train '{folder}' --name two" in (error.hint or "")
    assert made(folder, name="two.dlm").path == folder / ".dlm" / "two.dlm"
    default = made(folder, base="tiny", name="corpus")
    assert made(folder).path == default.path


def test_odd_wishes_are_usage_errors(folder: Path) -> None:
    for name in ("", "..", "a/b", ".hidden", "a\n", "x" * 101, "../../etc/passwd"):
        error = refused(folder, base="tiny", name=name)
        assert (error.code, error.exit_code) == ("folder.name", 2)
    assert refused(folder, base="tiny", include=("{a,b}" * 20,)).code == "folder.pattern"
    assert refused(folder, base="tiny", exclude=(" ",)).code == "folder.pattern"
    assert isinstance(refused(folder, base="tiny", include=("*.md",), recursive=False), UsageError)
    assert isinstance(refused(folder / "a.md", base="tiny"), FolderError)
    assert not (folder / ".dlm").exists()


def test_not_recursive_means_the_folder_itself(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "b.md").write_text("2")
    path = made(folder, base="tiny", recursive=False).path
    assert source_of(path)["include"] == ("*",)
    assert paths(FileSources().scan(Document.load(path))) == ["a.md"]


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8), max_size=3))
def test_any_pattern_comes_back_as_it_was_given(patterns: list[str]) -> None:
    import tempfile

    given_patterns = tuple(pattern for pattern in patterns if pattern.strip())
    with tempfile.TemporaryDirectory() as temporary:
        found = made(Path(temporary), base="tiny", exclude=given_patterns)
        assert source_of(found.path)["exclude"] == given_patterns
        made(Path(temporary), rescaffold=True, include=given_patterns)
        assert source_of(found.path)["include"] == (given_patterns or ("**/*",))


def test_nothing_is_left_behind_when_the_disk_is_full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    path = made(folder, base="tiny").path
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert refused(folder, rescaffold=True, include=("*.md",)).code == "disk.full"
    assert [entry.name for entry in (folder / ".dlm").iterdir()] == ["corpus.dlm"]
    assert path.read_bytes() == before
    assert Document.load(path).dlm_id != ID
