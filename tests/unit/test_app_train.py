"""Training as a use case: what is checked first, what is written when, what every outcome leaves behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import attrs
import pytest

from dlm.domain.errors import (
    BaseModelError,
    ConfigError,
    DiskError,
    DlmError,
    HardwareError,
    InferenceError,
    Interrupted,
    LicenseError,
    LockDriftError,
    ResumeError,
    StoreError,
    TrainingError,
    UsageError,
)
from dlm.domain.events import DeltaFound, ExamFinished, Note, RunFinished, RunStarted, StepDone
from dlm.domain.lessons import statement_rows
from dlm.testing.generators import FakeGenerator
from dlm.testing.hardware import SERVER, FakeHardware
from dlm.testing.trainers import FakeTrainer
from run_cases import ANSWERS, BODY, ID, FailingTrainer, RecordingTrainer, Scene, ScriptedGenerator, a_document


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(folder=tmp_path)


class TestChecksComeFirst:
    """A refused run leaves no trace: no store, no lock, no run id."""

    def refuses(self, scene: Scene, error: type[DlmError], code: str, document: Any = None, **options: Any) -> DlmError:
        with pytest.raises(error) as caught:
            scene.train(document or a_document(), **options)
        assert caught.value.code == code
        assert caught.value.hint
        assert scene.manifest is None
        assert not scene.store.location(ID).exists()
        return caught.value

    def test_unknown_base(self, scene: Scene) -> None:
        self.refuses(scene, BaseModelError, "base.unknown", a_document(base="no-such-base"))

    def test_base_out_of_reach(self, scene: Scene) -> None:
        scene.registry = type(scene.registry)(scene.folder / "offline", offline=("tiny",))
        self.refuses(scene, BaseModelError, "base.offline")

    def test_licence_not_accepted(self, scene: Scene) -> None:
        error = self.refuses(scene, LicenseError, "license.not-accepted", a_document(base="gated"))
        assert "https://example.org/licence" in error.message

    def test_media_base(self, scene: Scene) -> None:
        self.refuses(scene, ConfigError, "config.media-base", a_document(base="qwen2-vl-2b-instruct"))

    def test_impossible_plan(self, scene: Scene) -> None:
        document = a_document(training="adapter: qlora")
        self.refuses(scene, HardwareError, "hardware.qlora-needs-cuda", document)

    def test_galore(self, scene: Scene) -> None:
        document = a_document(training="optimizer: galore_adamw")
        self.refuses(scene, ConfigError, "config.galore-adapter", document)

    def test_too_little_disk(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(scene.store, "free_bytes", lambda: 1000)
        error = self.refuses(scene, DiskError, "disk.preflight")
        assert "GB" in error.message

    def test_resume_with_nothing(self, scene: Scene) -> None:
        self.refuses(scene, ResumeError, "resume.nothing", mode="resume")

    @pytest.mark.parametrize(
        "option", [{"max_steps": 0}, {"max_steps": -3}, {"seed": -1}, {"mode": "again"}, {"lock_mode": "off"}]
    )
    def test_options_out_of_range(self, scene: Scene, option: dict[str, Any]) -> None:
        error = self.refuses(scene, UsageError, "train.bad-option", **option)
        assert str(next(iter(option.values()))) in error.message

    def test_lock_drift_leaves_the_store_as_it_is(self, scene: Scene) -> None:
        scene.train(a_document())
        before = scene.manifest, scene.store.lock(ID), scene.weights()
        scene.hardware = FakeHardware(SERVER)
        lock = scene.store.lock(ID)
        with scene.store.writer(ID) as writer:
            writer.save_lock(attrs.evolve(lock, base_model_revision="f" * 40))
        with pytest.raises(LockDriftError) as caught:
            scene.train(a_document())
        assert caught.value.code == "lock.drift"
        assert "base_model_revision" in caught.value.message
        assert (scene.manifest, scene.weights()) == (before[0], before[2])
        with scene.store.writer(ID):
            """The refused run let go of the writer lock."""


def test_an_empty_document_has_nothing_to_do(scene: Scene) -> None:
    for body in ("", "\n\n", "::preference::\n### Prompt\np\n### Chosen\nc\n### Rejected\nr\n"):
        report = scene.train(a_document(body))
        assert report.status == "nothing-to-do"
        assert report.message
        assert (report.run_id, report.adapter_version, report.exam) == (None, None, None)
    assert scene.manifest is None
    assert scene.events == []
    assert not scene.registry.fetched


class TestSuccess:
    def test_the_report_says_what_was_done(self, scene: Scene) -> None:
        report = scene.train(a_document())
        assert (report.status, report.run_id, report.adapter_version, report.stopped) == (
            "completed",
            1,
            1,
            "completed",
        )
        assert report.steps == len(report.curve) > 0
        assert Path(report.adapter_path).name == "v0001"
        assert report.exam is not None
        assert report.exam.own.right == report.exam.own.asked == 2
        json.dumps(report.to_json())

    def test_the_order_of_events(self, scene: Scene) -> None:
        scene.train(a_document())
        kinds = [type(event) for event in scene.events if isinstance(event, (RunStarted, DeltaFound, StepDone))]
        assert kinds[:3] == [RunStarted, DeltaFound, StepDone]
        assert [type(event) for event in scene.events][-2:] == [ExamFinished, RunFinished]
        assert scene.of(RunFinished)[0].status == "completed"

    def test_the_manifest_knows_the_run(self, scene: Scene, tmp_path: Path) -> None:
        document = a_document(path=tmp_path / "notes.dlm")
        scene.train(document)
        manifest, run = scene.manifest, scene.last_run
        assert (manifest.adapter_version, manifest.base_model, manifest.source_path) == (
            1,
            "tiny",
            str(tmp_path / "notes.dlm"),
        )
        assert manifest.base_model_sha256 is not None
        assert manifest.adapter_sha256 is not None
        assert (run.status, run.adapter_version, run.steps > 0) == ("completed", 1, True)
        assert run.base_model_revision == "0" * 40
        assert run.summary_path.startswith("logs/train-000001-")
        assert run.exam is not None
        ids = {section.section_id for section in document.sections}
        assert dict(manifest.content_hashes) == {name: name for name in ids}

    def test_true_start_and_end(self, scene: Scene) -> None:
        class Slow(FakeTrainer):
            def train(self, *args: Any, **kwargs: Any) -> Any:
                scene.clock.advance(90)
                return super().train(*args, **kwargs)

        scene.trainer = Slow()
        report = scene.train(a_document())
        assert (scene.last_run.ended_at - scene.last_run.started_at).total_seconds() == 90
        assert report.seconds == 90

    def test_run_ids_and_versions_are_never_used_twice(self, scene: Scene) -> None:
        scene.train(a_document())
        scene.trainer = FailingTrainer(TrainingError("train.diverged", "no", hint="x"))
        for _ in range(2):
            with pytest.raises(TrainingError):
                scene.train(a_document())
        scene.trainer = FakeTrainer()
        report = scene.train(a_document())
        assert [run.run_id for run in scene.manifest.training_runs] == [1, 2, 3, 4]
        assert (report.run_id, report.adapter_version) == (4, 2)

    def test_the_delta_names_new_old_and_removed_sections(self, scene: Scene) -> None:
        first = a_document()
        scene.train(first)
        ids = [section.section_id for section in first.sections]
        assert scene.of(DeltaFound)[0] == DeltaFound(new=tuple(ids), unchanged=(), removed=())
        second = first.edit(remove=[ids[0]], append=a_document("A new paragraph.\n").sections)
        scene.train(second)
        delta = scene.of(DeltaFound)[0]
        assert delta.removed == (ids[0],)
        assert delta.unchanged == (ids[1],)
        assert len(delta.new) == 1

    def test_a_section_with_the_id_of_an_older_store_is_not_new(self, scene: Scene) -> None:
        document = a_document("Prose with blank lines below.\n\n\n::instruction::\n### Q\nq?\n### A\na\n")
        section = document.sections[0]
        assert section.legacy_id != section.section_id
        scene.train(document)
        with scene.store.writer(ID) as writer:
            older = {part.legacy_id: part.legacy_id for part in document.sections}
            writer.save_manifest(attrs.evolve(scene.manifest, content_hashes=older))
        scene.train(document)
        assert scene.of(DeltaFound)[0].new == ()
        assert scene.of(DeltaFound)[0].removed == ()

    def test_seed_and_max_steps_reach_the_trainer(self, scene: Scene) -> None:
        scene.trainer = RecordingTrainer()
        report = scene.train(a_document(), seed=7, max_steps=3)
        (job,) = scene.trainer.jobs
        assert (job.recipe.seed, job.max_steps, job.resume_from) == (7, 3, None)
        assert (report.steps, report.stopped) == (3, "max-steps")
        assert scene.store.lock(ID).seed == 7
        assert scene.last_run.seed == 7

    def test_the_job_holds_the_document(self, scene: Scene) -> None:
        scene.trainer = RecordingTrainer()
        document = a_document(training="seed: 5\nlearning_rate: 0.5")
        document = document.edit(set={"system_prompt": "You are brief."})
        scene.train(document)
        (job,) = scene.trainer.jobs
        assert job.system_prompt == "You are brief."
        assert job.train_rows == (*document.rows(), *statement_rows(document.rows()))
        assert any(row.statement for row in job.train_rows), "the prose is asked for, too"
        assert (job.recipe.seed, job.recipe.learning_rate.value) == (5, 0.5)
        assert job.anchors
        assert scene.generator.loads[-1]["system_prompt"] == "You are brief."

    def test_what_the_plan_says_about_a_step_is_what_the_recipe_does(self, scene: Scene) -> None:
        for training in ("", "micro_batch_size: 2", "grad_accum: 2", "micro_batch_size: 3\ngrad_accum: 5"):
            report = scene.train(a_document(training=training))
            rows = report.recipe.batch_rows.value
            assert report.plan.effective_batch_size in (rows, rows + report.recipe.anchor_rows.value), training

    def test_preference_rows_are_not_trained_as_answers(self, scene: Scene) -> None:
        scene.trainer = RecordingTrainer()
        body = f"{BODY}\n::preference::\n### Prompt\np\n### Chosen\nc\n### Rejected\nr\n"
        scene.train(a_document(body))
        assert {row.kind for row in scene.trainer.jobs[0].train_rows} == {"prose", "instruction"}

    def test_a_long_document_holds_rows_out(self, scene: Scene) -> None:
        scene.trainer = RecordingTrainer()
        pairs = "".join(f"### Q\nquestion {n}?\n### A\nanswer {n}\n\n" for n in range(200))
        scene.train(a_document(f"::instruction::\n{pairs}"))
        (job,) = scene.trainer.jobs
        assert len(job.train_rows) + len(job.validation_rows) == 200
        assert 5 <= len(job.validation_rows) <= 40


SUMMARY_KEYS = {
    "run_id",
    "adapter_version",
    "seed",
    "final_train_loss",
    "final_val_loss",
    "final_val_perplexity",
    "retention_loss",
    "retention_loss_delta",
    "train_loss_cpt",
    "train_loss_sft",
    "val_loss_cpt",
    "val_loss_sft",
    "retention_cpt",
    "retention_sft",
    "probes",
    "early_stopped",
    "steps",
    "duration_seconds",
    "determinism_class",
    "source_directives",
}
"""Keys of a run summary that other programs rely on; each is there in every summary, null when unknown."""

LOG_KEYS = {
    "banner": {"run_id", "seed", "determinism_class", "determinism_notes", "pinned_versions", "plan"},
    "delta": {"new", "unchanged", "removed"},
    "step": {"step", "loss", "lr", "grad_norm", "tokens_per_sec", "val_loss", "timestamp"},
    "exam": {"own", "reworded", "prose", "leaks", "probes", "kept", "drift", "missed"},
    "run_complete": {"run_id", "adapter_version", "steps", "elapsed_seconds", "early_stopped", "summary_path"},
}
"""Keys that each line of a run log has at least, by its ``type``."""

PLAN_KEYS = {
    "precision",
    "attn_implementation",
    "use_qlora",
    "quant_compute_dtype",
    "micro_batch_size",
    "grad_accum",
    "effective_batch_size",
    "gradient_checkpointing",
    "est_peak_vram_gb",
    "est_step_seconds",
    "reason",
    "world_size",
}


class TestRecords:
    def test_the_summary_has_every_key(self, scene: Scene) -> None:
        scene.train(a_document())
        summary = scene.store.read_summary(ID, Path(scene.last_run.summary_path).name.removesuffix(".summary.json"))
        assert set(summary) >= SUMMARY_KEYS
        assert (summary["run_id"], summary["adapter_version"], summary["seed"]) == (1, 1, 42)
        assert summary["steps"] == scene.last_run.steps
        assert summary["early_stopped"] is False
        assert summary["final_val_loss"] is summary["final_val_perplexity"] is None
        assert [set(probe) for probe in summary["probes"]] == [{"prompt", "response", "reference", "section_id"}] * 2
        marked = summary["probes"][0]
        assert marked["prompt"] == "When does the lighthouse close?"
        assert marked["response"] == marked["reference"] == ANSWERS[marked["prompt"]]

    def test_the_log_tells_the_run_from_banner_to_end(self, scene: Scene) -> None:
        scene.train(a_document())
        lines = scene.log()
        types = [line["type"] for line in lines]
        assert types[:2] == ["banner", "delta"]
        assert types[-2:] == ["exam", "run_complete"]
        assert set(types[2:-2]) == {"step"}
        for line in lines:
            assert set(line) >= LOG_KEYS[line["type"]], line["type"]
        assert set(lines[0]["plan"]) >= PLAN_KEYS
        assert all(len(pair) == 2 for pair in lines[0]["pinned_versions"])
        assert [line["step"] for line in lines[2:-2]] == list(range(1, scene.last_run.steps + 1))
        assert lines[2]["timestamp"] == "2026-04-23T18:42:11"
        json.dumps(lines)

    def test_a_failed_run_has_its_message_in_the_log(self, scene: Scene) -> None:
        scene.trainer = FailingTrainer(TrainingError("train.diverged", "the loss was not a number", hint="x"))
        with pytest.raises(TrainingError):
            scene.train(a_document())
        end = scene.log()[-1]
        assert (end["type"], end["status"], end["message"]) == ("run_complete", "failed", "the loss was not a number")
        assert end["adapter_version"] is None


class TestFailure:
    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (TrainingError("train.diverged", "diverged", hint="x"), "failed"),
            (HardwareError("hardware.out-of-memory", "memory ran out", hint="x"), "failed"),
            (RuntimeError("a bug"), "failed"),
            (KeyboardInterrupt(), "cancelled"),
        ],
    )
    def test_the_previous_version_stands_and_the_run_is_on_record(
        self, scene: Scene, error: BaseException, status: str
    ) -> None:
        scene.train(a_document())
        before, lock, known = scene.weights(), scene.store.lock(ID), scene.manifest.content_hashes
        scene.trainer = FailingTrainer(error)
        with pytest.raises(type(error)) as caught:
            scene.train(a_document("Something else entirely.\n"))
        assert caught.value is error
        run = scene.last_run
        assert (run.run_id, run.status, run.adapter_version, run.steps) == (2, status, 0, 2)
        assert run.ended_at is not None
        assert (scene.weights(), scene.store.lock(ID), scene.manifest.content_hashes) == (before, lock, known)
        assert scene.manifest.adapter_version == 1
        end = scene.of(RunFinished)[-1]
        assert (end.status, end.message) == (status, str(error) or type(error).__name__)
        assert sorted(path.name for path in (scene.store.location(ID) / "adapter" / "versions").iterdir()) == ["v0001"]

    def test_weights_that_are_no_numbers_are_set_aside(self, scene: Scene) -> None:
        scene.train(a_document())
        before = scene.weights()
        scene.trainer = FailingTrainer(TrainingError("train.non-finite-weights", "3 tensors hold NaN", hint="x"))
        with pytest.raises(TrainingError):
            scene.train(a_document())
        assert scene.weights() == before
        assert (scene.last_run.status, scene.manifest.adapter_version) == ("failed", 1)
        folder = scene.store.location(ID) / "adapter" / "versions"
        assert sorted(path.name for path in folder.iterdir()) == ["v0001", "v0002-rejected"]
        assert any("v0002-rejected" in note.message for note in scene.of(Note))
        scene.trainer = FakeTrainer()
        assert scene.train(a_document()).adapter_version == 3

    def test_a_loss_that_is_no_number_is_recorded_as_unknown(self, tmp_path: Path) -> None:
        from dlm.adapters.filesystem import FileStore

        scene = Scene(folder=tmp_path)
        scene.store = FileStore(tmp_path / "home", scene.clock)

        class Nan(FakeTrainer):
            def train(self, job: Any, *, into: Path, emit: Any, **rest: Any) -> Any:
                emit(StepDone(step=1, total_steps=9, loss=float("nan"), lr=1, grad_norm=float("inf"), tokens_per_s=1))
                raise TrainingError("train.diverged", "no", hint="x")

        scene.trainer = Nan()
        with pytest.raises(TrainingError):
            scene.train(a_document())
        assert scene.last_run.final_train_loss is None
        assert [line["loss"] for line in scene.log() if line["type"] == "step"] == [None]

    def test_a_disk_that_fails_while_recording_does_not_hide_the_first_error(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        error = TrainingError("train.diverged", "no", hint="x")
        scene.trainer = FailingTrainer(error)

        def full(*_: Any) -> None:
            raise DiskError("disk.full", "the disk is full", hint="x")

        with scene.store.writer(ID) as writer:
            saved: list[Any] = []
            kind = type(writer)
            real = kind.save_manifest

        def once(self: Any, manifest: Any) -> None:
            saved.append(manifest)
            real(self, manifest) if len(saved) == 1 else full()

        monkeypatch.setattr(kind, "save_manifest", once)
        with pytest.raises(TrainingError) as caught:
            scene.train(a_document())
        assert caught.value is error
        assert any("the disk is full" in note for note in caught.value.__notes__)

    def test_the_next_run_closes_one_whose_process_died(self, scene: Scene) -> None:
        scene.train(a_document())
        manifest, dead = scene.manifest.reserve_run(started_at=scene.clock.now(), seed=1)
        with scene.store.writer(ID) as writer:
            writer.save_manifest(manifest)
        scene.train(a_document())
        assert scene.manifest.run(dead).status == "failed"
        assert [run.run_id for run in scene.manifest.training_runs] == [1, 2, 3]


class TestStopping:
    def stop_after(self, scene: Scene, steps: int) -> Any:
        return lambda: len(scene.of(StepDone)) >= steps

    def test_a_stop_keeps_a_checkpoint_and_says_how_to_go_on(self, scene: Scene, tmp_path: Path) -> None:
        document = a_document(path=tmp_path / "notes.dlm")
        with pytest.raises(Interrupted) as caught:
            scene.train(document, stop=self.stop_after(scene, 2))
        assert caught.value.exit_code == 130
        assert caught.value.hint == f"Continue with: dlm train {tmp_path / 'notes.dlm'} --resume"
        assert (scene.last_run.status, scene.last_run.steps, scene.last_run.adapter_version) == ("cancelled", 2, 0)
        assert scene.store.checkpoint(ID) is not None
        assert scene.store.current(ID) is None
        assert scene.store.lock(ID) is None
        assert scene.of(RunFinished)[-1].status == "cancelled"

    def test_resuming_continues_the_checkpoint_and_lets_go_of_it(self, scene: Scene) -> None:
        whole = scene.train(a_document()).steps
        expected = scene.weights()
        with pytest.raises(Interrupted):
            scene.train(a_document(), stop=self.stop_after(scene, 2))
        assert scene.weights() == expected
        checkpoint = scene.store.checkpoint(ID)
        scene.trainer = RecordingTrainer()
        report = scene.train(a_document(), mode="resume")
        assert scene.trainer.jobs[0].resume_from == checkpoint
        assert (report.steps, report.adapter_version, len(report.curve)) == (whole, 2, whole - 2)
        assert scene.weights() == expected
        assert scene.store.checkpoint(ID) is None

    def test_resuming_without_a_checkpoint_continues_the_current_version(self, scene: Scene) -> None:
        scene.train(a_document(), max_steps=2)
        scene.trainer = RecordingTrainer()
        report = scene.train(a_document(), mode="resume", max_steps=5)
        assert scene.trainer.jobs[0].resume_from.name == "v0001"
        assert (report.steps, len(report.curve)) == (5, 3)

    def test_resuming_a_complete_training_changes_nothing(self, scene: Scene) -> None:
        scene.train(a_document(), max_steps=2)
        before = scene.weights(), scene.store.lock(ID), scene.manifest.adapter_version
        report = scene.train(a_document(), mode="resume", max_steps=2)
        assert report.status == "nothing-to-do"
        assert "--max-steps" in report.message
        assert (scene.weights(), scene.store.lock(ID), scene.manifest.adapter_version) == before
        assert scene.last_run.status == "cancelled"

    def test_a_checkpoint_of_the_very_last_step_becomes_a_version(self, scene: Scene) -> None:
        """A process that dies between the last step and the commit has finished training all the same."""
        whole = scene.train(a_document()).steps
        asked: list[int] = []

        class LastStep(FakeTrainer):
            def train(self, job: Any, *, into: Path, emit: Any, **rest: Any) -> Any:
                super().train(job, into=into, emit=emit, **rest)
                rest["checkpoints"].save(lambda folder: shutil.copytree(into, folder, dirs_exist_ok=True))
                asked.append(1)
                raise KeyboardInterrupt

        scene.trainer = LastStep()
        with pytest.raises(KeyboardInterrupt):
            scene.train(a_document())
        scene.trainer = FakeTrainer()
        report = scene.train(a_document(), mode="resume")
        assert (report.status, report.adapter_version, report.steps) == ("completed", 2, whole)
        assert scene.store.checkpoint(ID) is None

    def test_stopping_before_the_first_step_keeps_what_was_there(self, scene: Scene) -> None:
        with pytest.raises(Interrupted):
            scene.train(a_document(), stop=lambda: True)
        assert scene.last_run.steps == 0
        assert scene.train(a_document(), mode="resume").status == "completed"


class TestLock:
    def test_written_only_after_success(self, scene: Scene) -> None:
        scene.trainer = FailingTrainer(TrainingError("train.diverged", "no", hint="x"))
        with pytest.raises(TrainingError):
            scene.train(a_document())
        assert scene.store.lock(ID) is None
        scene.trainer = FakeTrainer()
        scene.train(a_document())
        lock = scene.store.lock(ID)
        assert (lock.last_run_id, lock.hardware_tier, lock.base_model_revision) == (2, "cpu", "0" * 40)
        assert lock.base_model_sha256 == scene.manifest.base_model_sha256

    def test_a_warning_is_told_and_the_run_goes_on(self, scene: Scene) -> None:
        scene.train(a_document())
        scene.train(a_document(), seed=9)
        notes = [note for note in scene.of(Note) if note.subject == "lock"]
        assert [note.severity for note in notes] == ["warning"]
        assert "seed changed: 42 → 9" in notes[0].message
        assert scene.store.lock(ID).seed == 9

    def test_strict_refuses_what_default_warns_of(self, scene: Scene) -> None:
        scene.train(a_document())
        with pytest.raises(LockDriftError):
            scene.train(a_document(), seed=9, lock_mode="strict")
        assert len(scene.manifest.training_runs) == 1

    def test_ignore_neither_compares_nor_writes(self, scene: Scene) -> None:
        scene.train(a_document(), lock_mode="ignore")
        assert scene.store.lock(ID) is None

    def test_update_writes_without_comparing(self, scene: Scene) -> None:
        scene.train(a_document())
        scene.train(a_document(), seed=9, lock_mode="update")
        assert scene.store.lock(ID).seed == 9
        assert not [note for note in scene.of(Note) if note.subject == "lock"]

    @pytest.mark.parametrize(
        ("mode", "passes"), [("default", False), ("strict", False), ("update", True), ("ignore", True)]
    )
    def test_an_unreadable_lock(self, scene: Scene, monkeypatch: pytest.MonkeyPatch, mode: Any, passes: bool) -> None:
        def damaged(_: str) -> None:
            raise StoreError("lock.unreadable", "not valid JSON", hint="Delete it.")

        monkeypatch.setattr(scene.store, "lock", damaged)
        if mode in ("update", "ignore"):
            assert scene.train(a_document(), lock_mode=mode).status == "completed"
        else:
            with pytest.raises(LockDriftError, match="cannot be read"):
                scene.train(a_document(), lock_mode=mode)

    def test_other_trouble_with_the_lock_is_raised(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(_: str) -> None:
            raise StoreError("store.io", "the disk", hint="x")

        monkeypatch.setattr(scene.store, "lock", broken)
        with pytest.raises(StoreError, match="the disk"):
            scene.train(a_document(), lock_mode="ignore")


class TestExam:
    @pytest.mark.parametrize(
        "error",
        [InferenceError("infer.failed", "no", hint="x"), HardwareError("hardware.out-of-memory", "memory", hint="x")],
    )
    def test_a_failing_exam_keeps_the_adapter(self, scene: Scene, error: DlmError) -> None:
        scene.generator = ScriptedGenerator(error)
        report = scene.train(a_document())
        assert (report.status, report.adapter_version, report.exam) == ("completed", 1, None)
        assert (scene.last_run.status, scene.last_run.exam) == ("completed", None)
        (note,) = [note for note in scene.of(Note) if note.subject == "exam"]
        assert note.severity == "warning"
        assert str(error) in note.message
        assert scene.store.lock(ID) is not None

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a bug")])
    def test_even_an_exam_that_is_killed_leaves_a_complete_run(self, scene: Scene, error: BaseException) -> None:
        scene.generator = ScriptedGenerator(error)
        with pytest.raises(type(error)):
            scene.train(a_document())
        assert (scene.last_run.status, scene.last_run.adapter_version) == ("completed", 1)
        assert scene.manifest.adapter_version == 1
        assert scene.store.lock(ID) is not None
        assert scene.of(RunFinished)[-1].status == "completed"

    def test_it_asks_the_new_version_and_the_base(self, scene: Scene) -> None:
        report = scene.train(a_document())
        assert scene.generator.loads[0]["adapter"] == Path(report.adapter_path)
        assert report.exam.loss_before == 1.0
        assert report.exam.loss_after == report.final_train_loss

    def test_what_is_not_known_is_listed_with_its_line(self, scene: Scene) -> None:
        scene.generator = FakeGenerator({})
        exam = scene.train(a_document()).exam
        assert exam.own.right == 0
        lines = BODY.splitlines()
        first_line = 6  # the header of the document in these tests
        for missed in exam.to_json()["missed"]:
            is_prose = missed["kind"] == "prose"
            assert lines[missed["line"] - first_line].startswith("# " if is_prose else "### Q")


class TestObservers:
    class BoomError(Exception):
        """Nothing dlm knows."""

    @pytest.mark.parametrize("kind", [RunStarted, StepDone, RunFinished])
    @pytest.mark.parametrize("error", [BoomError("mine"), ValueError("mine"), KeyError("mine"), OSError("mine")])
    def test_what_an_observer_raises_reaches_the_caller_as_it_is(
        self, scene: Scene, kind: type, error: Exception
    ) -> None:
        def observe(event: Any) -> None:
            if isinstance(event, kind):
                raise error

        with pytest.raises(type(error)) as caught:
            scene.train(a_document(), on_event=observe)
        assert caught.value is error
        status = "completed" if kind is RunFinished else "failed"
        assert scene.last_run.status == status
        assert (scene.store.current(ID) is not None) == (status == "completed")
        with scene.store.writer(ID):
            """The lock is free again."""

    def test_in_the_exam_the_version_is_already_safe(self, scene: Scene) -> None:
        error = self.BoomError("mine")

        def observe(event: Any) -> None:
            if isinstance(event, ExamFinished):
                raise error

        with pytest.raises(self.BoomError):
            scene.train(a_document(), on_event=observe)
        assert (scene.last_run.status, scene.last_run.adapter_version) == ("completed", 1)

    def test_an_observer_that_always_fails_hides_nothing(self, scene: Scene) -> None:
        scene.trainer = FailingTrainer(TrainingError("train.diverged", "no", hint="x"), after_steps=0)

        def observe(event: Any) -> None:
            if isinstance(event, RunFinished):
                raise self.BoomError("mine")

        with pytest.raises(TrainingError) as caught:
            scene.train(a_document(), on_event=observe)
        assert any("mine" in note for note in caught.value.__notes__)
        assert scene.last_run.status == "failed"

    def test_a_stop_question_that_fails_ends_the_run(self, scene: Scene) -> None:
        def stop() -> bool:
            raise self.BoomError("mine")

        with pytest.raises(self.BoomError):
            scene.train(a_document(), stop=stop)
        assert scene.last_run.status == "failed"


class TestLicence:
    def test_accepted_once_is_remembered(self, scene: Scene) -> None:
        document = a_document(base="gated")
        scene.train(document, accept_license=True)
        assert scene.manifest.license_acceptance.license_url == "https://example.org/licence"
        assert scene.store.lock(ID).license_acceptance is not None
        assert scene.train(document).adapter_version == 2

    def test_accepted_at_init_counts(self, scene: Scene) -> None:
        from dlm.domain.license import LicenseAcceptance
        from dlm.domain.manifest import Manifest

        now = scene.clock.now()
        acceptance = LicenseAcceptance(
            accepted_at=now, license_url="https://example.org/licence", license_spdx="Other", via="interactive"
        )
        with scene.store.writer(ID) as writer:
            writer.save_manifest(Manifest.new(ID, "gated", None, None, now, acceptance))
        assert scene.train(a_document(base="gated")).status == "completed"
        assert scene.manifest.license_acceptance == acceptance

    def test_another_base_asks_again(self, scene: Scene) -> None:
        scene.train(a_document(base="gated"), accept_license=True)
        scene.train(a_document(base="other"), lock_mode="update")
        assert scene.manifest.license_acceptance is None
        with pytest.raises(LicenseError):
            scene.train(a_document(base="gated"), lock_mode="update")


class TestAnotherBase:
    def test_a_failed_training_on_a_new_base_leaves_the_old_adapter_with_its_own(self, scene: Scene) -> None:
        scene.train(a_document())
        scene.trainer = FailingTrainer(TrainingError("train.diverged", "no", hint="x"))
        with pytest.raises(TrainingError):
            scene.train(a_document(base="other"), lock_mode="update")
        assert (scene.manifest.base_model, scene.manifest.base_model_revision) == ("tiny", "0" * 40)
        assert scene.last_run.base_model_revision == "1" * 40
        assert "".join(scene.workspace.prompt(a_document(), "When does the lighthouse close?")) == "It closes at 6:40."
        with pytest.raises(InferenceError) as caught:
            scene.workspace.prompt(a_document(base="other"), "q?")
        assert caught.value.code == "infer.base-changed"

    def test_a_successful_one_moves_over(self, scene: Scene) -> None:
        scene.train(a_document())
        scene.train(a_document(base="other"), lock_mode="update")
        assert (scene.manifest.base_model, scene.manifest.base_model_revision) == ("other", "1" * 40)
        assert scene.last_run.base_model_revision == "1" * 40


def test_skipping_the_export_probes_is_remembered(scene: Scene) -> None:
    asked: list[bool] = []
    real = scene.registry.describe

    def describe(selector: str, *, pinned_revision: Any = None, skip_export_probes: bool = False) -> Any:
        asked.append(skip_export_probes)
        return real(selector)

    scene.registry.describe = describe
    scene.train(a_document(), skip_export_probes=True)
    scene.train(a_document())
    assert asked == [True, True]
    assert scene.manifest.skip_export_probes


def test_the_pinned_revision_is_asked_for_while_the_base_stays(scene: Scene) -> None:
    asked: list[Any] = []
    real = scene.registry.describe

    def describe(selector: str, *, pinned_revision: Any = None, skip_export_probes: bool = False) -> Any:
        asked.append((selector, pinned_revision))
        return real(selector)

    scene.registry.describe = describe
    scene.train(a_document())
    scene.train(a_document())
    scene.train(a_document(base="other"), lock_mode="update")
    assert asked == [("tiny", None), ("tiny", "0" * 40), ("other", None)]


def test_a_store_in_use_is_refused_at_once(scene: Scene) -> None:
    scene.train(a_document())
    runs = scene.manifest.training_runs
    with scene.store.writer(ID), pytest.raises(StoreError) as caught:
        scene.train(a_document())
    assert caught.value.code == "store.locked"
    assert scene.manifest.training_runs == runs
