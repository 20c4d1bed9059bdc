"""The training plan: from machine, model and wishes to decisions with reasons, or a refusal that says what would work.

Pure: the same inputs give the same plan, and nothing is loaded or measured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import attrs

from dlm.domain.base_models import BaseSpec
from dlm.domain.choice import Choice
from dlm.domain.errors import HardwareError
from dlm.domain.hardware import Capabilities
from dlm.domain.memory import GIB, estimate_training_memory
from dlm.domain.model_shape import ModelShape, Targets
from dlm.domain.plan import Attention, Precision, TrainingPlan
from dlm.domain.refusals import FORCE_HINT, refuse_unsupported
from dlm.domain.speed import estimate_step_seconds
from dlm.domain.training import AdapterKind

_BATCHES = (1, 2, 4, 8, 16)
_USUAL_BATCH = 8
"""Rows per optimiser step when nothing else is asked for."""

_ROOMY = 0.7
"""Without recomputing, a plan may use this share of the budget; above it recomputing is the safer choice."""


@attrs.frozen(kw_only=True)
class PlanRequest:
    """What a run asks of the machine; the defaults are those of a document that sets nothing.

    Args:
        sequence_len: longest row in tokens that training may see.
        longest_row_tokens: longest row there is, when known; memory and time are planned for it.
        batch_rows: rows per optimiser step the recipe wants; ``auto`` values are then chosen to give exactly that.
        dropout: of the adapter; it costs memory when above 0.
    """

    adapter: AdapterKind = "lora"
    lora_r: int = 8
    target_modules: Targets = "auto"
    sequence_len: int = 2048
    micro_batch_size: int | Literal["auto"] = "auto"
    grad_accum: int | Literal["auto"] = "auto"
    precision: Precision | None = None
    optimizer: str = "adamw_torch"
    longest_row_tokens: int | None = None
    batch_rows: int | None = None
    dropout: float = 0.05


@attrs.frozen(kw_only=True)
class Budget:
    """Memory of one process in bytes: ``working`` is what a plan aims to stay under, ``limit`` what it must not pass.

    Both are None when the machine does not say how much it has.
    """

    working: int | None
    limit: int | None
    of: str


def resolve_training_plan(
    capabilities: Capabilities,
    shape: ModelShape,
    request: PlanRequest,
    *,
    spec: BaseSpec | None = None,
    world_size: int = 1,
    force: bool = False,
) -> TrainingPlan:
    """Decide how to train.

    Micro-batch and recomputing: the largest batch that fits without recomputing wins; only when not even one row does
    is recomputing turned on. (Recomputing a bigger batch costs a third of the speed and gives none back.)

    Args:
        spec: the base, for its context length and whether it sees or hears.
        world_size: processes, one per GPU.
        force: skip the refusals that are about practicality (``DLM_FORCE_PLAN=1`` on the command line).

    Raises:
        HardwareError: nothing sensible can run; the hint names the next smaller plan.
        UsageError: ``world_size`` is below 1.
    """
    refuse_unsupported(
        capabilities,
        adapter=request.adapter,
        precision=request.precision,
        optimizer=request.optimizer,
        modality=spec.modality if spec else "text",
        world_size=world_size,
        force=force,
    )
    sequence = _sequence_len(request, spec)
    fit = _Fit(
        capabilities=capabilities,
        shape=shape,
        request=request,
        precision=_precision(capabilities, request.precision).value,
        attention=_attention(capabilities).value,
        seq_len=min(sequence.value, request.longest_row_tokens or sequence.value),
        budget=budget_of(capabilities, world_size),
    )
    micro, recompute = _micro_batch(fit)
    peak = fit.bytes(micro.value, recompute.value)
    if fit.budget.limit is not None and peak > fit.budget.limit and not force:
        raise _does_not_fit(fit, peak, micro.value, spec)
    accum = _grad_accum(request, micro.value)
    return TrainingPlan(
        precision=_precision(capabilities, request.precision),
        attn_implementation=_attention(capabilities),
        use_qlora=_use_qlora(request),
        quant_compute_dtype=fit.precision if request.adapter == "qlora" else None,
        micro_batch_size=micro,
        micro_batch_tokens=micro.value * fit.seq_len if request.micro_batch_size == "auto" else None,
        grad_accum=accum,
        gradient_checkpointing=recompute,
        sequence_len=sequence,
        device=device_of(capabilities),
        est_peak_vram_gb=peak / GIB,
        est_step_seconds=fit.step_seconds(micro.value * accum.value, recompute.value),
        world_size=world_size,
    )


def device_of(capabilities: Capabilities) -> str:
    """Give torch's name of the device; ROCm answers to ``cuda``."""
    return "cuda" if capabilities.backend == "rocm" else capabilities.backend


