"""Export a trained document: check everything, write it aside, run it, compare it, and only then put it in place."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from dlm.app.base_access import open_base
from dlm.app.callers import shielded, unwrapped
from dlm.app.export_adapters import MIXED, Module, opened_adapters
from dlm.app.export_checks import Checks
from dlm.app.export_ports import ExportPorts
from dlm.app.export_texts import TextFile, Writing, file_of, learn_turns, usage
from dlm.app.importance import importance_of
from dlm.domain.adapter_hygiene import plan_weights
from dlm.domain.anchor_bank import BANK
from dlm.domain.base_models import ResolvedBase
from dlm.domain.document import Document
from dlm.domain.errors import DiskError, ExportError, MetricsError
from dlm.domain.events import Emit, Note, ignore
from dlm.domain.export_manifest import (
    NAME,
    Artifact,
    Converter,
    ExportManifest,
    Smoke,
    export_manifest_to_json,
)
from dlm.domain.export_options import ExportOptions, check_options, select_adapters
from dlm.domain.export_plan import ExportPlan, plan_export
from dlm.domain.export_report import ExportReport
from dlm.domain.manifest import ExportRecord, Manifest
from dlm.domain.metrics import ExportMetrics
from dlm.domain.model_shape import ModelShape
from dlm.domain.parity import Parity
from dlm.domain.rows import Turn
from dlm.domain.text_files import write_atomic
from dlm.domain.turn_format import TurnFormat
from dlm.domain.versions import own_version
from dlm.ports.chat_format import ChatFormat
from dlm.ports.exporter import WeightsJob, WrittenFile
from dlm.ports.exports import StagedExport
from dlm.ports.importance_cache import KeptImportance

SPARE_BYTES = 100 * 2**20
"""Free space to ask for beyond the weights: texts, tokenizer, and whatever else the disk is used for meanwhile."""

ROW_WAIT_S = 60.0
"""How long another command may hold the store before an export is put on record; training holds it for minutes."""


def export(
    document: Document,
    options: ExportOptions,
    *,
    ports: ExportPorts,
    on_plan: Callable[[ExportPlan], None] | None = None,
    emit: Emit = ignore,
) -> ExportReport:
    """Write a document's adapter for a program that runs models.

    Everything that can be refused is refused before anything is written. The export is written aside, run and compared
    with the trained model there, and put in place as a whole; whatever goes wrong, the export before stays.

    Raises:
        UsageError: options that cannot be meant.
        DlmError: any refusal or failure.
        Exception: what ``emit`` raised, unchanged.
    """
    target = check_options(options)
    selection = select_adapters(options, document, target)
    began = time.monotonic()
    with unwrapped(), ExitStack() as stack:
        emit = shielded(emit)
        manifest = ports.store.manifest(document.dlm_id)
        modules = stack.enter_context(
            opened_adapters(
                document,
                manifest,
                selection,
                allow_4bit=options.merged and options.dequantize,
                store=ports.store,
                files=ports.adapter_files,
            )
        )
        access = open_base(document, manifest, registry=ports.registry, now=ports.clock.now())
        base = ports.registry.fetch(access.spec, bundled=ports.store.bundled_base(document.dlm_id), emit=emit)
        weights = tuple(
            plan_weights(
                module.facts,
                base,
                target,
                merged=options.merged,
                dequantize=options.dequantize,
                writes_template=options.writes_template or target.name != "ollama",
                base_rows=_rows(base),
                recorded_base_sha256=manifest.base_model_sha256 if manifest else None,
            )
            for module in modules
        )
        plan = plan_export(
            document, base.spec, options, target, selection, weights, version=max(m.version for m in modules)
        )
        if on_plan is not None:
            shielded(on_plan)(plan)
        return _Export(document, options, plan, manifest, base, modules, ports, emit).go(began)


class _Export:
    """One export whose plan is made."""

    def __init__(
        self,
        document: Document,
        options: ExportOptions,
        plan: ExportPlan,
        manifest: Manifest | None,
        base: ResolvedBase,
        modules: tuple[Module, ...],
        ports: ExportPorts,
        emit: Emit,
    ) -> None:
        self.document = document
        self.options = options
        self.plan = plan
        self.manifest = manifest
        self.base = base
        self.modules = modules
        self.ports = ports
        self.emit = emit
        self.exporter = ports.exporters[plan.target.name]

    def go(self, began: float) -> ExportReport:
        """Carry the plan out."""
        for message in self.plan.notes:
            self._note(message)
        writing = self._writing()
        checks = Checks(writing, self.ports, self.emit)
        self._preflight(writing, checks)
        importance = self._importance(writing.chat)
        with self.ports.exports.stage(self.document.dlm_id, self.plan.folder) as staged:
            weights = self._write_weights(staged, importance)
            texts = [_write(staged.folder, text) for text in writing.files(weights)]
            parity, skipped = checks.compare(staged.folder, weights)
            smoke = checks.use(staged.folder)
            record = self._record([*weights, *texts], importance, parity, skipped, smoke)
            write_atomic(staged.folder / NAME, export_manifest_to_json(record).encode())
            folder = staged.commit()
        report = ExportReport(
            dlm_id=self.document.dlm_id,
            path=folder,
            plan=self.plan,
            manifest=record,
            usage=usage(self.plan, folder),
            seconds=time.monotonic() - began,
        )
        self._put_on_record(report, weights)
        return report

    def _preflight(self, writing: Writing, checks: Checks) -> None:
        """Refuse what will not work, while nothing is written yet."""
        for _ in writing.files(()):
            """Made once without the names of the weights, for what the texts themselves refuse."""
        needed = sum(self.exporter.check(self._job(module, None)) for module in self.modules) + SPARE_BYTES
        checks.prepare()
        free = self.ports.store.free_bytes()
        if free < needed:
            raise DiskError(
                "disk.preflight",
                f"this export needs {needed / 1e9:.2f} GB of free disk space, {free / 1e9:.2f} GB are free",
                hint=f"Free {(needed - free) / 1e9:.2f} GB, choose a smaller --quant, or set DLM_HOME elsewhere.",
            )

    def _writing(self) -> Writing:
        chat = self._chat()
        return Writing(
            document=self.document,
            options=self.options,
            plan=self.plan,
            base=self.base,
            base_rows=_rows(self.base),
            manifest=self.manifest,
            modules=self.modules,
            chat=chat,
            turns=self._turns(chat),
            now=self.ports.clock.now(),
            is_apple_silicon=self.ports.hardware.probe().backend == "mps",
        )

    def _chat(self) -> ChatFormat | None:
        module = self.modules[0]
        if not module.facts.has_chat_template:
            return None
        return self.ports.chat_format.read(self.base, module.folder)

    def _turns(self, chat: ChatFormat | None) -> TurnFormat | None:
        if chat is None or self.plan.target.weights != "gguf" or not self.options.writes_template:
            return None
        is_needed = self.plan.target.name == "ollama"
        turns = learn_turns(chat, self.document.frontmatter.system_prompt, is_needed=is_needed)
        if isinstance(turns, ExportError):
            self._note(f"there is no Modelfile in this export: {turns.message}")
            return None
        return turns

    def _importance(self, chat: ChatFormat | None) -> KeptImportance | None:
        if not self.plan.imatrix.value:
            return None
        ordinary = [chat.render((Turn("user", question),)) for question in BANK] if chat is not None else []
        return importance_of(
            self.document,
            self.base,
            sources=self.ports.sources,
            store=self.ports.store,
            replay=self.ports.replay,
            imatrix=self.ports.imatrix,
            cache=self.ports.importance_cache,
            ordinary=ordinary,
            emit=self.emit,
        )

    def _write_weights(self, staged: StagedExport, importance: KeptImportance | None) -> list[WrittenFile]:
        written: list[WrittenFile] = []
        for module in self.modules:
            job = self._job(module, importance)
            written += self.exporter.write(job, staged.folder, emit=self.emit)
        return written

    def _job(self, module: Module, importance: KeptImportance | None) -> WeightsJob:
        return WeightsJob(
            base=self.base,
            adapter=module.folder,
            facts=module.facts,
            module=module.name,
            quant=self.plan.quant.value,
            merged=self.plan.merged.value,
            importance=importance.path if importance else None,
        )

    def _record(
        self,
        files: Sequence[WrittenFile | Artifact],
        importance: KeptImportance | None,
        parity: Parity | None,
        skipped: str | None,
        smoke: Smoke | None,
    ) -> ExportManifest:
        spec, selection = self.base.spec, self.plan.selection
        return ExportManifest(
            target=self.plan.target.name,
            quant=self.plan.quant_label,
            merged=self.plan.merged.value,
            dequantized=self.plan.dequantized,
            ollama_name=self.plan.name if self.plan.registers else None,
            created_at=self.ports.clock.now(),
            created_by=f"dlm-{own_version()}",
            llama_cpp_tag=parity.runtime if parity else None,
            base_model_hf_id=spec.hf_id,
            base_model_revision=spec.revision,
            base_model_sha256=self.base.sha256,
            adapter_version=self.plan.version,
            adapter_name=selection.names[0] if selection.method is None and len(selection.names) == 1 else None,
            adapter_mix=_mix(self.plan) if self.modules[0].name == MIXED else None,
            converter=Converter(name="dlm", version=own_version()),
            imatrix_sha256=importance.sha256 if importance else None,
            parity=parity,
            parity_skipped=skipped,
            smoke=smoke,
            artifacts=tuple(Artifact(path=file.path, sha256=file.sha256, size_bytes=file.size_bytes) for file in files),
        )

    def _put_on_record(self, report: ExportReport, weights: Sequence[WrittenFile]) -> None:
        """Add the export to the store's manifest, read anew: a training may have ended meanwhile."""
        row = _row(report, weights)
        dlm_id = self.document.dlm_id
        with self.ports.store.writer(dlm_id, wait_s=ROW_WAIT_S) as writer:
            manifest = self.ports.store.manifest(dlm_id)
            if manifest is not None:
                writer.save_manifest(manifest.with_export(row))
        figures = ExportMetrics(
            exported_at=row.exported_at,
            quant=row.quant,
            merged=row.merged,
            ollama_name=row.ollama_name,
            size_bytes=report.size_bytes,
            duration_s=report.seconds,
        )
        try:
            self.ports.metrics.add_export(dlm_id, figures)
        except MetricsError as exc:
            self._note(f"the figures of this export were not kept: {exc}", is_warning=True)

    def _note(self, message: str, *, is_warning: bool = False) -> None:
        self.emit(Note(subject="export", message=message, severity="warning" if is_warning else "info"))


