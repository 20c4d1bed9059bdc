"""Migrating document files: backups, dry runs, and files that are left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlm.app.migrate import migrate
from dlm.domain.document import Document
from dlm.domain.errors import DocumentError, MigrationError, StoreError
from dlm.domain.migrations import CURRENT_VERSION, migrate_text

ID = "01HQ8Z0000000000000000000A"
OLD = f"""---
dlm_id: {ID}  # mine
base_model: b
training:
  # the old name
  dpo:
    enabled: false
    # how far
    beta: 0.3
    reference: pre_dpo_adapter  # was pre_dpo_adapter
    num_epochs: 2
  seed: 42
---


# Title

::prose::
end


"""
NEW = f"""---
dlm_id: {ID}  # mine
dlm_version: 15
base_model: b
training:
  # the old name
  preference:
    method: dpo
    enabled: false
    hyperparams:
      # how far
      beta: 0.3
      num_epochs: 2
    reference: pre_adapter  # was pre_dpo_adapter
  seed: 42
---
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "notes.dlm"
    path.write_text(OLD)
    return path


def test_the_file_is_rewritten_and_the_original_kept(old: Path) -> None:
    old.chmod(0o640)
    result = migrate(old)
    assert (result.from_version, result.to_version, result.changed) == (1, CURRENT_VERSION, True)
    assert result.backup_path == old.with_name("notes.dlm.bak")
    assert result.backup_path.read_text() == OLD
    assert result.backup_path.stat().st_mode & 0o777 == 0o640
    assert result.frontmatter_text == NEW
    assert old.read_text() == NEW + OLD.split("---\n", 2)[2]
    assert len(result.steps) == CURRENT_VERSION - 1
    assert Document.load(old).sections == Document.parse(NEW + OLD.split("---\n", 2)[2]).sections


def test_section_ids_and_values_survive(old: Path) -> None:
    before = Document.load(old)
    migrate(old)
    after = Document.load(old)
    assert [s.section_id for s in after.sections] == [s.section_id for s in before.sections]
    assert [s.legacy_id for s in after.sections] == [s.legacy_id for s in before.sections]
    assert after.frontmatter.training == before.frontmatter.training
    assert after.frontmatter.is_explicit("training.seed")


def test_a_dry_run_writes_nothing(old: Path) -> None:
    result = migrate(old, dry_run=True)
    assert (result.frontmatter_text, result.changed, result.backup_path) == (NEW, True, None)
    assert old.read_text() == OLD
    assert list(old.parent.iterdir()) == [old]


def test_an_up_to_date_file_is_left_alone(old: Path) -> None:
    migrate(old, backup=False)
    stamp = old.stat().st_mtime_ns
    result = migrate(old)
    assert (result.from_version, result.changed, result.backup_path, result.steps) == (15, False, None, ())
    assert old.stat().st_mtime_ns == stamp
    assert list(old.parent.iterdir()) == [old]


def test_backups_are_never_replaced(old: Path) -> None:
    for name in ("notes.dlm.bak", "notes.dlm.bak.1"):
        old.with_name(name).write_text(name)
    assert migrate(old).backup_path == old.with_name("notes.dlm.bak.2")
    assert old.with_name("notes.dlm.bak").read_text() == "notes.dlm.bak"


def test_the_backup_has_the_very_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.dlm"
    data = b"\xef\xbb\xbf" + OLD.replace("\n", "\r\n").encode()
    path.write_bytes(data)
    result = migrate(path)
    assert result.backup_path is not None
    assert result.backup_path.read_bytes() == data
    assert path.read_text() == NEW + OLD.split("---\n", 2)[2]


def test_a_bad_document_is_reported_at_its_place_and_left_alone(old: Path) -> None:
    old.write_text(OLD.replace("beta: 0.3", "beta: 3") + "::foo::\n")
    with pytest.raises(DocumentError) as caught:
        migrate(old)
    assert [(fault.code, fault.line) for fault in caught.value.faults] == [("doc.bad-value", 9), ("doc.fence", 22)]
    assert str(old) in str(caught.value)
    assert "::foo::" in old.read_text()
    assert list(old.parent.iterdir()) == [old]


@pytest.mark.parametrize("version", ["16", "0", "x"])
def test_unknown_versions_are_refused(old: Path, version: str) -> None:
    text = OLD.replace("base_model", f"dlm_version: {version}\nbase_model")
    old.write_text(text)
    with pytest.raises(DocumentError, match="version"):
        migrate(old)
    with pytest.raises(MigrationError, match="version") as caught:
        migrate_text(text, "notes.dlm")
    assert str(caught.value).startswith("notes.dlm:3:14: ")
    assert old.read_text() == text


@pytest.mark.parametrize(
    ("dpo", "preference"),
    [
        ("dpo: {}", "preference: {method: dpo}"),
        ("dpo: {beta: 0.2, enabled: no}", "preference: {method: dpo, enabled: no, hyperparams: {beta: 0.2}}"),
        (
            "dpo: {reference: 'pre_dpo_adapter', # why\n    loss_type: ipo}  # end",
            "# why\n  preference: {method: dpo, reference: 'pre_adapter', loss_type: ipo}  # end",
        ),
        ('"dpo":\n    loss_type: ipo', "preference:\n    method: dpo\n    loss_type: ipo"),
    ],
)
def test_every_way_to_write_the_old_block(dpo: str, preference: str) -> None:
    text = f"---\ndlm_id: {ID}\nbase_model: b\ntraining:\n  {dpo}\n---\n"
    migration = migrate_text(text)
    assert migration.text == text.replace(dpo, preference).replace("base_model", "dlm_version: 15\nbase_model")
    assert Document.parse(migration.text).frontmatter.training == Document.parse(text).frontmatter.training


@pytest.mark.parametrize("dpo", ["dpo: null", "dpo: 3", "dpo: {betta: 1}", "dpo: {}\n  preference: {}"])
def test_an_old_block_that_makes_no_sense_is_a_fault(dpo: str) -> None:
    with pytest.raises(DocumentError):
        Document.parse(f"---\ndlm_id: {ID}\nbase_model: b\ntraining:\n  {dpo}\n---\n")


@pytest.mark.parametrize("version", range(1, 15))
def test_every_version_reads_and_migrates(version: int) -> None:
    text = f"---\ndlm_id: {ID}\ndlm_version: {version} # v\nbase_model: b\n---\nx\n"
    assert Document.parse(text).file_version == version
    assert migrate_text(text).text == text.replace(f": {version} #", ": 15 #")


def test_the_old_name_is_unknown_in_newer_versions() -> None:
    with pytest.raises(DocumentError, match="unknown key 'dpo'"):
        Document.parse(f"---\ndlm_id: {ID}\ndlm_version: 2\nbase_model: b\ntraining: {{dpo: {{}}}}\n---\n")


def test_a_folder_that_cannot_be_written_changes_nothing(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, mode: int = 0o666, exist_ok: bool = True) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(StoreError, match="cannot be written"):
        migrate(old)
    assert old.read_text() == OLD
