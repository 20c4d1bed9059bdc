"""Train a document: plan everything, then carry it out under the store's writer lock."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Literal

import attrs

from dlm.domain.base_models import ResolvedBase
from dlm.domain.document import Document
from dlm.domain.errors import DiskError, DlmError, Interrupted, ResumeError
from dlm.domain.events import Emit, ExamFinished, Note, RunFinished, RunStarted, StepDone, ignore
from dlm.domain.exam import Exam
from dlm.domain.hardware import Capabilities
from dlm.domain.inference_plan import resolve_inference_plan
from dlm.domain.lock import Lock, LockMode, Unreadable, lock_decision
from dlm.domain.manifest import Manifest
from dlm.domain.memory import DiskVerdict, judge_disk
from dlm.domain.model_shape import ModelShape
from dlm.domain.ordinary import ANCHORS
from dlm.domain.plan import TrainingPlan
from dlm.domain.planning import PlanRequest, resolve_training_plan
from dlm.domain.recipe import Material, choose_recipe, held_out_fraction, recipe_json
from dlm.domain.report import RunReport
from dlm.domain.rows import Split, split_rows
from dlm.domain.training import Recipe, TrainingJob, TrainingOutcome
from dlm.ports.clock import Clock
from dlm.ports.generator import GeneratorPort
from dlm.ports.hardware import HardwareProbe
from dlm.ports.registry import RegistryPort
from dlm.ports.store import AdapterRef, StorePort, StoreWriter
from dlm.ports.trainer import TrainerPort

from dlm.app.base_access import BaseAccess, open_base
from dlm.app.exam import examine
from dlm.app.run_log import RunLog, run_name
from dlm.app.tracing import determinism, hardware_tier

TrainMode = Literal["fresh", "resume"]


@attrs.frozen(kw_only=True)
class TrainOptions:
    """What a person may ask of one run.

    Args:
        max_steps: cap on the adapter's optimiser steps, resumed ones included.
        lock_mode: what to do when ``dlm.lock`` disagrees.
        break_lock: take over a writer lock that a killed process left behind.
        force_plan: pass over refusals of practicality (not of impossibility).
        wait_s: seconds to wait for another process that works on this document.
    """

    mode: TrainMode = "fresh"
    seed: int | None = None
    max_steps: int | None = None
    accept_license: bool = False
    lock_mode: LockMode = "default"
    skip_export_probes: bool = False
    break_lock: bool = False
    force_plan: bool = False
    wait_s: float = 0.0


@attrs.frozen(kw_only=True)
class TrainPorts:
    """The world, as training needs it."""

    store: StorePort
    registry: RegistryPort
    hardware: HardwareProbe
    trainer: TrainerPort
    generator: GeneratorPort
    clock: Clock


@attrs.frozen(kw_only=True)
class PlannedRun:
    """Every decision of a run, made before anything is written."""

    access: BaseAccess
    base: ResolvedBase
    capabilities: Capabilities
    split: Split
    recipe: Recipe
    plan: TrainingPlan
    adapter_params: int


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
        DlmError: any refusal, before anything is written; or a failure, after which the previous version still stands
            and the run is on record as ``failed``.
        Interrupted: ``stop`` turned true; a checkpoint was kept for ``mode="resume"``.
    """
    if not any(row.kind in ("prose", "instruction") for row in document.rows()):
        return _nothing(document, "the document has no prose and no question with an answer yet")
    manifest = ports.store.manifest(document.dlm_id)
    _require_something_to_resume(document, options, ports.store)
    planned = plan_run(document, manifest, options, ports=ports, emit=emit)
    with ports.store.writer(document.dlm_id, wait_s=options.wait_s, break_stale=options.break_lock) as writer:
        return _Run(document, options, planned, ports, writer, emit).go(stop)


