"""The trainer: a job in, an adapter folder out."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from dlm.adapters.torch.anchors import AnchorCache, Anchors
from dlm.adapters.torch.bases import LoadedBase, LoadSpec, TorchBases
from dlm.adapters.torch.chat import ChatTokenizer
from dlm.adapters.torch.cpu_pace import quick_cpu
from dlm.adapters.torch.fast_lora import use_fast_lora
from dlm.adapters.torch.foreign import translated
from dlm.adapters.torch.fused_layers import fused_layers
from dlm.adapters.torch.loop import Loop
from dlm.adapters.torch.lora import attach_adapter, load_adapter, save_adapter, trainable_parameters
from dlm.adapters.torch.rows import Examples, Parts, Reader
from dlm.adapters.torch.seeding import seeded
from dlm.adapters.torch.state import Counters, counters_of, read_record, restore_tensors, save_state
from dlm.domain.dialects import thinks_aloud
from dlm.domain.errors import ResumeError, TrainingError
from dlm.domain.events import CheckpointSaved, Emit, Note, Progress, Tokenized
from dlm.domain.text_files import write_atomic
from dlm.domain.tokens import MemoryTokens
from dlm.domain.training import TrainingJob, TrainingOutcome
from dlm.domain.versions import installed_versions
from dlm.ports.token_cache import CacheUse, TokenStore
from dlm.ports.trainer import CheckpointSink

if TYPE_CHECKING:
    from peft import PeftModel


class TorchTrainer:
    """Fits LoRA and DoRA adapters. Implements ``TrainerPort``."""

    def __init__(self, bases: TorchBases, anchors: AnchorCache | None = None) -> None:
        self._bases = bases
        self._anchors = anchors or AnchorCache(None)

    def train(
        self,
        job: TrainingJob,
        *,
        into: Path,
        checkpoints: CheckpointSink,
        emit: Emit,
        stop: Callable[[], bool],
        tokens: TokenStore | None = None,
    ) -> TrainingOutcome:
        """Fit the job's rows and write the adapter with its training state into ``into``. See ``TrainerPort``."""
        record = read_record(job.resume_from) if job.resume_from else None
        emit(Progress(stage="load", done=0, total=1))
        # Lent first: random numbers are one stream for all threads, so only the one that has the base may seed them.
        with translated("train"), self._bases.lend(job.base, load_spec(job)) as base, seeded(job.recipe.seed):
            emit(Progress(stage="load", done=1, total=1))
            chat = ChatTokenizer(base.tokenizer, job.system_prompt, thinks=thinks_aloud(job.base.spec.template))
            reader = _reader(job, chat, tokens)
            parts = _parts(job, reader, tokens, emit)
            adapted = _adapter(job, base)
            try:
                began = time.monotonic()
                anchors = self._anchors_for(job, adapted, chat, emit)
                run = _Run(job, base, adapted, reader, parts, anchors, record)
                run.loop.anchor_seconds = time.monotonic() - began if job.anchors else 0.0
                with quick_cpu(job.plan.device), fused_layers(adapted, job.plan.device):
                    return run.go(into, checkpoints, emit, stop)
            finally:
                adapted.unload()
                base.model.activation_checkpointing_disable()
                base.model.eval()

    def _anchors_for(self, job: TrainingJob, adapted: PeftModel, chat: ChatTokenizer, emit: Emit) -> Anchors:
        return self._anchors.get(
            adapted,
            chat,
            job.anchors,
            base_sha256=job.base.sha256 or str(job.base.folder),
            precision="4bit" if job.plan.use_qlora.value else job.plan.precision.value,
            device=job.plan.device,
            emit=emit,
        )


