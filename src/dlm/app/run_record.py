"""What one run leaves on record: manifest row, lock, log. Always under the store's writer lock."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, Literal

import attrs

from dlm.app.callers import CallerError
from dlm.app.planned_run import PlannedRun, TrainOptions, TrainPorts
from dlm.app.run_log import RunLog, run_name
from dlm.app.tracing import determinism, hardware_tier
from dlm.domain.document import Document
from dlm.domain.errors import DlmError, Interrupted
from dlm.domain.events import Emit, Note, RunFinished
from dlm.domain.lock import Lock, Unreadable, lock_decision
from dlm.domain.manifest import Manifest
from dlm.domain.training import TrainingOutcome
from dlm.ports.store import StoreWriter

EndStatus = Literal["completed", "failed", "cancelled"]


class RunRecord:
    """One run's place in the history of its document. Its id is reserved by :meth:`open` and never used again."""

    def __init__(
        self,
        document: Document,
        options: TrainOptions,
        planned: PlannedRun,
        ports: TrainPorts,
        writer: StoreWriter,
    ) -> None:
        self._document = document
        self._options = options
        self._planned = planned
        self._ports = ports
        self.writer = writer
        self.started = ports.clock.now()
        self.manifest, self.run_id = self._opened_manifest().reserve_run(
            started_at=self.started, seed=planned.recipe.seed
        )
        self.name = run_name(self.run_id, self.started)
        self.log = RunLog(writer, self.name, ports.clock)
        self._lock: Lock | None = None
        self.is_over = False

    def open(self, emit: Emit) -> None:
        """Compare this run's circumstances with ``dlm.lock``, then reserve the id.

        Raises:
            LockDriftError: they differ too much; nothing was written.
        """
        new = self._new_lock()
        decision = lock_decision(self._stored_lock(), new, self._options.lock_mode)
        for warning in decision.warnings:
            emit(Note(subject="lock", message=warning, severity="warning"))
        if not decision.proceed:
            raise decision.refusal()
        self._lock = new if decision.write else None
        self.writer.save_manifest(self.manifest)

    def commit(self, manifest: Manifest) -> None:
        """Save the manifest that knows the new adapter version."""
        self.manifest = self._on_this_base(manifest)
        self.writer.save_manifest(self.manifest)

    def complete(self, ended: datetime, summary: dict[str, Any], **results: Any) -> str:
        """Write summary, manifest and lock, in this order, and let go of the checkpoint; gives the summary's path."""
        summary_path = self.writer.save_summary(self.name, summary)
        self.finish("completed", ended, summary_path=summary_path, pinned_versions=self.log.versions, **results)
        if self._lock is not None:
            self.writer.save_lock(self._lock)
        self.writer.drop_checkpoint()
        return summary_path

    def finish(self, status: EndStatus, ended: datetime, **results: Any) -> None:
        """End the run's row in the manifest."""
        revision = self._planned.access.spec.revision
        self.manifest = self.manifest.finish_run(
            self.run_id, status, ended_at=ended, base_model_revision=revision, **results
        )
        self.is_over = True
        self.writer.save_manifest(self.manifest)

    def fail(self, exc: BaseException, emit: Emit, *, steps: int, loss: float | None) -> None:
        """Write ``failed`` or ``cancelled``; the error itself goes on to the caller, with a note if even this fails."""
        status: EndStatus = "cancelled" if isinstance(exc, Interrupted | KeyboardInterrupt) else "failed"
        try:
            self.finish(status, self._ports.clock.now(), steps=steps, final_train_loss=loss)
            emit(self.ending(status, steps, message=str(exc) or type(exc).__name__))
        except (DlmError, CallerError) as second:
            shown = exc.error if isinstance(exc, CallerError) else exc
            shown.add_note(f"After that, {status} could not be told: {second}")

    def ending(
        self,
        status: EndStatus,
        steps: int,
        *,
        version: int | None = None,
        summary_path: str | None = None,
        outcome: TrainingOutcome | None = None,
        message: str | None = None,
    ) -> RunFinished:
        """Give the last event of the run."""
        event = RunFinished(
            run_id=self.run_id,
            status=status,
            adapter_version=version,
            steps=steps,
            elapsed_s=(self._ports.clock.now() - self.started).total_seconds(),
            early_stopped=outcome is not None and outcome.stopped == "early-stopped",
            summary_path=summary_path,
            message=message,
        )
        if outcome is None:
            return event
        return attrs.evolve(
            event,
            stopped=outcome.stopped,
            tokens=outcome.tokens,
            anchor_s=outcome.anchor_seconds,
            peak_memory_mb=outcome.peak_memory_mb,
            final_train_loss=outcome.train_losses.get("all", outcome.final_train_loss),
            final_val_loss=outcome.val_losses.get("all"),
        )

    def _opened_manifest(self) -> Manifest:
        """Give the stored manifest brought up to date, or a new one; runs of processes that died become ``failed``."""
        document = self._document
        stored = self._ports.store.manifest(document.dlm_id)
        source = str(document.path.resolve()) if document.path else None
        if stored is None:
            stored = Manifest.new(document.dlm_id, document.base_model, None, source, self.started)
        stored, _ = stored.close_abandoned(ended_at=self.started)
        stored = attrs.evolve(
            stored,
            source_path=source or stored.source_path,
            skip_export_probes=stored.skip_export_probes or self._options.skip_export_probes,
        )
        # Until there is an adapter for the new base, the manifest goes on naming the base of the one there is.
        is_moving = stored.adapter_version > 0 and stored.base_model != document.base_model
        return stored if is_moving else self._on_this_base(stored)

    def _on_this_base(self, manifest: Manifest) -> Manifest:
        return attrs.evolve(
            manifest,
            base_model=self._document.base_model,
            base_model_revision=self._planned.access.spec.revision,
            base_model_sha256=self._planned.base.sha256,
            license_acceptance=self._planned.access.acceptance,
        )

    def _new_lock(self) -> Lock:
        planned = self._planned
        strength, _, flags = determinism(planned.capabilities)
        return Lock(
            created_at=self.started,
            dlm_id=self._document.dlm_id,
            dlm_sha256=hashlib.sha256(self._document.text.encode()).hexdigest(),
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

    def _stored_lock(self) -> Lock | Unreadable | None:
        try:
            return self._ports.store.lock(self._document.dlm_id)
        except DlmError as exc:
            if exc.code != "lock.unreadable":
                raise
            return Unreadable(reason=str(exc))
