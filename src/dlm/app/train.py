"""Train a document: plan everything, then carry it out under the store's writer lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

import attrs

from dlm.app.cache import run_tokens
from dlm.app.callers import shielded, unwrapped
from dlm.app.corpus_of import read_corpus
from dlm.app.exam import examine
from dlm.app.observers import observing
from dlm.app.planned_run import (
    PlannedRun,
    TrainMode,
    TrainOptions,
    TrainPorts,
    plan_run,
    require_something_to_resume,
)
from dlm.app.reach import refuse_phase
from dlm.app.recalling import remember
from dlm.app.run_log import run_summary
from dlm.app.run_record import RunRecord
from dlm.app.tracing import determinism
from dlm.app.unchanged import learned_sha256, why_unchanged
from dlm.domain.corpus import Corpus
from dlm.domain.document import Document
from dlm.domain.errors import DlmError, Interrupted, TrainingError
from dlm.domain.events import (
    DeltaFound,
    Emit,
    EvalDone,
    Event,
    ExamFinished,
    Note,
    RetentionMeasured,
    RunStarted,
    StepDone,
    ignore,
)
from dlm.domain.exam import Exam
from dlm.domain.inference_plan import resolve_inference_plan
from dlm.domain.manifest import Manifest
from dlm.domain.ordinary import choose_anchors
from dlm.domain.recipe import recipe_json
from dlm.domain.report import RunReport
from dlm.domain.training import TrainingJob, TrainingOutcome
from dlm.ports.metrics import ObservedRun
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
    with unwrapped():
        emit, stop = shielded(emit), shielded(stop)
        if options.trust_sources:
            _trust_sources(document, options, ports)
        corpus = read_corpus(document, sources=ports.sources, store=ports.store, emit=emit)
        manifest = ports.store.manifest(document.dlm_id)
        refuse_phase(document, options.phase, manifest.adapter_version if manifest else 0)
        if corpus.is_empty:
            return _nothing(document, "the document has no prose and no question with an answer yet")
        require_something_to_resume(document, options, ports.store)
        unchanged = why_unchanged(corpus, manifest, options, ports)
        if unchanged:
            return _nothing(document, unchanged)
        planned = plan_run(corpus, manifest, options, ports=ports, emit=emit)
        with ports.store.writer(document.dlm_id, wait_s=options.wait_s, break_stale=options.break_lock) as writer:
            return _Run(corpus, options, planned, ports, writer, emit).go(stop)


def _trust_sources(document: Document, options: TrainOptions, ports: TrainPorts) -> None:
    """Remember that somebody here looked at what a document from a pack wants to read."""
    if ports.store.manifest(document.dlm_id) is None:
        return
    with ports.store.writer(document.dlm_id, wait_s=options.wait_s, break_stale=options.break_lock) as writer:
        manifest = ports.store.manifest(document.dlm_id)
        if manifest is not None and not manifest.trusts_sources:
            writer.save_manifest(attrs.evolve(manifest, trusts_sources=True))


class _Run:
    """One run under the writer lock: reserve an id, train, commit, remember, examine, record."""

    def __init__(
        self,
        corpus: Corpus,
        options: TrainOptions,
        planned: PlannedRun,
        ports: TrainPorts,
        writer: StoreWriter,
        emit: Emit,
    ) -> None:
        self.corpus = corpus
        self.document = corpus.document
        self.options = options
        self.planned = planned
        self.ports = ports
        self.writer = writer
        self.record = RunRecord(corpus.document, options, planned, ports, writer)
        self.curve: list[StepDone] = []
        self.evals: list[EvalDone] = []
        self._tell: Emit = emit
        self._keep: Emit = ignore
        self.emit = self.record.log.before(self._pass_on)
        self.checkpoint = ports.store.checkpoint(self.document.dlm_id) if options.mode == "resume" else None

    def go(self, stop: Callable[[], bool]) -> RunReport:
        """Carry the plan out."""
        self.record.open(self.emit)
        # Twice: what goes wrong in the run is told to the sinks; what goes wrong with a sink is on record all the same.
        with self._on_record(), observing(self._observed(), self.ports.sinks, self._warn) as keep, self._on_record():
            self._keep = keep
            self._announce()
            with self.writer.stage_version() as staged:
                outcome = self._fit_into(staged, stop)
                if outcome.stopped == "interrupted":
                    staged.keep_as_checkpoint()
                    raise self._interrupted(outcome)
                version = staged.commit() if self._is_new(outcome) else None
            return self._already_done(outcome) if version is None else self._conclude(outcome, version)

    @contextmanager
    def _on_record(self) -> Iterator[None]:
        """Put a failure on record, unless the run has ended already."""
        try:
            yield
        except BaseException as exc:
            if not self.record.is_over:
                last = self.curve[-1] if self.curve else None
                self.record.fail(exc, self.emit, steps=last.step if last else 0, loss=last.loss if last else None)
            raise

    def _observed(self) -> ObservedRun:
        return ObservedRun(
            dlm_id=self.document.dlm_id,
            store=self.ports.store.location(self.document.dlm_id),
            run_id=self.record.run_id,
            started_at=self.record.started,
            phase=self.planned.phase,
            seed=self.planned.recipe.seed,
            strict=self.options.strict_metrics,
        )

    def _warn(self, message: str) -> None:
        self._tell(Note(subject="metrics", message=message, severity="warning"))

    def _pass_on(self, event: Event) -> None:
        self._keep(event)
        self._tell(event)

    def _announce(self) -> None:
        strength, notes, _ = determinism(self.planned.capabilities)
        self.emit(
            RunStarted(
                run_id=self.record.run_id,
                seed=self.planned.recipe.seed,
                determinism_class=strength,
                determinism_notes=notes,
                versions=self.record.log.versions,
                plan=self.planned.plan.to_json(),
                recipe=recipe_json(self.planned.recipe),
                phase=self.planned.phase,
            )
        )
        delta = self.planned.delta
        self.emit(DeltaFound(new=delta.new, unchanged=delta.unchanged, removed=delta.removed))

    def _fit_into(self, staged: StagedVersion, stop: Callable[[], bool]) -> TrainingOutcome:
        """Train; weights that are not numbers are kept for a look, where nobody will load them."""
        try:
            return self._fit(staged, stop)
        except TrainingError as exc:
            if exc.code == "train.non-finite-weights":
                message = f"the broken adapter is kept for inspection: {staged.reject()}"
                self.emit(Note(subject="train", message=message, severity="warning"))
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
            retention_rows=planned.recalled.measured,
        )
        with run_tokens(self.document, self.ports.token_cache, self.options.use_cache, self.emit) as tokens:
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
        elif isinstance(event, EvalDone):
            self.evals.append(event)
        self.emit(event)

    def _is_new(self, outcome: TrainingOutcome) -> bool:
        """Tell whether there is something to commit: steps were taken, or the checkpoint held the very last one."""
        return outcome.tokens > 0 or (self.checkpoint is not None and outcome.stopped == "completed")

    def _conclude(self, outcome: TrainingOutcome, version: AdapterRef) -> RunReport:
        """Record the committed version first, then examine it: whatever happens in the exam, the adapter is there."""
        ended = self.ports.clock.now()
        self.record.commit(self._with_version(version))
        exam: Exam | None = None
        try:
            self._remember()
            self._tell_retention(outcome)
            exam = self._examine(version, outcome)
        finally:
            report = self._complete(self._report(outcome, version, exam, ended), outcome, ended)
        return report

    def _remember(self) -> None:
        remember(
            self.corpus,
            self.ports.replay,
            removed=self.planned.delta.removed,
            run_id=self.record.run_id,
            now=self.record.started,
            emit=self.emit,
        )

    def _with_version(self, version: AdapterRef) -> Manifest:
        """Give the manifest that knows the new version and what it learned."""
        return attrs.evolve(
            self.record.manifest.with_adapter(
                version.version, adapter_sha256=version.sha256, adapter_config_sha256=version.config_sha256
            ),
            content_hashes={name: name for name in self.corpus.section_ids},
            pinned_versions=self.record.log.versions,
        )

    def _complete(self, report: RunReport, outcome: TrainingOutcome, ended: datetime) -> RunReport:
        """Put the run on record and tell its end."""
        summary_path = self.record.complete(
            ended,
            run_summary(report, outcome, self.corpus.scan.directives),
            adapter_version=report.adapter_version,
            steps=outcome.steps,
            final_train_loss=report.final_train_loss,
            final_val_loss=report.final_val_loss,
            exam=report.exam.to_json() if report.exam else None,
            weight_distribution=self.corpus.scan.weight_distribution,
            learned_sha256=learned_sha256(self.corpus, self.options, self.ports.registry),
        )
        self.emit(
            self.record.ending(
                "completed",
                outcome.steps,
                version=report.adapter_version,
                summary_path=summary_path,
                outcome=outcome,
            )
        )
        return attrs.evolve(report, summary_path=summary_path)

    def _tell_retention(self, outcome: TrainingOutcome) -> None:
        if "all" in outcome.retention:
            before, after = outcome.retention["all"]
            n_sections = len({row.section_id for row in self.planned.recalled.measured})
            self.emit(RetentionMeasured(step=outcome.steps, loss=after, loss_before=before, sections=n_sections))

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
                self.corpus.rows,
                self.document.frontmatter.system_prompt,
                planned.base,
                version.folder,
                plan,
                new=frozenset(planned.delta.new),
                recalled=planned.recalled.rows,
                generator=self.ports.generator,
                emit=self.emit,
            )
        except DlmError as exc:
            message = f"the adapter is saved, but the exam failed: {exc}"
            self.emit(Note(subject="exam", message=message, severity="warning"))
            return None
        exam = attrs.evolve(
            exam,
            loss_before=outcome.first_train_loss,
            loss_after=outcome.train_losses.get("all"),
            sections=outcome.section_losses,
        )
        self.emit(ExamFinished(exam=exam.to_json()))
        return exam

    def _report(self, outcome: TrainingOutcome, version: AdapterRef, exam: Exam | None, ended: datetime) -> RunReport:
        strength, _, _ = determinism(self.planned.capabilities)
        return RunReport(
            dlm_id=self.document.dlm_id,
            status="completed",
            run_id=self.record.run_id,
            adapter_version=version.version,
            adapter_path=str(version.folder),
            log_path=str(self.ports.store.location(self.document.dlm_id) / "logs" / f"{self.record.name}.jsonl"),
            steps=outcome.steps,
            stopped=outcome.stopped,
            final_train_loss=outcome.train_losses.get("all", outcome.final_train_loss),
            final_val_loss=outcome.val_losses.get("all"),
            seconds=(ended - self.record.started).total_seconds(),
            anchor_seconds=outcome.anchor_seconds,
            peak_memory_mb=outcome.peak_memory_mb,
            determinism_class=strength,
            exam=exam,
            plan=self.planned.plan,
            recipe=self.planned.recipe,
            delta=self.planned.delta,
            retention=outcome.retention.get("all"),
            curve=tuple(self.curve),
            evals=tuple(self.evals),
        )

    def _already_done(self, outcome: TrainingOutcome) -> RunReport:
        """A resumed run that was complete already leaves everything as it is."""
        self.record.finish("cancelled", self.ports.clock.now(), steps=outcome.steps)
        self.emit(self.record.ending("cancelled", outcome.steps))
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


def _nothing(document: Document, message: str) -> RunReport:
    return RunReport(dlm_id=document.dlm_id, status="nothing-to-do", message=message)