class _Run:
    """One call of ``train``: the loop plus everything around it."""

    def __init__(
        self,
        job: TrainingJob,
        base: LoadedBase,
        adapted: PeftModel,
        reader: Reader,
        parts: Parts,
        anchors: Anchors,
        record: dict[str, Any] | None,
    ) -> None:
        self.job = job
        self.base = base
        self.adapted = adapted
        use_fast_lora(adapted)
        self.parameters = trainable_parameters(adapted)
        self.optimizer = _optimizer(job, list(self.parameters.values()))
        self.counters = self._counters(record, _fingerprint(job, parts.learned))
        self.loop = Loop(job, adapted, self.optimizer, parts, anchors, reader, self.counters)
        if record is not None and job.resume_from is not None:
            restore_tensors(job.resume_from, self.optimizer, self.parameters)

    def go(self, into: Path, checkpoints: CheckpointSink, emit: Emit, stop: Callable[[], bool]) -> TrainingOutcome:
        """Train, saving a checkpoint now and then, and write the result."""
        last_saved = time.monotonic()

        def after_step() -> None:
            nonlocal last_saved
            if time.monotonic() - last_saved >= self.job.checkpoint_every_s:
                checkpoints.save(self.save)
                last_saved = time.monotonic()
                emit(CheckpointSaved(step=self.counters.step))

        outcome = self.loop.run(emit=emit, stop=stop, after_step=after_step)
        self.save(into)
        self._refuse_non_finite()
        return outcome

    def save(self, folder: Path) -> None:
        """Write adapter, tokenizer, training state and versions into an empty folder."""
        versions = installed_versions()
        save_adapter(self.adapted, folder)
        self.base.tokenizer.save_pretrained(str(folder))
        extra = {
            "base_model": self.job.base.spec.key,
            "base_model_revision": self.job.base.spec.revision,
            "pinned_versions": versions,
            "use_qlora": self.job.plan.use_qlora.value,
        }
        save_state(folder, self.counters, self.optimizer, self.parameters, extra)
        _write_json(folder / "pinned_versions.json", versions)
        _write_json(folder / "training_run.json", {"use_qlora": self.job.plan.use_qlora.value})

    def _counters(self, record: dict[str, Any] | None, fingerprint: str) -> Counters:
        """Continue the same job where it stood; start a changed one on top of the steps already taken."""
        if record is None:
            return Counters(fingerprint=fingerprint)
        counters = counters_of(record)
        if counters.fingerprint == fingerprint:
            return counters
        return Counters(step=counters.step, origin=counters.step, fingerprint=fingerprint)

    def _refuse_non_finite(self) -> None:
        bad = [name for name, parameter in self.parameters.items() if not bool(parameter.isfinite().all())]
        if bad:
            raise TrainingError(
                "train.non-finite-weights",
                f"{len(bad)} adapter tensors hold NaN or infinity, the first: {', '.join(bad[:20])}",
                hint="Lower training.learning_rate, or set training.precision: fp32.",
            )


def load_spec(job: TrainingJob) -> LoadSpec:
    """Give how the job's base is to be loaded."""
    return LoadSpec(
        folder=job.base.folder,
        precision=job.plan.precision.value,
        attention=job.plan.attn_implementation.value,
        device=job.plan.device,
        in_4bit=job.plan.use_qlora.value,
        trust_remote_code=job.base.spec.trust_remote_code,
    )


def _reader(job: TrainingJob, chat: ChatTokenizer, tokens: TokenStore | None) -> Reader:
    recipe = job.recipe
    return Reader(
        chat,
        recipe.sequence_len.value,
        rewording=recipe.rewording.value,
        seed=recipe.seed,
        tokens=MemoryTokens() if tokens is None else tokens,
    )


def _parts(job: TrainingJob, reader: Reader, tokens: TokenStore | None, emit: Emit) -> Parts:
    """Tokenise all rows and tell how that went."""
    began = time.monotonic()
    rows = (job.train_rows, job.validation_rows, job.retention_rows)
    total = sum(row.kind in ("prose", "instruction") for part in rows for row in part)
    parts = Parts(*reader.examples(*rows, emit=emit, total=total))
    use = CacheUse() if tokens is None else tokens.use()
    emit(
        Tokenized(
            total_sections=len({row.section_id for part in parts for row in part.rows}),
            cache_hits=use.hits,
            cache_misses=use.misses,
            seconds=time.monotonic() - began,
            cache_bytes_after=use.bytes_after,
        )
    )
    _check(parts.learned, emit)
    return parts