def budget_of(capabilities: Capabilities, world_size: int = 1) -> Budget:
    """Give the memory to plan with.

    GPUs: 85 % of what is free. Apple: half of the unified memory, 85 % at most, since the system lives there too.
    CPU: half of the RAM or 85 % of what is free, whichever is less, 90 % of the RAM at most; processes share it.
    """
    if capabilities.backend in ("cuda", "rocm"):
        free = capabilities.vram_gb
        return Budget(working=_share(free, 0.85), limit=_share(free, 0.95), of="free GPU memory")
    if capabilities.backend == "mps":
        unified = capabilities.unified_memory_gb or capabilities.ram_gb
        return Budget(working=_share(unified, 0.5), limit=_share(unified, 0.85), of="unified memory")
    ram = capabilities.ram_gb / world_size
    free = (capabilities.ram_free_gb or capabilities.ram_gb) / world_size
    return Budget(working=_share(min(0.5 * ram, 0.85 * free), 1.0), limit=_share(ram, 0.9), of="RAM")


def _share(gib: float | None, share: float) -> int | None:
    return round(gib * share * GIB) if gib else None


def _precision(capabilities: Capabilities, wanted: Precision | None) -> Choice[Precision]:
    if wanted is not None:
        risk = "; fp16 can overflow on Apple GPUs, and an adapter with NaN is thrown away"
        apple = wanted == "fp16" and capabilities.backend == "mps"
        return Choice(wanted, f"the document sets it{risk if apple else ''}")
    if capabilities.backend == "cpu":
        if capabilities.supports_bf16:
            return Choice("bf16", "this CPU computes in bf16 itself: half the memory of fp32, and faster")
        return Choice("fp32", "this CPU has no bf16 instructions, so 16 bits would be slower, not faster")
    if capabilities.backend == "mps":
        return Choice("fp32", "16-bit training on Apple GPUs was seen to give NaN weights on small documents")
    if capabilities.supports_bf16:
        return Choice("bf16", "half the memory of fp32 with its range; this GPU supports it")
    return Choice("fp16", "half the memory of fp32; this GPU does not support bf16")


def _attention(capabilities: Capabilities) -> Choice[Attention]:
    if capabilities.has_flash_attention:
        return Choice("flash_attention_2", "the flash-attn package is installed and this GPU can use it")
    return Choice("sdpa", "torch's built-in fused attention")


def _use_qlora(request: PlanRequest) -> Choice[bool]:
    if request.adapter == "qlora":
        return Choice(True, "the document asks for qlora: the base is kept in 4 bits")
    return Choice(False, f"the document trains a {request.adapter} adapter; the base keeps its precision")


def _sequence_len(request: PlanRequest, spec: BaseSpec | None) -> Choice[int]:
    if spec is not None and spec.context_limit < request.sequence_len:
        return Choice(
            spec.context_limit, f"{spec.key} works well up to {spec.context_limit} tokens, less than asked for"
        )
    longest = request.longest_row_tokens
    if longest is not None and longest < request.sequence_len:
        return Choice(request.sequence_len, f"the limit asked for; the longest row has {longest} tokens")
    return Choice(request.sequence_len, "the limit asked for")


@attrs.frozen(kw_only=True)
class _Fit:
    """Everything the memory of one plan depends on, except batch and recomputing."""

    capabilities: Capabilities
    shape: ModelShape
    request: PlanRequest
    precision: Precision
    attention: Attention
    seq_len: int
    budget: Budget

    def bytes(self, micro_batch: int, recompute: bool) -> int:
        return estimate_training_memory(
            self.shape,
            precision=self.precision,
            kind=self.request.adapter,
            r=self.request.lora_r,
            micro_batch=micro_batch,
            seq_len=self.seq_len,
            checkpointing=recompute,
            optimizer=self.request.optimizer,
            attention=self.attention,
            device=device_of(self.capabilities),
            targets=self.request.target_modules,
            dropout=self.request.dropout,
        ).total

    def step_seconds(self, rows: int, recompute: bool) -> float:
        return estimate_step_seconds(
            self.capabilities,
            self.shape,
            precision=self.precision,
            kind=self.request.adapter,
            tokens=rows * self.seq_len,
            seq_len=self.seq_len,
            checkpointing=recompute,
            attention=self.attention,
            targets=self.request.target_modules,
            dropout=self.request.dropout,
        )

    def under(self, ceiling: int | None, micro_batch: int, recompute: bool) -> bool:
        return ceiling is not None and self.bytes(micro_batch, recompute) <= ceiling

    @property
    def roomy(self) -> int | None:
        return None if self.budget.working is None else round(_ROOMY * self.budget.working)


