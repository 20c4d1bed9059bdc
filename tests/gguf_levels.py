"""Writing bases as GGUF at any level, without an adapter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dlm.adapters.ggml import GgmlQuantizer
from dlm.adapters.gguf.architectures import architecture_of
from dlm.adapters.gguf.encoding import PLAIN_TYPES, encode_plain
from dlm.adapters.gguf.importance import read_importance
from dlm.adapters.gguf.planning import PlannedTensor, plan_tensors, quant_types
from dlm.adapters.gguf.vocabulary import read_vocabulary
from dlm.adapters.gguf.weights import SafetensorsWeights
from dlm.adapters.gguf.writing import About, write_model
from dlm.domain.quantization import QUANTS, GgmlType, QuantName


def write_level(folder: Path, config: Mapping[str, Any], into: Path, quant: QuantName, importance: Path | None) -> None:
    """Write the base in ``folder`` at a level, with its own tokenizer."""
    weights, architecture = SafetensorsWeights(folder), architecture_of(config)
    tensors = plan_tensors(weights, architecture)
    write_model(
        weights,
        architecture,
        read_vocabulary(folder, base=folder),
        into,
        about=About(name=folder.name, file_type=QUANTS[quant].file_type),
        types=quant_types(tensors, architecture, quant),
        encode=LevelEncode(importance),
    )


class LevelEncode:
    """Gives the bytes of rows at every level. Implements ``Encode``; the writer's threads are those that quantise."""

    def __init__(self, importance: Path | None) -> None:
        self._quantizer = GgmlQuantizer(threads=1)
        self._importance = {} if importance is None else read_importance(importance)

    def __call__(self, tensor: PlannedTensor, kind: GgmlType, values: Any, *, matrix: int = 0) -> Any:
        if kind in PLAIN_TYPES:
            return encode_plain(tensor, kind, values, matrix=matrix)
        weights = self._importance.get(tensor.name)
        return self._quantizer.quantize(
            np.ascontiguousarray(values).reshape(-1).data,
            columns=values.shape[-1],
            kind=kind,
            importance=None if weights is None else weights.data,
        )