def _check(examples: Examples, emit: Emit) -> None:
    """Refuse to train on nothing, and tell about questions that were cut."""
    if not examples:
        raise TrainingError(
            "train.nothing-to-learn",
            "the document has no prose and no question with an answer",
            hint="Write a paragraph, or an ::instruction:: section with ### Q and ### A.",
        )
    shortened = sum(example.shortened for example in examples)
    if shortened:
        message = f"{shortened} questions are longer than training.sequence_len; their beginning is left out"
        emit(Note(subject="train", message=message, severity="warning"))


def _adapter(job: TrainingJob, base: LoadedBase) -> PeftModel:
    """Attach a fresh adapter, or the one to resume after checking that the job still fits it."""
    spec = job.base.spec
    if job.plan.use_qlora.value:
        from peft import prepare_model_for_kbit_training

        prepare_model_for_kbit_training(base.model, job.plan.gradient_checkpointing.value)
    if job.plan.gradient_checkpointing.value:
        base.model.activation_checkpointing_enable({"use_reentrant": False})
    if job.resume_from is None:
        return attach_adapter(base.model, job.recipe, spec.hf_id, spec.revision)
    _check_resumable(job, job.resume_from)
    return load_adapter(base.model, job.resume_from, trainable=True)


def _check_resumable(job: TrainingJob, folder: Path) -> None:
    """Refuse to continue an adapter of another shape or on another base."""
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ResumeError(
            "resume.no-adapter", f"{folder} holds no readable adapter ({exc})", hint="Train with --fresh."
        ) from exc
    recipe = job.recipe
    wanted: dict[str, object] = {
        "r": recipe.lora_r.value,
        "lora_alpha": recipe.lora_alpha.value,
        "use_dora": recipe.adapter.value == "dora",
        "revision": job.base.spec.revision,
        "base_model_name_or_path": job.base.spec.hf_id,
    }
    if recipe.target_modules.value != "auto":
        wanted["target_modules"] = sorted(recipe.target_modules.value)
    changed = [f"{key}: {config.get(key)} → {value}" for key, value in wanted.items() if config.get(key) != value]
    if changed:
        raise ResumeError(
            "resume.other-shape",
            f"the adapter to continue was trained differently ({'; '.join(changed)})",
            hint="Put the old values back, or train with --fresh.",
        )


def _optimizer(job: TrainingJob, parameters: list[Any]) -> Any:
    """AdamW without weight decay, betas (0.9, 0.999): a LoRA's own scale is its regulariser."""
    import torch

    name = job.recipe.optimizer.value
    rate = job.recipe.learning_rate.value
    if name == "adamw_torch":
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0, fused=True)
    import bitsandbytes

    makers = {"adamw_bnb_8bit": bitsandbytes.optim.AdamW8bit, "paged_adamw_8bit": bitsandbytes.optim.PagedAdamW8bit}
    return makers[name](parameters, lr=rate, weight_decay=0.0)


def _fingerprint(job: TrainingJob, examples: Examples) -> str:
    """Digest what decides every step of a run: the rows with all their ids depend on, and the knobs."""
    recipe = {
        name: getattr(choice, "value", choice) for name, choice in attrs.asdict(job.recipe, recurse=False).items()
    }
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True, default=list).encode())
    digest.update(
        f"{job.plan.micro_batch_size.value}:{job.plan.micro_batch_tokens}:{job.plan.precision.value}:{job.anchors!r}".encode()
    )
    digest.update(examples.fingerprint.encode())
    return digest.hexdigest()


def _write_json(path: Path, value: Any) -> None:
    write_atomic(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())