def _rows(base: ResolvedBase) -> int:
    return ModelShape.from_config(base.config).vocab_size


def _mix(plan: ExportPlan) -> tuple[tuple[str, float], ...]:
    return tuple((name or "", weight) for name, weight in plan.selection.adapters)


def _row(report: ExportReport, weights: Sequence[WrittenFile]) -> ExportRecord:
    manifest = report.manifest
    digests = {file.path: file.sha256 for file in weights}
    return ExportRecord(
        exported_at=manifest.created_at,
        target=manifest.target,
        quant=manifest.quant,
        merged=manifest.merged,
        ollama_name=manifest.ollama_name,
        llama_cpp_tag=manifest.llama_cpp_tag,
        base_gguf_sha256=digests.get(file_of(weights, "base", "merged") or ""),
        adapter_gguf_sha256=digests.get(file_of(weights, "adapter") or ""),
        smoke_output_first_line=manifest.smoke.first_line if manifest.smoke else None,
        adapter_name=manifest.adapter_name,
        adapter_mix=manifest.adapter_mix,
        folder=report.path.name,
        parity=manifest.parity.to_record() if manifest.parity else None,
    )


def _write(folder: Path, file: TextFile) -> Artifact:
    data = file.text.encode()
    write_atomic(folder / file.name, data, mode=0o755 if file.is_script else None)
    return Artifact(path=file.name, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
