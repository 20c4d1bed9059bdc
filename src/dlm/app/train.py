"""Train a document: plan everything, then carry it out under the store's writer lock."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

import attrs

from dlm.app.cache import run_tokens
from dlm.app.callers import CallerError, shielded, unwrapped
from dlm.app.exam import examine
from dlm.app.planned_run import (
    PlannedRun,
    TrainMode,
    TrainOptions,
    TrainPorts,
    plan_run,
    require_something_to_resume,
)
from dlm.app.run_log import RunLog, run_name
from dlm.app.tracing import determinism, hardware_tier
from dlm.domain.document import Document
from dlm.domain.errors import DlmError, Interrupted, TrainingError
from dlm.domain.events import DeltaFound, Emit, Event, ExamFinished, Note, RunFinished, RunStarted, StepDone, ignore
from dlm.domain.exam import Exam
from dlm.domain.inference_plan import resolve_inference_plan
from dlm.domain.lock import Lock, Unreadable, lock_decision
from dlm.domain.manifest import Manifest
from dlm.domain.ordinary import choose_anchors
from dlm.domain.recipe import recipe_json
from dlm.domain.report import RunReport
from dlm.domain.training import TrainingJob, TrainingOutcome
from dlm.ports.store import AdapterRef, StagedVersion, StoreWriter

__all__ = ["PlannedRun", "TrainMode", "TrainOptions", "TrainPorts", "plan_run", "train"]


def train(
    document: Document,
    options: TrainOptions,
    *,
    ports: TrainPorts,
    emit: Emit = ignore,
    stop: Callable[[], bool] = lambda: False,
) -> RunReport:
    """Train a document's adapter and commit it as the next version.

    Raises:
        UsageError: an option outside its range.
        DlmError: any refusal, before anything is written; or a failure, after which the previous version still stands
            and the run is on record as ``failed``.
        Interrupted: ``stop`` turned true; a checkpoint was kept for ``mode="resume"``.
        Exception: what ``emit`` or ``stop`` raised, unchanged. It counts as a failure, except after the version was
            committed: then the run is complete.
    """
    options.check()
    if not any(row.kind in ("prose", "instruction") for row in document.rows()):
        return _nothing(document, "the document has no prose and no question with an answer yet")
    manifest = ports.store.manifest(document.dlm_id)
    require_something_to_resume(document, options, ports.store)
    with unwrapped():
        emit, stop = shielded(emit), shielded(stop)
        planned = plan_run(document, manifest, options, ports=ports, emit=emit)
        with ports.store.writer(document.dlm_id, wait_s=options.wait_s, break_stale=options.break_lock) as writer:
            return _Run(document, options, planned, ports, writer, emit).go(stop)


class _Run:
    """One run under the writer lock: reserve an id, train, commit, examine, record."""

    def __init__(
        self,
        document: Document,
        options: TrainOptions,
        planned: PlannedRun,
        ports: TrainPorts,
        writer: StoreWriter,
        emit: Emit,
    ) -> None:
        self.document = document
        self.options = options
        self.planned = planned
        self.ports = ports
        self.writer = writer
        self.started = ports.clock.now()
        self.manifest, self.run_id = self._opened_manifest().reserve_run(
            started_at=self.started, seed=planned.recipe.seed
        )
        self.name = run_name(self.run_id, self.started)
        self.curve: list[StepDone] = []
        self.log = RunLog(writer, self.name, ports.clock, then=emit)
        self.checkpoint = ports.store.checkpoint(document.dlm_id) if options.mode == "resume" else None

    def go(self, stop: Callable[[], bool]) -> RunReport:
        """Carry the plan out."""
        lock = self._lock_or_refuse()
        self.writer.save_manifest(self.manifest)
        try:
            self._announce()
            with self.writer.stage_version() as staged:
                outcome = self._fit_into(staged, stop)
                if outcome.stopped == "interrupted":
                    staged.keep_as_checkpoint()
                    raise self._interrupted(outcome)
                version = staged.commit() if self._is_new(outcome) else None
        except BaseException as exc:
            self._record_failure(exc)
            raise
        return self._already_done(outcome) if version is None else self._conclude(outcome, version, lock)

    def _opened_manifest(self) -> Manifest:
        """Give the stored manifest brought up to date, or a new one; runs of processes that died become ``failed``."""
        document = self.document
        stored = self.ports.store.manifest(document.dlm_id)
        source = str(document.path.resolve()) if document.path else None
        if stored is None:
            stored = Manifest.new(document.dlm_id, document.base_model, None, source, self.started)
        stored, _ = stored.close_abandoned(ended_at=self.started)
        stored = attrs.evolve(
            stored,
            source_path=source or stored.source_path,
            skip_export_probes=stored.skip_export_probes or self.options.skip_export_probes,
        )
        # Until there is an adapter for the new base, the manifest goes on naming the base of the one there is.
        is_moving = stored.adapter_version > 0 and stored.base_model != document.base_model
        return stored if is_moving else self._on_this_base(stored)

    def _on_this_base(self, manifest: Manifest) -> Manifest:
        return attrs.evolve(
            manifest,
            base_model=self.document.base_model,
            base_model_revision=self.planned.access.spec.revision,
            base_model_sha256=self.planned.base.sha256,
            license_acceptance=self.planned.access.acceptance,
        )

    def _lock_or_refuse(self) -> Lock | None:
        """Compare this run's circumstances with ``dlm.lock``; give the lock to write after success."""
        planned = self.planned
        strength, _, flags = determinism(planned.capabilities)
        new = Lock(
            created_at=self.started,
            dlm_id=self.document.dlm_id,
            dlm_sha256=hashlib.sha256(self.document.text.encode()).hexdigest(),
            base_model_revision=planned.access.spec.revision,
            base_model_sha256=planned.base.sha256,
            pinned_versions=self.log.versions,
            cuda_version=planned.capabilities.cuda_version,
            rocm_version=planned.capabilities.rocm_version,
            hardware_tier=hardware_tier(planned.capabilities),
            seed=planned.recipe.seed,
            determinism_flags=flags,
            determinism_class=strength,
            license_acceptance=planned.access.acceptance,
            last_run_id=self.run_id,
            world_size=planned.plan.world_size,
        )
        decision = lock_decision(self._stored_lock(), new, self.options.lock_mode)
        for warning in decision.warnings:
            self.log.emit(Note(subject="lock", message=warning, severity="warning"))
        if not decision.proceed:
            raise decision.refusal()
        return new if decision.write else None

    def _stored_lock(self) -> Lock | Unreadable | None:
        try:
            return self.ports.store.lock(self.document.dlm_id)
        except DlmError as exc:
            if exc.code != "lock.unreadable":
                raise
            return Unreadable(reason=str(exc))

    def _announce(self) -> None:
        strength, notes, _ = determinism(self.planned.capabilities)
        self.log.emit(
            RunStarted(
                run_id=self.run_id,
                seed=self.planned.recipe.seed,
                determinism_class=strength,
                determinism_notes=notes,
                versions=self.log.versions,
                plan=self.planned.plan.to_json(),
                recipe=recipe_json(self.planned.recipe),
            )
        )
        self.log.emit(self._delta())

    def _delta(self) -> DeltaFound:
        """Compare the document's sections with those of the last successful run; older stores know older ids."""
        known, sections = self.manifest.content_hashes, self.document.sections
        is_known = {
            section.section_id: bool({section.section_id, section.legacy_id} & set(known)) for section in sections
        }
        here = {name for section in sections for name in (section.section_id, section.legacy_id)}
        return DeltaFound(
            new=tuple(name for name, old in is_known.items() if not old),
            unchanged=tuple(name for name, old in is_known.items() if old),
            removed=tuple(sorted(set(known) - here)),
        )

    def _fit_into(self, staged: StagedVersion, stop: Callable[[], bool]) -> TrainingOutcome:
        """Train; weights that are not numbers are kept for a look, where nobody will load them."""
        try:
            return self._fit(staged, stop)
        except TrainingError as exc:
            if exc.code == "train.non-finite-weights":
                message = f"the broken adapter is kept for inspection: {staged.reject()}"
                self.log.emit(Note(subject="train", message=message, severity="warning"))
            raise

    def _fit(self, staged: StagedVersion, stop: Callable[[], bool]) -> TrainingOutcome:
        planned, resume_from = self.planned, self.checkpoint
        if self.options.mode == "resume" and resume_from is None:
            current = self.ports.store.current(self.document.dlm_id)
            resume_from = current.folder if current else None
        job = TrainingJob(
            base=planned.base,
            system_prompt=self.document.frontmatter.system_prompt,
            train_rows=planned.split.train,
            validation_rows=planned.split.validation,
            recipe=planned.recipe,
            plan=planned.plan,
            max_steps=self.options.max_steps,
            resume_from=resume_from,
            anchors=choose_anchors(planned.recipe.anchor_bank.value) if planned.recipe.anchor_weight.value else (),
        )
        with run_tokens(self.document, self.ports.token_cache, self.options.use_cache, self.log.emit) as tokens:
            return self.ports.trainer.train(
                job,
                into=staged.folder,
                checkpoints=self.writer.checkpoints(),
                emit=self._observe,
                stop=stop,
                tokens=tokens,
            )

    def _observe(self, event: Event) -> None:
        if isinstance(event, StepDone):
            self.curve.append(event)
        self.log.emit(event)

    def _is_new(self, outcome: TrainingOutcome) -> bool:
        """Tell whether there is something to commit: steps were taken, or the checkpoint held the very last one."""
        return outcome.tokens > 0 or (self.checkpoint is not None and outcome.stopped == "completed")

    def _conclude(self, outcome: TrainingOutcome, version: AdapterRef, lock: Lock | None) -> RunReport:
        """Record the committed version first, then examine it: whatever happens in the exam, the adapter is there."""
        ended = self.ports.clock.now()
        self.manifest = attrs.evolve(
            self._on_this_base(self.manifest).with_adapter(
                version.version, adapter_sha256=version.sha256, adapter_config_sha256=version.config_sha256
            ),
            content_hashes={section.section_id: section.section_id for section in self.document.sections},
            pinned_versions=self.log.versions,
        )
        self.writer.save_manifest(self.manifest)
        exam: Exam | None = None
        try:
            exam = self._examine(version, outcome)
        finally:
            report = self._complete(self._report(outcome, version, exam, ended), outcome, lock, ended)
        return report

    def _complete(self, report: RunReport, outcome: TrainingOutcome, lock: Lock | None, ended: datetime) -> RunReport:
        """Write summary, manifest and lock, in this order, and let go of the checkpoint."""
        summary_path = self.writer.save_summary(self.name, self.log.summary(report, outcome))
        self._finish(
            "completed",
            ended,
            adapter_version=report.adapter_version,
            steps=outcome.steps,
            final_train_loss=report.final_train_loss,
            final_val_loss=report.final_val_loss,
            pinned_versions=self.log.versions,
            summary_path=summary_path,
            exam=report.exam.to_json() if report.exam else None,
        )
        if lock is not None:
            self.writer.save_lock(lock)
        self.writer.drop_checkpoint()
        self._tell_end("completed", outcome.steps, report.adapter_version, summary_path, stopped=outcome.stopped)
        return attrs.evolve(report, summary_path=summary_path)

    def _examine(self, version: AdapterRef, outcome: TrainingOutcome) -> Exam | None:
        planned = self.planned
        plan = resolve_inference_plan(
            planned.capabilities,
            backend="pytorch",
            trained_with_qlora=planned.plan.use_qlora.value,
            modality=planned.access.spec.modality,
        )
        try:
            exam = examine(
                self.document.rows(),
                self.document.frontmatter.system_prompt,
                planned.base,
                version.folder,
                plan,
                generator=self.ports.generator,
                emit=self.log.emit,
            )
        except DlmError as exc:
            message = f"the adapter is saved, but the exam failed: {exc}"
            self.log.emit(Note(subject="exam", message=message, severity="warning"))
            return None
        exam = attrs.evolve(
            exam,
            loss_before=outcome.first_train_loss,
            loss_after=outcome.train_losses.get("all"),
            sections=outcome.section_losses,
        )
        self.log.emit(ExamFinished(exam=exam.to_json()))
        return exam

    def _report(self, outcome: TrainingOutcome, version: AdapterRef, exam: Exam | None, ended: datetime) -> RunReport:
        strength, _, _ = determinism(self.planned.capabilities)
        return RunReport(
            dlm_id=self.document.dlm_id,
            status="completed",
            run_id=self.run_id,
            adapter_version=version.version,
            adapter_path=str(version.folder),
            log_path=str(self.ports.store.location(self.document.dlm_id) / "logs" / f"{self.name}.jsonl"),
            steps=outcome.steps,
            stopped=outcome.stopped,
            final_train_loss=outcome.train_losses.get("all", outcome.final_train_loss),
            final_val_loss=outcome.val_losses.get("all"),
            seconds=(ended - self.started).total_seconds(),
            anchor_seconds=outcome.anchor_seconds,
            peak_memory_mb=outcome.peak_memory_mb,
            determinism_class=strength,
            exam=exam,
            plan=self.planned.plan,
            recipe=self.planned.recipe,
            curve=tuple(self.curve),
        )

    def _already_done(self, outcome: TrainingOutcome) -> RunReport:
        """A resumed run that was complete already leaves everything as it is."""
        self._finish("cancelled", self.ports.clock.now(), steps=outcome.steps)
        self._tell_end("cancelled", outcome.steps, None, None)
        return _nothing(
            self.document,
            f"this training is already complete at step {outcome.steps}; edit the document, raise --max-steps or "
            "leave --resume out",
        )

    def _interrupted(self, outcome: TrainingOutcome) -> Interrupted:
        path = self.document.path or "<document>"
        return Interrupted(
            "train.interrupted",
            f"stopped after step {outcome.steps}; the work so far is kept",
            hint=f"Continue with: dlm train {path} --resume",
        )

    def _record_failure(self, exc: BaseException) -> None:
        """Write ``failed`` or ``cancelled``; the error itself goes on to the caller, with a note if even this fails."""
        is_cancelled = isinstance(exc, Interrupted | KeyboardInterrupt)
        status: Literal["failed", "cancelled"] = "cancelled" if is_cancelled else "failed"
        steps = self.curve[-1].step if self.curve else 0
        loss = self.curve[-1].loss if self.curve else None
        try:
            self._finish(status, self.ports.clock.now(), steps=steps, final_train_loss=loss)
            self._tell_end(status, steps, None, None, message=str(exc) or type(exc).__name__)
        except (DlmError, CallerError) as second:
            shown = exc.error if isinstance(exc, CallerError) else exc
            shown.add_note(f"After that, {status} could not be told: {second}")

    def _finish(self, status: Literal["completed", "failed", "cancelled"], ended: datetime, **results: Any) -> None:
        revision = self.planned.access.spec.revision
        self.manifest = self.manifest.finish_run(
            self.run_id, status, ended_at=ended, base_model_revision=revision, **results
        )
        self.writer.save_manifest(self.manifest)

    def _tell_end(
        self,
        status: Literal["completed", "failed", "cancelled"],
        steps: int,
        version: int | None,
        summary_path: str | None,
        *,
        stopped: str | None = None,
        message: str | None = None,
    ) -> None:
        self.log.emit(
            RunFinished(
                run_id=self.run_id,
                status=status,
                adapter_version=version,
                steps=steps,
                elapsed_s=(self.ports.clock.now() - self.started).total_seconds(),
                early_stopped=stopped == "early-stopped",
                summary_path=summary_path,
                message=message,
            )
        )


def _nothing(document: Document, message: str) -> RunReport:
    return RunReport(dlm_id=document.dlm_id, status="nothing-to-do", message=message)
