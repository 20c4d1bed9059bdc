"""How much memory a training step needs, and how much disk a run: estimates before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from dlm.domain.errors import DiskError
from dlm.domain.model_shape import Linear, ModelShape, Targets
from dlm.domain.plan import Attention, Precision

GIB = 2**30

LOGIT_CHUNK_TOKENS = 512
"""Positions whose logits exist at once while training; the trainer works through the rest chunk by chunk."""

ELEMENT_BYTES: Mapping[Precision, int] = MappingProxyType({"bf16": 2, "fp16": 2, "fp32": 4})

_QLORA_LINEAR_BYTES = 0.5625
"""Bytes per 4-bit weight: half a byte, plus the scales of its block of 64 (before double quantisation)."""

_STATE_BYTES: Mapping[str, float] = MappingProxyType({"adamw_bnb_8bit": 2.0, "paged_adamw_8bit": 2.0})
_ADAMW_STATE_BYTES = 8.0
"""Two fp32 moments per trainable weight; the 8-bit optimizers keep one byte each."""

_RUNTIME_BYTES: Mapping[str, int] = MappingProxyType({"cpu": 420 * 2**20, "mps": 1 * GIB, "cuda": 1 * GIB})
"""Memory before the first weight: Python with torch, transformers and peft (measured 420 MiB), a GPU's context."""

_SLACK: Mapping[str, float] = MappingProxyType({"cpu": 1.8, "mps": 1.2, "cuda": 1.1})
"""Memory held per byte of live activations. CPU: measured on ten shapes with glibc; CUDA: usual fragmentation."""

_BACKWARD_BLOCKS = 2.6
"""Recomputing one block holds what it saves, its gradients and their temporaries (measured with large tensors)."""

_HEAP_LIMIT_BYTES = 32 * 2**20
_HEAP_KEEPS = 0.6
"""glibc gives tensors below 32 MiB from its heap and hands little of it back, so on a CPU checkpointing saves less than
half: measured 0.56 to 0.65 of the memory without it. Larger tensors are mapped and returned at once."""


@attrs.frozen(kw_only=True)
class MemoryEstimate:
    """Peak memory of one training process by cause, in bytes.

    Args:
        weights: the frozen base.
        adapter: LoRA weights and their gradients.
        optimizer: its moments.
        activations: what the backward pass needs from the forward pass.
        logits: scores over the vocabulary for one chunk of positions.
        fixed: the program itself, or a GPU's context.
    """

    weights: int
    adapter: int
    optimizer: int
    activations: int
    logits: int
    fixed: int

    @property
    def total(self) -> int:
        """Give the sum."""
        return self.weights + self.adapter + self.optimizer + self.activations + self.logits + self.fixed

    @property
    def total_gb(self) -> float:
        """Give the sum in GiB."""
        return self.total / GIB


def estimate_training_memory(
    shape: ModelShape,
    *,
    precision: Precision,
    kind: str = "lora",
    r: int = 8,
    micro_batch: int = 1,
    seq_len: int = 2048,
    checkpointing: bool = False,
    optimizer: str = "adamw_torch",
    attention: Attention = "sdpa",
    device: str = "cpu",
    targets: Targets = "auto",
    dropout: float = 0.05,
) -> MemoryEstimate:
    """Estimate the peak memory of training an adapter.

    Args:
        precision: of the frozen base; the adapter is always fp32.
        kind: ``lora``, ``qlora`` (base in 4 bits) or ``dora``.
        micro_batch, seq_len: rows and tokens per row that go through the model at once.
        checkpointing: keep only each block's input and compute the rest again in the backward pass.
        device: ``cpu``, ``mps`` or ``cuda`` (also for ROCm).
        dropout: of the adapter; above 0 each adapted layer keeps its noise too.

    Source: the tensors that transformers' Llama blocks and PEFT's layers save, counted with torch's saved-tensor hooks
    and compared with measured peaks of whole steps.
    """
    tokens = micro_batch * seq_len
    trainable = shape.lora_params(r, kind, targets)
    slack = _SLACK.get(device, _SLACK["cuda"])
    block = saved_bytes_per_token(
        shape, precision=precision, kind=kind, targets=targets, dropout=dropout, attention=attention, seq_len=seq_len
    )
    kept = tokens * shape.layers * shape.hidden_size * ELEMENT_BYTES[precision] + _recomputed(
        shape, block, tokens, device
    )
    activations = kept if checkpointing else slack * tokens * shape.layers * block
    return MemoryEstimate(
        weights=base_bytes(shape, precision=precision, kind=kind),
        adapter=trainable * 8,
        optimizer=round(trainable * _STATE_BYTES.get(optimizer, _ADAMW_STATE_BYTES)),
        activations=round(activations + _dora_scratch(shape, kind, targets)),
        logits=_logit_bytes(shape, tokens),
        fixed=_RUNTIME_BYTES.get(device, _RUNTIME_BYTES["cuda"]),
    )


