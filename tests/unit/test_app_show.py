"""Showing what is known: with and without a store, whole and damaged; nothing is ever created."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dlm.adapters.filesystem import FileStore
from dlm.domain.errors import DocumentError, Interrupted, StoreError, TrainingError
from dlm.domain.events import StepDone
from dlm.domain.manifest import ExportRecord
from dlm.domain.numbers import human_size
from run_cases import ID, FailingTrainer, Scene, a_document, a_text

NO_STORE_KEYS = {"dlm_id", "base_model", "store_initialized", "source_path", "training_cache_config"}
STORE_KEYS = {
    "dlm_id",
    "path",
    "base_model",
    "base_model_revision",
    "adapter_version",
    "training_runs",
    "last_trained_at",
    "has_adapter_current",
    "replay_size_bytes",
    "total_size_bytes",
    "source_path",
    "orphaned",
    "exports",
    "content_hashes",
    "pinned_versions",
    "named_adapters",
    "training_cache_config",
    "base_security",
    "lock",
}
"""What other programs read from ``dlm show --json``."""


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(folder=tmp_path)
    scene.store = FileStore(tmp_path / "home", scene.clock)
    return scene


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    path = tmp_path / "notes.dlm"
    path.write_text(a_text(), encoding="utf-8")
    return path


def trained(scene: Scene, notes: Path) -> Scene:
    from dlm.domain.document import Document

    scene.train(Document.load(notes))
    return scene


def as_json(scene: Scene, path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(json.dumps(scene.workspace.show(path).to_json(), allow_nan=False))
    return record


class TestWithoutAStore:
    def test_nothing_is_created(self, scene: Scene, notes: Path, tmp_path: Path) -> None:
        before = sorted(tmp_path.rglob("*"))
        report = scene.workspace.show(notes)
        report.to_json()
        report.to_text()
        assert sorted(tmp_path.rglob("*")) == before
        assert not (tmp_path / "home").exists()

    def test_the_record(self, scene: Scene, notes: Path) -> None:
        record = as_json(scene, notes)
        assert set(record) == NO_STORE_KEYS
        assert record["store_initialized"] is False
        assert record["source_path"] == str(notes)
        assert set(record["training_cache_config"]) == {"enabled", "max_bytes", "prune_older_than_days"}

    def test_the_text_says_what_to_do(self, scene: Scene, notes: Path) -> None:
        text = scene.workspace.show(notes).to_text()
        assert f"dlm train {notes}" in text
        assert ID in text


class TestWithAStore:
    def test_the_record(self, scene: Scene, notes: Path) -> None:
        record = as_json(trained(scene, notes), notes)
        assert set(record) >= STORE_KEYS
        assert (record["adapter_version"], record["training_runs"], record["has_adapter_current"]) == (1, 1, True)
        assert record["last_trained_at"] == "2026-04-23T18:42:11"
        assert record["orphaned"] is False
        assert record["total_size_bytes"] > 0
        assert record["lock"]["last_run_id"] == 1
        assert record["lock"]["path"].endswith("dlm.lock")
        assert record["base_security"] == {"base_model": "tiny", "architecture": None, "trust_remote_code": False}

    def test_the_text(self, scene: Scene, notes: Path) -> None:
        text = trained(scene, notes).workspace.show(notes).to_text()
        for part in ("v0001", "1, last completed 2026-04-23 18:42 UTC", "own 2/2", "tiny at 0000000", "seed 42"):
            assert part in text, part
        assert "orphaned" not in text

    def test_a_store_without_any_run(self, scene: Scene, notes: Path) -> None:
        from dlm.domain.manifest import Manifest

        with scene.store.writer(ID) as writer:
            writer.save_manifest(Manifest.new(ID, "tiny", None, str(notes), scene.clock.now()))
        record = as_json(scene, notes)
        assert set(record) >= STORE_KEYS
        assert (record["training_runs"], record["last_trained_at"], record["lock"]) == (0, None, None)
        text = scene.workspace.show(notes).to_text()
        assert "none yet" in text

    def test_failed_runs_are_counted_and_not_taken_for_trainings(self, scene: Scene, notes: Path) -> None:
        trained(scene, notes)
        scene.clock.advance(60)
        scene.trainer = FailingTrainer(TrainingError("train.diverged", "no", hint="x"))
        with pytest.raises(TrainingError):
            scene.train(a_document())
        record = as_json(scene, notes)
        assert (record["training_runs"], record["last_trained_at"]) == (2, "2026-04-23T18:42:11")
        assert "last failed" in scene.workspace.show(notes).to_text()

    def test_an_interrupted_run_is_shown_with_the_way_on(self, scene: Scene, notes: Path) -> None:
        with pytest.raises(Interrupted):
            scene.train(a_document(), stop=lambda: len(scene.of(StepDone)) > 1)
        report = scene.workspace.show(notes)
        assert report.to_json()["has_checkpoint"]
        assert f"dlm train {notes} --resume" in report.to_text()

    def test_exports_are_json(self, scene: Scene, notes: Path) -> None:
        trained(scene, notes)
        export = ExportRecord(exported_at=scene.clock.now(), target="ollama", quant="Q8_0", adapter_mix=(("a", 0.5),))
        with scene.store.writer(ID) as writer:
            writer.save_manifest(scene.manifest.with_export(export))
        (shown,) = as_json(scene, notes)["exports"]
        assert (shown["exported_at"], shown["adapter_mix"]) == ("2026-04-23T18:42:11", [["a", 0.5]])

    def test_a_licence_is_json(self, scene: Scene, notes: Path) -> None:
        notes.write_text(a_text(base="gated"), encoding="utf-8")
        from dlm.domain.document import Document

        scene.train(Document.load(notes), accept_license=True)
        accepted = as_json(scene, notes)["lock"]["license_acceptance"]
        assert accepted["license_url"] == "https://example.org/licence"


class TestOrphans:
    def test_the_document_is_gone(self, scene: Scene, notes: Path, tmp_path: Path) -> None:
        trained(scene, notes)
        moved = notes.rename(tmp_path / "moved.dlm")
        report = scene.workspace.show(moved)
        assert report.orphaned
        assert "orphaned" in report.to_text()

    @pytest.mark.parametrize("text", [a_text(dlm_id="01KPXZ0000000000000000000B"), "no document", "\0"])
    def test_something_else_stands_in_its_place(self, scene: Scene, notes: Path, tmp_path: Path, text: str) -> None:
        trained(scene, notes)
        copy = tmp_path / "copy.dlm"
        copy.write_text(notes.read_text(encoding="utf-8"), encoding="utf-8")
        notes.write_text(text, encoding="utf-8")
        assert as_json(scene, copy)["orphaned"] is True

    def test_a_document_made_in_memory_has_no_place_to_be_missing_from(self, scene: Scene, notes: Path) -> None:
        scene.train(a_document())
        assert as_json(scene, notes)["orphaned"] is False


class TestDamage:
    def test_a_damaged_lock_is_shown(self, scene: Scene, notes: Path) -> None:
        trained(scene, notes)
        (scene.store.location(ID) / "dlm.lock").write_text("{", encoding="utf-8")
        report = scene.workspace.show(notes)
        assert "dlm.lock" in report.to_json()["lock"]["problem"]
        assert "not valid JSON" in report.to_text()

    @pytest.mark.parametrize("pointer", ["adapter/versions/v0009\n", "../../elsewhere\n", "", "\0\n"])
    def test_a_damaged_pointer_is_shown(self, scene: Scene, notes: Path, pointer: str) -> None:
        trained(scene, notes)
        (scene.store.location(ID) / "adapter" / "current.txt").write_text(pointer, encoding="utf-8")
        report = scene.workspace.show(notes)
        assert as_json(scene, notes)["has_adapter_current"] is False
        line = next(line for line in report.to_text().splitlines() if line.startswith("adapter:"))
        assert line.removeprefix("adapter:").strip() not in ("", "none")

    def test_a_damaged_manifest_is_an_error_with_its_place(self, scene: Scene, notes: Path) -> None:
        trained(scene, notes)
        (scene.store.location(ID) / "manifest.json").write_text("{", encoding="utf-8")
        with pytest.raises(StoreError) as caught:
            scene.workspace.show(notes)
        assert caught.value.code == "store.manifest-corrupt"
        assert "manifest.json:1" in str(caught.value)

    def test_a_bad_document_is_an_error(self, scene: Scene, tmp_path: Path) -> None:
        with pytest.raises(DocumentError):
            scene.workspace.show(tmp_path / "missing.dlm")
        assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1_572_864, "1.5 MiB"),
        (5 * 2**40, "5.0 TiB"),
        (2**60, "1048576.0 TiB"),
    ],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert human_size(size) == text
