"""PEFT adapters rewritten for mlx-lm.

mlx-lm computes x·a·b·scale with a (inputs, rank) and b (rank, outputs): both factors transposed. It knows one rank and
one scale for all layers. Where an adapter has several, factors are filled up with zeros, and each layer's scaling is
multiplied into b. What ``keys`` name, it changes in every layer; layers the adapter leaves alone get a b of zeros.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dlm.adapters.mlx_files.reading import AdapterTensors, damaged
from dlm.domain.adapter_facts import AdapterFacts
from dlm.domain.adapter_hygiene import MLX_LAYERS
from dlm.domain.errors import ExportError
from dlm.domain.events import Emit, Progress
from dlm.domain.export_targets import WeightsFormat
from dlm.domain.json_record import dump_object
from dlm.domain.lora_tensors import Factors, factors_by_module
from dlm.domain.manifest import ADAPTER_NAME
from dlm.domain.safetensors_header import header_bytes
from dlm.domain.text_files import disk_error, write_chunks_digested
from dlm.ports.exporter import FileRole, WeightsJob, WrittenFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SOURCE = "adapter_model.safetensors"


class MlxExporter:
    """Writes ``<module>/adapters.safetensors`` and ``<module>/adapter_config.json``. Implements ``ExporterPort``."""

    weights: WeightsFormat = "mlx"

    def check(self, job: WeightsJob) -> int:
        if not ADAPTER_NAME.fullmatch(job.module):
            raise ValueError(f"{job.module!r} is not the name of an adapter")
        if job.merged or job.facts.kind != "LORA":
            what = "a merged model" if job.merged else f"an adapter of the kind {job.facts.kind}"
            raise _not_for_mlx(f"a folder for MLX does not hold {what}")
        return sum(4 * math.prod(shape) for _, _, shape in _layout(AdapterTensors(job.adapter / _SOURCE), job))

    def write(self, job: WeightsJob, folder: Path, *, emit: Emit) -> tuple[WrittenFile, ...]:
        self.check(job)
        into = folder / job.module
        try:
            into.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise disk_error(exc, into) from exc
        planned: tuple[tuple[str, FileRole, Iterator[bytes]], ...] = (
            ("adapters.safetensors", "adapter", _weights(job)),
            ("adapter_config.json", "config", iter([_config(job)])),
        )
        files = []
        for name, role, chunks in planned:
            sha256, size = write_chunks_digested(into / name, chunks)
            files.append(WrittenFile(path=f"{job.module}/{name}", role=role, sha256=sha256, size_bytes=size))
            emit(Progress(stage="adapter", done=len(files), total=len(planned), unit="files"))
        return tuple(files)


def _factors(tensors: AdapterTensors, job: WeightsJob) -> dict[str, Factors]:
    """Give the factors by module, after checking that mlx-lm finds each of these modules in the base."""
    path = job.adapter / _SOURCE
    try:
        factors = factors_by_module(tensors.entries)
    except ValueError as exc:
        raise damaged(path, str(exc)) from exc
    if factors.keys() != job.facts.ranks.keys():
        raise damaged(path, "it changed while it was being exported")
    for module in factors:
        found = MLX_LAYERS.fullmatch(module)
        if found is None or int(found["layer"]) >= _layers(job):
            raise _not_for_mlx(f"the adapter changes {module[:120]}, which MLX does not find in the base")
    return factors


def _layers(job: WeightsJob) -> int:
    layers = job.base.config.get("num_hidden_layers")
    if type(layers) is not int or layers < 1:
        raise _not_for_mlx("the base's config.json does not say how many layers it has (num_hidden_layers)")
    return layers


def _layout(tensors: AdapterTensors, job: WeightsJob) -> list[tuple[str, str, tuple[int, ...]]]:
    """Give name, type and shape of every tensor of the file, in order."""
    layout: list[tuple[str, str, tuple[int, ...]]] = []
    rank = job.facts.highest_rank
    for module, names in _factors(tensors, job).items():
        inputs, outputs = tensors.entries[names.a].shape[1], tensors.entries[names.b].shape[0]
        layout += [(f"{module}.lora_a", "F32", (inputs, rank)), (f"{module}.lora_b", "F32", (rank, outputs))]
        if names.m is not None:
            layout.append((f"{module}.m", "F32", (outputs,)))
    return layout


def _weights(job: WeightsJob) -> Iterator[bytes]:
    tensors = AdapterTensors(job.adapter / _SOURCE)
    rank, factors = job.facts.highest_rank, _factors(tensors, job)
    yield header_bytes(_layout(tensors, job))
    folded = _common_scale(job.facts) is None
    for module, names in factors.items():
        a, b = tensors.numbers(names.a).T, tensors.numbers(names.b).T
        if folded:
            b = b * b.dtype.type(job.facts.scaling(module))
        yield _filled(a, (a.shape[0], rank)).tobytes()
        yield _filled(b, (rank, b.shape[1])).tobytes()
        if names.m is not None:
            yield tensors.numbers(names.m).tobytes()


def _common_scale(facts: AdapterFacts) -> float | None:
    scales = {facts.scaling(module) for module in facts.ranks}
    return scales.pop() if len(scales) == 1 else None


def _filled(values: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Add zeros below and to the right, which change no product."""
    import numpy as np

    result = np.zeros(shape, dtype=np.float32)
    result[: values.shape[0], : values.shape[1]] = values
    return result


def _config(job: WeightsJob) -> bytes:
    scale = _common_scale(job.facts)
    keys = sorted({found["key"] for module in job.facts.ranks if (found := MLX_LAYERS.fullmatch(module))})
    record = {
        "fine_tune_type": "dora" if job.facts.use_dora else "lora",
        "num_layers": _layers(job),
        "lora_parameters": {
            "rank": job.facts.highest_rank,
            "scale": 1.0 if scale is None else scale,
            "dropout": 0.0,  # of use in training only
            "keys": keys,
        },
    }
    return dump_object(record, ascii_only=False).encode()


def _not_for_mlx(message: str) -> ExportError:
    hint = "Export with --target llama-server or hf-adapter."
    return ExportError("export.cannot-carry", message, subject="preflight[layers]", hint=hint)
