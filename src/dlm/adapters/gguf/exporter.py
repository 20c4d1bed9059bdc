"""Exports in GGUF: a base and an adapter, or one merged model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from dlm.adapters.gguf.adapter_tensors import AdapterTensors
from dlm.adapters.gguf.architectures import architecture_of
from dlm.adapters.gguf.architectures.architecture import EMBEDDINGS, Architecture
from dlm.adapters.gguf.base_cache import BaseCache, BaseKey, file_sha256
from dlm.adapters.gguf.container import Written
from dlm.adapters.gguf.lora import LoraPlan, plan_lora, write_lora
from dlm.adapters.gguf.merging import MergedWeights
from dlm.adapters.gguf.planning import PlannedTensor, plan_tensors, quant_types
from dlm.adapters.gguf.quantizing import Quantizing, Way, choose_way
from dlm.adapters.gguf.vocabulary import Vocabulary, read_vocabulary
from dlm.adapters.gguf.weights import SafetensorsWeights, Weights
from dlm.adapters.gguf.writing import About, check_rows
from dlm.domain.base_models import ResolvedBase
from dlm.domain.errors import ExportError
from dlm.domain.events import Emit, Note, ignore
from dlm.domain.export_targets import WeightsFormat
from dlm.domain.quantization import QUANTS, GgmlType
from dlm.ports.exporter import FileRole, WeightsJob, WrittenFile
from dlm.ports.quantizer import BlockQuantizer, FileQuantizer

ADAPTER_FILE = "adapter.gguf"


@attrs.frozen(kw_only=True)
class _Model:
    """A model that is to be one file: the base, with a plan for its adapter, or base and adapter merged."""

    weights: Weights
    architecture: Architecture
    vocabulary: Vocabulary
    tensors: tuple[PlannedTensor, ...]
    types: Mapping[str, GgmlType]
    way: Way
    lora: LoraPlan | None


class GgufExporter:
    """Writes GGUF files. Implements ``ExporterPort``.

    The base is converted once for all documents of a home, and linked into the export's folder.

    Args:
        home: where converted bases are kept, in ``cache/gguf``.
        quantizers: of blocks, the best first.
        file_quantizers: used where no ``quantizers`` work here.
        threads: that convert numbers; None for one per core, at most 4.
    """

    weights: WeightsFormat = "gguf"

    def __init__(
        self,
        home: Path,
        quantizers: Sequence[BlockQuantizer] = (),
        file_quantizers: Sequence[FileQuantizer] = (),
        *,
        threads: int | None = None,
    ) -> None:
        self._cache = BaseCache(home)
        self._quantizers = tuple(quantizers)
        self._file_quantizers = tuple(file_quantizers)
        self._threads = threads

    def check(self, job: WeightsJob) -> int:
        """Refuse what cannot be written; gives the bytes it takes. See ``ExporterPort``."""
        adapter = _adapter(job)
        model = self._model(job, adapter)
        if model.lora is None:
            return self._quantizing(job, model, ignore).disk_bytes
        return adapter.size_bytes + (
            0 if self._is_kept(job, model) else self._quantizing(job, model, ignore).disk_bytes
        )

    def _is_kept(self, job: WeightsJob, model: _Model) -> bool:
        """Whether the base is there in this form. With an importance matrix nobody knows before it is measured."""
        key = None if QUANTS[job.quant].uses_importance else _key(job, model)
        return key is not None and self._cache.holds(key)

    def write(self, job: WeightsJob, folder: Path, *, emit: Emit = ignore) -> tuple[WrittenFile, ...]:
        """Fill ``folder``: ``base.<level>.gguf`` and ``adapter.gguf``, or ``merged.<level>.gguf``."""
        adapter = _adapter(job)
        model = self._model(job, adapter)
        for note in model.architecture.notes:
            emit(Note(subject="export", message=note, severity="warning"))
        if model.lora is None:
            path = folder / f"merged.{job.quant}.gguf"
            return (_file(path, "merged", self._quantizing(job, model, emit).write(path)),)
        base, lora = folder / f"base.{job.quant}.gguf", folder / ADAPTER_FILE
        at_base = self._write_base(job, model, base, emit)
        about = {"name": f"{job.base.spec.hf_id} {job.module}", "base": job.base.spec.hf_id}
        at_lora = write_lora(model.lora, adapter, model.architecture, lora, **about)
        return _file(base, "base", at_base), _file(lora, "adapter", at_lora)

    def _write_base(self, job: WeightsJob, model: _Model, into: Path, emit: Emit) -> Written:
        quantizing, key = self._quantizing(job, model, emit), _key(job, model)
        if key is None:  # without the base's digest nobody can tell whether a kept file is still of that base
            return quantizing.write(into)
        return self._cache.place(key, into, quantizing.write, emit=emit)

    def _model(self, job: WeightsJob, adapter: AdapterTensors) -> _Model:
        architecture = architecture_of(job.base.config)
        weights: Weights = SafetensorsWeights(job.base.folder)
        if job.merged:
            weights = merged = MergedWeights(weights, adapter, tied=architecture.shape.tied_embeddings)
            if merged.unties_output:
                architecture = architecture_of({**job.base.config, "tie_word_embeddings": False})
        lora = None if job.merged else plan_lora(adapter, architecture, weights)
        vocabulary = _vocabulary(job.base, job.adapter)
        tensors = plan_tensors(weights, architecture)
        check_rows(vocabulary, weights.shape(EMBEDDINGS)[0])
        types = quant_types(tensors, architecture, job.quant)
        way = choose_way(types.values(), job.quant, self._quantizers, self._file_quantizers)
        return _Model(
            weights=weights,
            architecture=architecture,
            vocabulary=vocabulary,
            tensors=tensors,
            types=types,
            way=way,
            lora=lora,
        )

    def _quantizing(self, job: WeightsJob, model: _Model, emit: Emit) -> Quantizing:
        spec = job.base.spec
        name, made_from = (f"{spec.hf_id} {job.module}", spec.hf_id) if job.merged else (spec.hf_id, None)
        about = About(name=name, base=made_from, license=spec.license_spdx, file_type=QUANTS[job.quant].file_type)
        return Quantizing(
            weights=model.weights,
            architecture=model.architecture,
            vocabulary=model.vocabulary,
            about=about,
            tensors=model.tensors,
            types=model.types,
            way=model.way,
            quant=job.quant,
            importance=_importance(job),
            threads=self._threads,
            emit=emit,
        )


def _adapter(job: WeightsJob) -> AdapterTensors:
    if job.facts.nonfinite_tensor is not None:
        raise ExportError(
            "export.bad-weights",
            f"the tensor {job.facts.nonfinite_tensor[:120]} of the adapter holds a number that is infinite or none",
            hint="Train again with --fresh.",
        )
    return AdapterTensors(job.adapter, job.facts)


def _vocabulary(base: ResolvedBase, folder: Path) -> Vocabulary:
    """Read the adapter's tokenizer, so that tokens added to it are there; the base's where the adapter has none."""
    return read_vocabulary(folder if (folder / "tokenizer.json").is_file() else base.folder, base=base.folder)


def _importance(job: WeightsJob) -> Path | None:
    return job.importance if QUANTS[job.quant].uses_importance else None


def _key(job: WeightsJob, model: _Model) -> BaseKey | None:
    """Give the key of the converted base; None when the base has no digest."""
    if job.base.sha256 is None:
        return None
    spec, importance = job.base.spec, _importance(job)
    return BaseKey(
        base_sha256=job.base.sha256,
        hf_id=spec.hf_id,
        revision=spec.revision,
        tokenizer_sha256=_vocabulary_sha256(model.vocabulary),
        quant=job.quant,
        importance_sha256=None if importance is None else _importance_sha256(importance),
        quantizer=model.way.name,
        license=spec.license_spdx,
    )


def _importance_sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as exc:
        raise ExportError(
            "export.bad-importance",
            f"{path} cannot be read: {exc.strerror or exc}",
            hint="Export again, or with --no-imatrix.",
        ) from exc


def _vocabulary_sha256(vocabulary: Vocabulary) -> str:
    """Give the digest of what a file says about tokens: all that was read from tokenizer files, whatever they are."""
    digest = hashlib.sha256()
    for entry in vocabulary.entries():
        digest.update(repr((entry.key, entry.kind, entry.value)).encode())
    return digest.hexdigest()


def _file(path: Path, role: FileRole, written: Written) -> WrittenFile:
    return WrittenFile(path=path.name, role=role, sha256=written.sha256, size_bytes=written.size_bytes)