def _micro_batch(fit: _Fit) -> tuple[Choice[int], Choice[bool]]:
    """Choose rows at once and whether to recompute, together."""
    wanted = fit.request.micro_batch_size
    if wanted != "auto":
        return Choice(wanted, "the document sets it"), _recompute(fit, wanted)
    if fit.budget.working is None:
        reason = f"the machine does not say how much {fit.budget.of} it has, so one row at a time"
        return Choice(1, reason), _recompute(fit, 1)
    sizes = _candidates(fit.request)
    plain = _largest(sizes, lambda size: fit.under(fit.roomy, size, False))
    rows = plain or _largest(sizes, lambda size: fit.under(fit.budget.working, size, True)) or 1
    return Choice(rows, _micro_reason(fit, rows, plain is None)), _recompute(fit, rows)


def _candidates(request: PlanRequest) -> tuple[int, ...]:
    """Batch sizes to try, rising; with a wanted number of rows per step, those that divide it."""
    wanted = request.batch_rows
    if wanted is None:
        return _BATCHES
    if request.grad_accum != "auto":
        return (max(1, wanted // request.grad_accum),)
    sizes = {size for size in _BATCHES if wanted % size == 0}
    return tuple(sorted(sizes | {wanted} if wanted <= _BATCHES[-1] else sizes))


def _largest(sizes: tuple[int, ...], fits: Callable[[int], bool]) -> int | None:
    """Give the last size before the first that does not fit."""
    best = None
    for size in sizes:
        if not fits(size):
            break
        best = size
    return best


def _micro_reason(fit: _Fit, rows: int, recompute: bool) -> str:
    need = fit.bytes(rows, recompute) / GIB
    have = (fit.budget.working or 0) / GIB
    counted = f"{rows} × {fit.seq_len} tokens at once"
    if need > have:
        return f"{counted} take {need:.1f} GiB, more than the {have:.1f} GiB dlm likes to use; close other programs"
    return f"{counted} take {need:.1f} of the {have:.1f} GiB of {fit.budget.of} to plan with"


def _recompute(fit: _Fit, rows: int) -> Choice[bool]:
    need = fit.bytes(rows, False) / GIB
    if fit.roomy is None:
        return Choice(True, "saves memory, and how much there is, is unknown")
    room = fit.roomy / GIB
    if need <= room:
        return Choice(False, f"not needed: {need:.1f} GiB without it")
    return Choice(True, f"a third slower, to save memory: {need:.1f} GiB without it, {room:.1f} GiB are safe")


def _grad_accum(request: PlanRequest, micro_batch: int) -> Choice[int]:
    if request.grad_accum != "auto":
        return Choice(request.grad_accum, "the document sets it")
    rows = request.batch_rows or _USUAL_BATCH
    accum = max(1, rows // micro_batch)
    wish = "asked for" if request.batch_rows else "usual"
    return Choice(accum, f"{micro_batch} × {accum} = {micro_batch * accum} rows per step; {rows} are {wish}")


def _does_not_fit(fit: _Fit, peak: int, micro_batch: int, spec: BaseSpec | None) -> HardwareError:
    name = spec.key if spec else f"a base of {fit.shape.params / 1e9:.2g} B parameters"
    limit = (fit.budget.limit or 0) / GIB
    return HardwareError(
        "hardware.does-not-fit",
        f"training {name} in {fit.precision} needs about {peak / GIB:.1f} GiB "
        f"({micro_batch} × {fit.seq_len} tokens at once), and {limit:.1f} GiB of {fit.budget.of} can be used",
        hint=f"{_next_smaller(fit)} {FORCE_HINT}",
        details={"needed_bytes": peak, "limit_bytes": fit.budget.limit},
    )


def _next_smaller(fit: _Fit) -> str:
    """Name the first change that fits: fewer rows, shorter rows, 4 bits, a smaller base."""
    limit = fit.budget.limit
    if fit.request.micro_batch_size != "auto" and fit.under(limit, 1, True):
        return "Set training.micro_batch_size: auto; one row at a time fits."
    for length in (1024, 512, 256, 128, 64):
        if length < fit.seq_len and attrs.evolve(fit, seq_len=length).under(limit, 1, True):
            return f"Set training.sequence_len: {length}, which fits."
    if fit.capabilities.has_bitsandbytes and fit.request.adapter == "lora":
        quantised = attrs.evolve(fit, request=attrs.evolve(fit.request, adapter="qlora"))
        if quantised.under(limit, 1, True):
            return "Set training.adapter: qlora, which keeps the base in 4 bits and fits."
    return _smaller_base(fit)


_BASE_SIZES = (14_000_000_000, 8_000_000_000, 3_000_000_000, 1_500_000_000, 500_000_000, 360_000_000, 135_000_000)


def _smaller_base(fit: _Fit) -> str:
    for params in _BASE_SIZES:
        smaller = attrs.evolve(fit, shape=ModelShape.from_params(params), seq_len=min(fit.seq_len, 512))
        if params < fit.shape.params and smaller.under(fit.budget.limit, 1, True):
            size = f"{params / 1e9:g} B" if params >= 1e9 else f"{params // 1_000_000} M"
            return f"Choose a base of at most {size} parameters."
    return "No base fits: free some memory, or use a machine with more of it."