def plan_run(
    document: Document, manifest: Manifest | None, options: TrainOptions, *, ports: TrainPorts, emit: Emit = ignore
) -> PlannedRun:
    """Decide everything; the base is fetched when it is not on this machine yet, nothing else is written."""
    access = open_base(
        document,
        manifest,
        registry=ports.registry,
        now=ports.clock.now(),
        accept_license=options.accept_license,
        skip_export_probes=options.skip_export_probes,
    )
    if access.spec.capability_warning:
        emit(Note(subject="train", message=access.spec.capability_warning, severity="warning"))
    rows = [row for row in document.rows() if row.kind in ("prose", "instruction")]
    n_prose = sum(row.kind == "prose" for row in rows)
    material = Material(n_prose=n_prose, n_instruction=len(rows) - n_prose)
    recipe = choose_recipe(document.frontmatter, material, access.spec, seed=options.seed)
    base = ports.registry.fetch(access.spec, emit=emit)
    shape = ModelShape.from_config(base.config, access.spec.params)
    capabilities = ports.hardware.probe()
    plan = resolve_training_plan(
        capabilities, shape, _plan_request(document, recipe), spec=access.spec, force=options.force_plan
    )
    adapter_params = shape.lora_params(recipe.lora_r.value, recipe.adapter.value, recipe.target_modules.value)
    _require_disk(judge_disk(ports.store.free_bytes(), adapter_params), ports.store)
    split = split_rows(rows, recipe.seed, held_out_fraction(material).value)
    return PlannedRun(
        access=access,
        base=base,
        capabilities=capabilities,
        split=split,
        recipe=recipe,
        plan=plan,
        adapter_params=adapter_params,
    )


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
        self.manifest = self._opened_manifest()
        self.manifest, self.run_id = self.manifest.reserve_run(started_at=self.started, seed=planned.recipe.seed)
        self.name = run_name(self.run_id, self.started)
        self.curve: list[StepDone] = []
        self.log = RunLog(writer, self.name, ports.clock, then=emit)

    def go(self, stop: Callable[[], bool]) -> RunReport:
        """Carry the plan out."""
        lock = self._lock_or_refuse()
        self.writer.save_manifest(self.manifest)
        try:
            self._announce()
            with self.writer.stage_version() as staged:
                outcome = self._fit(staged.folder, stop)
                if outcome.stopped == "interrupted":
                    staged.keep_as_checkpoint()
                    raise self._interrupted(outcome)
                if outcome.tokens == 0:
                    return self._already_done(outcome)
                version = staged.commit()
        except BaseException as exc:
            self._record_failure(exc)
            raise
        return self._conclude(outcome, version, lock)

    def _opened_manifest(self) -> Manifest:
        """Give the stored manifest brought up to date, or a new one; runs of processes that died become ``failed``."""
        spec, document = self.planned.access.spec, self.document
        stored = self.ports.store.manifest(document.dlm_id)
        source = str(document.path.resolve()) if document.path else None
        if stored is None:
            stored = Manifest.new(document.dlm_id, document.base_model, spec.revision, source, self.started)
        stored, _ = stored.close_abandoned(ended_at=self.started)
        return attrs.evolve(
            stored,
            base_model=document.base_model,
            base_model_revision=spec.revision,
            base_model_sha256=self.planned.base.sha256,
            source_path=source or stored.source_path,
            license_acceptance=self.planned.access.acceptance,
            skip_export_probes=stored.skip_export_probes or self.options.skip_export_probes,
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

    def _fit(self, into: object, stop: Callable[[], bool]) -> TrainingOutcome:
        from pathlib import Path

        planned, store, dlm_id = self.planned, self.ports.store, self.document.dlm_id
        resume_from = None
        if self.options.mode == "resume":
            current = store.current(dlm_id)
            resume_from = store.checkpoint(dlm_id) or (current.folder if current else None)
        job = TrainingJob(
            base=planned.base,
            system_prompt=self.document.frontmatter.system_prompt,
            train_rows=planned.split.train,
            validation_rows=planned.split.validation,
            recipe=planned.recipe,
            plan=planned.plan,
            max_steps=self.options.max_steps,
            resume_from=resume_from,
            anchors=ANCHORS if planned.recipe.anchor_weight.value else (),
        )
        return self.ports.trainer.train(
            job, into=Path(str(into)), checkpoints=self.writer.checkpoints(), emit=self._observe, stop=stop
        )

    def _observe(self, event: object) -> None:
        if isinstance(event, StepDone):
            self.curve.append(event)
        self.log.emit(event)  # type: ignore[arg-type]

    def _conclude(self, outcome: TrainingOutcome, version: AdapterRef, lock: Lock | None) -> RunReport:
        """Record the committed version first, then examine it: a failing exam must not lose a good adapter."""
        ended = self.ports.clock.now()
        sections = [section.section_id for section in self.document.sections]
        self.manifest = attrs.evolve(
            self.manifest.with_adapter(
                version.version, adapter_sha256=version.sha256, adapter_config_sha256=version.config_sha256
            ),
            content_hashes={section_id: section_id for section_id in sections},
            pinned_versions=self.log.versions,
        )
        self.writer.save_manifest(self.manifest)
        exam = self._examine(version, outcome)
        report = self._report(outcome, version, exam, ended)
        summary_path = self.writer.save_summary(self.name, self.log.summary(report, outcome))
        self.manifest = self.manifest.finish_run(
            self.run_id,
            "completed",
            ended_at=ended,
            adapter_version=version.version,
            steps=outcome.steps,
            final_train_loss=report.final_train_loss,
            final_val_loss=report.final_val_loss,
            pinned_versions=self.log.versions,
            summary_path=summary_path,
            exam=exam.to_json() if exam else None,
        )
        self.writer.save_manifest(self.manifest)
        if lock is not None:
            self.writer.save_lock(lock)
        self.writer.drop_checkpoint()
        self._finished("completed", outcome, version.version, summary_path)
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
            exam, loss_before=outcome.first_train_loss, loss_after=outcome.train_losses.get("all")
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
            peak_memory_mb=outcome.peak_memory_mb,
            determinism_class=strength,
            exam=exam,
            plan=self.planned.plan,
            recipe=self.planned.recipe,
            curve=tuple(self.curve),
        )

    def _already_done(self, outcome: TrainingOutcome) -> RunReport:
        """A resumed run that was complete already leaves everything as it is."""
        self.manifest = self.manifest.finish_run(
            self.run_id, "cancelled", ended_at=self.ports.clock.now(), steps=outcome.steps
        )
        self.writer.save_manifest(self.manifest)
        self._finished("cancelled", outcome, None, None)
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
        """Write ``failed`` or ``cancelled``, whatever happened; the error itself goes on to the caller."""
        status: Literal["failed", "cancelled"] = (
            "cancelled" if isinstance(exc, Interrupted | KeyboardInterrupt) else "failed"
        )
        steps = self.curve[-1].step if self.curve else 0
        loss = self.curve[-1].loss if self.curve else None
        self.manifest = self.manifest.finish_run(
            self.run_id, status, ended_at=self.ports.clock.now(), steps=steps, final_train_loss=loss
        )
        self.writer.save_manifest(self.manifest)
        self.log.emit(
            RunFinished(
                run_id=self.run_id,
                status=status,
                adapter_version=None,
                steps=steps,
                elapsed_s=(self.ports.clock.now() - self.started).total_seconds(),
                early_stopped=False,
                summary_path=None,
                message=str(exc) or type(exc).__name__,
            )
        )

    def _finished(
        self,
        status: Literal["completed", "cancelled"],
        outcome: TrainingOutcome,
        version: int | None,
        summary_path: str | None,
    ) -> None:
        self.log.emit(
            RunFinished(
                run_id=self.run_id,
                status=status,
                adapter_version=version,
                steps=outcome.steps,
                elapsed_s=(self.ports.clock.now() - self.started).total_seconds(),
                early_stopped=outcome.stopped == "early-stopped",
                summary_path=summary_path,
            )
        )


