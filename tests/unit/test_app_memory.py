"""Editing and training again: nothing is computed for nothing, and what left the document is remembered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from dlm.domain.document import Document
from dlm.domain.errors import DiskError, Interrupted, LockDriftError, SourceError
from dlm.domain.events import DeltaFound, ExamFinished, Note, RetentionMeasured, RunFinished, StepDone
from dlm.domain.recall import HELD_BACK_FROM
from dlm.domain.sections import section_id
from dlm.domain.sources import DirectiveCounts, SourceFile, SourceScan, source_content
from dlm.domain.training import TrainingOutcome
from dlm.testing.generators import FakeGenerator
from dlm.testing.trainers import FakeTrainer
from run_cases import ANSWERS, BODY, ID, RecordingTrainer, Scene, a_document

TOWER = "::instruction::\n### Q\nHow many steps has the tower?\n\n### A\nThere are 214 steps.\n"
INN = "::instruction::\n### Q\nWhich tree stands before the inn?\n\n### A\nA hollow lime tree.\n"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(folder=tmp_path, trainer=RecordingTrainer())


class TestNothingChanged:
    def train(self, scene: Scene, document: Document | None = None, **options: Any) -> Any:
        return scene.train(document or a_document(), mode="auto", **options)

    def test_the_second_training_does_nothing_and_says_so(self, scene: Scene) -> None:
        self.train(scene)
        before = scene.manifest, scene.weights(), scene.store.lock(ID)
        fetched = list(scene.registry.fetched)
        report = self.train(scene)
        assert report.status == "nothing-to-do"
        assert report.message == "nothing has changed since run 1 made v0001"
        assert (scene.manifest, scene.weights(), scene.store.lock(ID)) == before
        assert (scene.events, scene.registry.fetched) == ([], fetched)

    @pytest.mark.parametrize(
        "change",
        [
            {"seed": 7},
            {"max_steps": 3},
            {"lock_mode": "update"},
            {"lock_mode": "ignore"},
            {"lock_mode": "strict"},
            {"mode": "fresh"},
        ],
    )
    def test_a_new_flag_trains(self, scene: Scene, change: dict[str, Any]) -> None:
        self.train(scene)
        assert scene.train(a_document(), **{"mode": "auto", **change}).adapter_version == 2

    def test_the_same_flags_again_do_nothing(self, scene: Scene) -> None:
        self.train(scene, seed=7, max_steps=3)
        assert self.train(scene, seed=7, max_steps=3).status == "nothing-to-do"
        assert self.train(scene).adapter_version == 2, "without the cap it goes further"

    @pytest.mark.parametrize(
        "document",
        [
            a_document(BODY + INN),
            a_document("The harbour.\n"),
            a_document(training="learning_rate: 0.001"),
        ],
    )
    def test_an_edit_trains(self, scene: Scene, document: Document) -> None:
        self.train(scene)
        assert self.train(scene, document).adapter_version == 2

    def test_another_base_is_not_nothing(self, scene: Scene) -> None:
        self.train(scene)
        with pytest.raises(LockDriftError):
            self.train(scene, a_document(base="other"))

    def test_an_adapter_that_is_gone_is_made_again(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        self.train(scene)
        monkeypatch.setattr(scene.store, "current", lambda *_: None)
        assert self.train(scene).status == "completed"

    def test_a_failed_run_in_between_changes_nothing(self, scene: Scene) -> None:
        self.train(scene)
        with pytest.raises(RuntimeError):
            scene.train(a_document(BODY + INN), mode="auto", on_event=_raise)
        assert self.train(scene).status == "nothing-to-do"

    def test_stores_from_before_this_was_recorded_are_trained_once(self, scene: Scene) -> None:
        self.train(scene)
        manifest = scene.manifest
        runs = tuple(attrs.evolve(run, learned_sha256=None) for run in manifest.training_runs)
        with scene.store.writer(ID) as writer:
            writer.save_manifest(attrs.evolve(manifest, training_runs=runs))
        assert self.train(scene).status == "completed"
        assert self.train(scene).status == "nothing-to-do"


def _raise(_: Any) -> None:
    raise RuntimeError("the observer broke")


class TestWhatWasRemoved:
    def test_it_is_read_again_beside_the_document(self, scene: Scene) -> None:
        scene.train(a_document(BODY + TOWER))
        assert not any(row.is_replay for row in scene.trainer.jobs[-1].train_rows)
        scene.train(a_document(BODY + INN))
        recalled = [row for row in scene.trainer.jobs[-1].train_rows if row.is_replay]
        assert [(row.question, row.answer) for row in recalled] == [
            ("How many steps has the tower?", "There are 214 steps.")
        ]
        assert [row.question for row in scene.trainer.jobs[-1].retention_rows] == ["How many steps has the tower?"]
        assert scene.trainer.jobs[-1].recipe.replay_every.value >= 1

    def test_it_is_remembered_through_many_edits(self, scene: Scene) -> None:
        scene.train(a_document(BODY + TOWER))
        for number in range(10):
            scene.train(a_document(BODY + INN.replace("inn", f"inn number {number}")))
        questions = {row.question for row in scene.trainer.jobs[-1].train_rows if row.is_replay and row.turns}
        assert "How many steps has the tower?" in questions
        assert len(questions) == 10

    def test_a_correction_wins_over_memory(self, scene: Scene) -> None:
        scene.train(a_document(BODY + TOWER))
        scene.train(a_document(BODY + TOWER.replace("214", "198")))
        rows = scene.trainer.jobs[-1].train_rows
        assert [row.answer for row in rows if "tower" in (row.turns[0].content if row.turns else "")] == [
            "There are 198 steps."
        ]

    def test_the_exam_tells_what_is_older_and_what_is_gone(self, scene: Scene) -> None:
        scene.generator = FakeGenerator({**ANSWERS, "How many steps has the tower?": "There are 214 steps."})
        first = scene.train(a_document(BODY + TOWER)).exam
        assert (first.older.asked, first.removed.asked) == (0, 0)
        exam = scene.train(a_document(BODY + INN)).exam
        assert (exam.removed.right, exam.removed.asked) == (1, 1)
        assert exam.older.asked >= 2
        record = scene.of(ExamFinished)[0].exam
        assert record["removed"] == {"right": 1, "asked": 1}
        assert "of sections removed since" in str(exam)
        assert "of sections removed since" not in str(first)

    def test_the_exam_alone_asks_for_it_too(self, scene: Scene) -> None:
        scene.generator = FakeGenerator({**ANSWERS, "How many steps has the tower?": "There are 214 steps."})
        scene.train(a_document(BODY + TOWER))
        scene.train(a_document(BODY + INN))
        exam = scene.workspace.exam(a_document(BODY + INN))
        assert (exam.removed.right, exam.removed.asked) == (1, 1)

    def test_from_twenty_on_a_slice_is_only_measured(self, scene: Scene) -> None:
        many = "\n".join(INN.replace("inn", f"inn number {number}") for number in range(HELD_BACK_FROM))
        scene.train(a_document(BODY + many))
        scene.train(a_document(BODY))
        job = scene.trainer.jobs[-1]
        measured = {row.section_id for row in job.retention_rows}
        assert len(measured) == 1
        assert not measured & {row.section_id for row in job.train_rows}

    def test_a_resumed_run_reads_what_it_read_before(self, scene: Scene) -> None:
        many = "\n".join(INN.replace("inn", f"inn number {number}") for number in range(60))
        scene.train(a_document(BODY + many))
        with pytest.raises(Interrupted):
            scene.train(a_document(BODY), stop=lambda: len(scene.of(StepDone)) >= 1)
        scene.clock.advance(30 * 86_400)
        scene.train(a_document(BODY), mode="resume")
        first, second = scene.trainer.jobs[-2:]
        assert first.train_rows == second.train_rows
        assert 2 < sum(row.is_replay for row in first.train_rows) < 60

    def test_what_the_trainer_measured_reaches_report_log_and_summary(self, scene: Scene) -> None:
        class Measuring(FakeTrainer):
            def train(self, *args: Any, **kwargs: Any) -> TrainingOutcome:
                outcome = super().train(*args, **kwargs)
                return attrs.evolve(outcome, retention={"all": (2.0, 0.5), "instruction": (2.0, 0.5)})

        scene.train(a_document(BODY + TOWER))
        scene.trainer = Measuring()
        report = scene.train(a_document(BODY + INN))
        assert report.retention == (2.0, 0.5)
        (event,) = scene.of(RetentionMeasured)
        assert (event.loss, event.loss_before, event.sections) == (0.5, 2.0, 1)
        assert [line["loss"] for line in scene.log() if line["type"] == "retention"] == [0.5]
        summary = scene.store.read_summary(ID, Path(report.summary_path).name.removesuffix(".summary.json"))
        assert (summary["retention_loss"], summary["retention_loss_delta"], summary["retention_sft"]) == (
            0.5,
            -1.5,
            0.5,
        )
        assert summary["retention_cpt"] is None

    def test_a_memory_that_cannot_be_written_is_told_and_made_good(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: Any, **__: Any) -> None:
            raise DiskError("disk.full", "no room", hint="Make room.")

        with monkeypatch.context() as patched:
            patched.setattr(scene.replay, "record", full)
            report = scene.train(a_document(BODY + TOWER))
        assert report.status == "completed"
        assert any("could not be remembered" in note.message for note in scene.of(Note))
        scene.train(a_document(BODY + TOWER))
        scene.train(a_document(BODY))
        assert any(row.is_replay for row in scene.trainer.jobs[-1].train_rows)


def a_source(path: str, text: str, **parts: Any) -> SourceFile:
    name = section_id("prose", source_content(path, text))
    return SourceFile(
        kind="prose", path=path, location=Path(path), size=len(text), section_id=name, sha256="0" * 64,
        read=lambda: text, **parts,
    )  # fmt: skip


class TestSources:
    TRAINING = "sources:\n  - path: notes"

    def scan(self, scene: Scene, *files: SourceFile, **parts: Any) -> None:
        scene.sources.result = SourceScan(files=files, **parts)

    def document(self) -> Document:
        return a_document(training=self.TRAINING)

    def test_files_are_learned_compared_and_remembered(self, scene: Scene) -> None:
        ferry, bell = a_source("a.md", "The ferry to Nessa is green."), a_source("b.md", "The bell rings at noon.")
        self.scan(scene, ferry, bell)
        scene.train(self.document())
        rows = {row.source for row in scene.trainer.jobs[-1].train_rows}
        assert rows == {None, "a.md", "b.md"}
        assert {ferry.section_id, bell.section_id} <= set(scene.manifest.content_hashes)
        self.scan(scene, ferry)
        scene.train(self.document())
        assert scene.of(DeltaFound)[0].removed == (bell.section_id,)
        recalled = [row for row in scene.trainer.jobs[-1].train_rows if row.is_replay]
        assert {row.source for row in recalled} == {"b.md"}

    def test_a_document_without_sources_is_not_scanned(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(scene.sources, "scan", _raise)
        assert scene.train(a_document()).status == "completed"

    def test_only_files_are_enough(self, scene: Scene) -> None:
        self.scan(scene, a_source("a.md", "The ferry to Nessa is green."))
        assert scene.train(a_document("", training=self.TRAINING)).status == "completed"

    def test_what_was_found_is_in_the_summary_and_warnings_are_told(self, scene: Scene) -> None:
        counts = DirectiveCounts(path="notes", file_count=1, total_bytes=28, skipped_binary=2)
        self.scan(
            scene,
            a_source("a.md", "The ferry to Nessa is green.", tags={"lang": "en"}, weight=2.0),
            directives=(counts,),
            warnings=("b.md is not text",),
            weight_distribution={"lang": {"en": 1}},
        )
        report = scene.train(self.document())
        summary = scene.store.read_summary(ID, Path(report.summary_path).name.removesuffix(".summary.json"))
        assert summary["source_directives"][0]["skipped_binary"] == 2
        assert [note.message for note in scene.of(Note) if note.subject == "sources"] == ["b.md is not text"]
        assert scene.last_run.weight_distribution == {"lang": {"en": 1}}
        assert sum(row.source == "a.md" and row.kind == "prose" for row in scene.trainer.jobs[-1].train_rows) == 2

    def test_a_file_that_changed_meanwhile_is_left_to_the_next_run(self, scene: Scene) -> None:
        reads: list[int] = []

        def gone() -> str:
            reads.append(len(reads))
            if len(reads) == 2:
                raise SourceError("sources.changed", "it changed", hint="Train again.")
            return "x = 1"

        bad = attrs.evolve(a_source("a.py", "x = 1"), read=gone)
        self.scan(scene, bad, a_source("b.py", "y = 2"))
        assert scene.train(self.document()).status == "completed"
        assert any("a.py is not remembered yet" in note.message for note in scene.of(Note))
        assert scene.of(RunFinished)[0].status == "completed"


class TestForgetting:
    def test_what_left_the_document_is_read_no_more(self, scene: Scene) -> None:
        scene.train(a_document(BODY + TOWER))
        scene.train(a_document(BODY + INN))
        assert scene.workspace.forget(a_document(BODY + INN)) == 1
        assert scene.workspace.forget(a_document(BODY + INN)) == 0
        scene.train(a_document(BODY + INN))
        assert not any(row.is_replay for row in scene.trainer.jobs[-1].train_rows)

    def test_a_document_that_was_never_trained_has_nothing_to_forget(self, scene: Scene) -> None:
        assert scene.workspace.forget(a_document()) == 0
        assert not scene.store.location(ID).exists()