def base_bytes(shape: ModelShape, *, precision: Precision, kind: str = "lora") -> int:
    """Give the bytes of the frozen base. QLoRA keeps linear layers in 4 bits, tables and norms in 16."""
    if kind != "qlora":
        return shape.params * ELEMENT_BYTES[precision]
    linear = min(shape.linear_params, shape.params)
    return round(linear * _QLORA_LINEAR_BYTES) + (shape.params - linear) * ELEMENT_BYTES[precision]


def saved_bytes_per_token(
    shape: ModelShape,
    *,
    precision: Precision,
    kind: str,
    targets: Targets,
    dropout: float,
    attention: Attention,
    seq_len: int,
) -> int:
    """Give the bytes one block keeps per token for the backward pass, nothing recomputed."""
    element = ELEMENT_BYTES[precision]
    adapted = shape.targeted(targets)
    norms = 2 * 4 * shape.hidden_size  # both norms keep their input in fp32
    heads = element * (2 * shape.attention_width + 2 * shape.kv_width)  # q, k, v and the attention's output
    saved = norms + heads + element * _feed_forward_width(shape) + _adapter_inputs(adapted, element, dropout)
    if kind == "dora":
        saved += 2 * 4 * sum(linear.d_out for linear in adapted)  # results with and without the adapter, to scale both
    if attention == "eager":
        saved += shape.heads * seq_len * (2 * element + 4)  # scores, fp32 softmax, its copy
    return saved


def _feed_forward_width(shape: ModelShape) -> int:
    """Gate, activated gate and up, for each expert a token visits."""
    return (3 if shape.gated else 2) * shape.intermediate_size * max(1, shape.experts_per_token)


def _adapter_inputs(adapted: tuple[Linear, ...], element: int, dropout: float) -> int:
    """LoRA parameters are fp32, so a 16-bit input is copied for each adapted layer; an fp32 input is shared."""
    noise = 4 * sum(linear.d_in for linear in adapted) if dropout > 0 else 0
    if element == 2 or dropout > 0:
        return 4 * sum(linear.d_in for linear in adapted) + noise
    return 4 * sum({linear.d_in: linear.d_in for linear in adapted}.values()) + noise


def _recomputed(shape: ModelShape, block: int, tokens: int, device: str) -> float:
    """Bytes in use while checkpointing goes back through the blocks; ``block`` is what one block saves per token."""
    passing = _BACKWARD_BLOCKS * tokens * block
    if device != "cpu":
        return passing
    from_heap = min(tokens, _HEAP_LIMIT_BYTES // (4 * shape.intermediate_size))
    return max(passing, _HEAP_KEEPS * shape.layers * from_heap * block)


def _dora_scratch(shape: ModelShape, kind: str, targets: Targets) -> int:
    """DoRA builds the full adapted weight in fp32 to take its norm: itself, the product and their sum."""
    if kind != "dora":
        return 0
    return 3 * 4 * max((linear.weights for linear in shape.targeted(targets)), default=0)


def _logit_bytes(shape: ModelShape, tokens: int) -> int:
    """Logits, their log-softmax and its gradient in fp32; with a 16-bit head two 16-bit tensors replace one of them."""
    return min(tokens, LOGIT_CHUNK_TOKENS) * shape.vocab_size * 3 * 4


_TOKENIZER_BYTES = 20 * 2**20
"""Tokenizer files, settings and versions of one adapter folder; the largest vocabularies come near it."""

_DISK_MARGIN = 1.5
"""The disk is shared with everything else on the machine while a run goes on."""


def required_disk_bytes(adapter_params: int, *, checkpoints: int = 1, adapters: int = 1) -> int:
    """Give the free bytes a run should find before it starts.

    Each folder written holds fp32 adapter weights and two optimizer moments of the same size; there is one folder for
    the finished version and one for each checkpoint kept, times the number of adapters. The missing part of a base
    download is not counted.
    """
    folder = adapter_params * 3 * 4 + _TOKENIZER_BYTES
    return int(folder * (1 + checkpoints) * adapters * _DISK_MARGIN)


@attrs.frozen(kw_only=True)
class DiskVerdict:
    """Whether a run's files fit on the disk, in bytes."""

    required: int
    free: int

    @property
    def fits(self) -> bool:
        """Tell whether the free space is enough."""
        return self.free >= self.required

    @property
    def missing(self) -> int:
        """Give the bytes that have to be freed; 0 when it fits."""
        return max(0, self.required - self.free)

    def raise_if_refused(self) -> None:
        """Refuse when it does not fit.

        Raises:
            DiskError: naming both sizes.
        """
        if not self.fits:
            raise DiskError(
                "disk.preflight",
                f"a run needs {self.required / 1e9:.2f} GB of free disk space, {self.free / 1e9:.2f} GB are free",
                hint=f"Free {self.missing / 1e9:.2f} GB, or set DLM_HOME to a folder on a larger disk.",
            )


def judge_disk(free_bytes: int, adapter_params: int, *, checkpoints: int = 1, adapters: int = 1) -> DiskVerdict:
    """Compare a disk's free bytes with what a run needs."""
    required = required_disk_bytes(adapter_params, checkpoints=checkpoints, adapters=adapters)
    return DiskVerdict(required=required, free=free_bytes)