def _plan_request(document: Document, recipe: Recipe) -> PlanRequest:
    training = document.frontmatter.training
    return PlanRequest(
        adapter=recipe.adapter.value,
        lora_r=recipe.lora_r.value,
        target_modules=recipe.target_modules.value,
        sequence_len=recipe.sequence_len.value,
        micro_batch_size=training.micro_batch_size,
        grad_accum=training.grad_accum,
        precision=training.precision,
        optimizer=recipe.optimizer.value,
    )


def _require_disk(verdict: DiskVerdict, store: StorePort) -> None:
    if not verdict.fits:
        raise DiskError(
            "disk.too-little",
            f"{store.home}: this training {verdict}",
            hint="Free some space, or put the store on another disk with --home.",
        )


def _require_something_to_resume(document: Document, options: TrainOptions, store: StorePort) -> None:
    if options.mode != "resume":
        return
    if store.checkpoint(document.dlm_id) is None and store.current(document.dlm_id) is None:
        raise ResumeError(
            "resume.nothing",
            "there is nothing to continue: this document has no checkpoint and no adapter",
            hint="Leave --resume out for the first training.",
        )


def _nothing(document: Document, message: str) -> RunReport:
    return RunReport(dlm_id=document.dlm_id, status="nothing-to-do", message=message)
