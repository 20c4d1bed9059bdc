"""Adapter folders to give away: what a program needs to run the adapter, and nothing about how it came to be.

Some programs, vLLM among them, look at one rank and one alpha only, whatever the configuration says of single layers.
Where layers differ, the factors are brought to one rank with zeros, and every scaling is multiplied into B, which
changes no product.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from dlm.adapters.peft_files.config import read_settings
from dlm.adapters.peft_files.mixing import padded
from dlm.adapters.peft_files.reading import CONFIG, WEIGHTS, read_object
from dlm.adapters.peft_files.tensors import TensorFile
from dlm.adapters.peft_files.tokenizer import tokenizer_files
from dlm.domain.adapter_facts import AdapterFacts
from dlm.domain.base_models import BaseSpec
from dlm.domain.errors import ExportError
from dlm.domain.events import Emit, Progress
from dlm.domain.export_targets import WeightsFormat
from dlm.domain.json_record import dump_object
from dlm.domain.lora_tensors import factors_by_module
from dlm.domain.manifest import ADAPTER_NAME
from dlm.domain.safetensors_header import header_bytes
from dlm.domain.text_files import disk_error, write_chunks_digested
from dlm.ports.exporter import FileRole, WeightsJob, WrittenFile

_LARGEST_CONFIG = 4_000_000

_LORA_KEYS = frozenset(
    "alora_invocation_tokens alpha_pattern arrow_config bias ensure_weight_tying exclude_modules fan_in_fan_out "
    "init_lora_weights kasa_config layer_replication layers_pattern layers_to_transform loftq_config lora_alpha "
    "lora_bias lora_dropout modules_to_save monteclora_config peft_type peft_version qalora_group_size r rank_pattern "
    "target_modules target_parameters task_type trainable_token_indices use_bdlora use_dora use_qalora use_rslora "
    "velora_config".split()
)
"""Settings of a LoRA that loading it depends on. Source: ``LoraConfig`` of PEFT 0.21."""

_NEVER = frozenset({"auto_mapping", "megatron_config", "megatron_core", "runtime_config"})
"""Settings that name code to be loaded or the machine it ran on, of every kind of adapter."""


class PeftExporter:
    """Writes the folders that PEFT, vLLM and the Hub read. Implements ``ExporterPort``.

    Args:
        subfolder: of the export's folder, ``{module}`` standing for the adapter's name; empty for none.
    """

    weights: WeightsFormat = "peft"

    def __init__(self, subfolder: str = "") -> None:
        self._subfolder = subfolder

    def check(self, job: WeightsJob) -> int:
        if job.merged:
            raise not_merged()
        if not ADAPTER_NAME.fullmatch(job.module):
            raise ValueError(f"{job.module!r} is not the name of an adapter")
        read_settings(job.adapter)
        return sum(entry.end - entry.start for entry in TensorFile(job.adapter / WEIGHTS).entries.values())

    def write(self, job: WeightsJob, folder: Path, *, emit: Emit) -> tuple[WrittenFile, ...]:
        self.check(job)
        into = PurePosixPath(self._subfolder.format(module=job.module))
        _make_folder(folder / into)
        levelled = not _is_level(job.facts)
        tensors = TensorFile(job.adapter / WEIGHTS)
        planned: list[tuple[str, FileRole, Iterator[bytes]]] = [
            (WEIGHTS, "adapter", _levelled(tensors, job.facts) if levelled else _as_they_are(tensors)),
            (CONFIG, "config", iter([_config(job, levelled=levelled)])),
            *((name, "tokenizer", iter([data])) for name, data in tokenizer_files(job.adapter)),
        ]
        files = []
        for name, role, chunks in planned:
            sha256, size = write_chunks_digested(folder / into / name, chunks)
            files.append(WrittenFile(path=str(into / name), role=role, sha256=sha256, size_bytes=size))
            emit(Progress(stage="adapter", done=len(files), total=len(planned), unit="files"))
        return tuple(files)


def not_merged() -> ExportError:
    """The error for a job that this form cannot hold."""
    return ExportError(
        "export.cannot-carry",
        "an adapter folder holds the adapter alone, not a merged model",
        hint="Leave --merged out, or export with --target llama-server.",
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise disk_error(exc, folder) from exc


def _is_level(facts: AdapterFacts) -> bool:
    """Tell whether the layers are alike, or must stay as they are: only PEFT runs an adapter with peculiar settings."""
    return bool(facts.peculiar) or len({(rank, facts.alphas[module]) for module, rank in facts.ranks.items()}) <= 1


def _as_they_are(tensors: TensorFile) -> Iterator[bytes]:
    """Give the file with a head of our own: notes that others put into theirs stay behind."""
    yield header_bytes((entry.name, entry.dtype, entry.shape) for entry in tensors.entries.values())
    for name in tensors.entries:
        yield from tensors.raw(name)


def _levelled(tensors: TensorFile, facts: AdapterFacts) -> Iterator[bytes]:
    import numpy as np

    rank = facts.highest_rank
    factors = factors_by_module(tensors.entries)
    scales = {names.b: np.float32(facts.scaling(module)) for module, names in factors.items()}
    shapes: dict[str, tuple[int, int]] = {}
    for names in factors.values():
        shapes[names.a] = (rank, tensors.entries[names.a].shape[1])
        shapes[names.b] = (tensors.entries[names.b].shape[0], rank)
    yield header_bytes(
        (name, "F32", shapes[name]) if name in shapes else (name, entry.dtype, entry.shape)
        for name, entry in tensors.entries.items()
    )
    for name in tensors.entries:
        if name in shapes:
            yield padded(tensors.numbers(name) * scales.get(name, np.float32(1)), shapes[name]).tobytes()
        else:
            yield from tensors.raw(name)


def _config(job: WeightsJob, *, levelled: bool) -> bytes:
    path = job.adapter / CONFIG
    record = read_object(path, probe="adapter_config", largest=_LARGEST_CONFIG) or {}
    is_lora = job.facts.kind == "LORA"
    kept = {key: value for key, value in record.items() if (key in _LORA_KEYS if is_lora else _may_stay(key, value))}
    if levelled:
        rank = job.facts.highest_rank
        kept |= {"r": rank, "lora_alpha": rank, "use_rslora": False, "rank_pattern": {}, "alpha_pattern": {}}
    return dump_object({**kept, **_base(job.base.spec)}, ascii_only=False).encode()


def _base(spec: BaseSpec) -> Mapping[str, Any]:
    return {"base_model_name_or_path": spec.hf_id, "revision": spec.revision, "inference_mode": True}


def _may_stay(key: str, value: object) -> bool:
    is_path = isinstance(value, str) and (PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute())
    return key not in _NEVER and not is_path
