"""Writing tiny bases as GGUF in tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dlm.adapters.gguf.architectures import architecture_of
from dlm.adapters.gguf.planning import plan_tensors, quant_types
from dlm.adapters.gguf.vocabulary import read_vocabulary
from dlm.adapters.gguf.weights import SafetensorsWeights
from dlm.adapters.gguf.writing import About, write_model
from dlm.domain.base_models import ResolvedBase
from dlm.domain.quantization import GgmlType


def write_base(base: ResolvedBase, into: Path, *, kind: GgmlType = "F16", **options: Any) -> Path:
    """Write a base with its own tokenizer. Matrices are stored as ``kind``."""
    weights, architecture = SafetensorsWeights(base.folder), architecture_of(base.config)
    vocabulary = read_vocabulary(base.folder, base=base.folder)
    tensors = plan_tensors(weights, architecture)
    types: dict[str, GgmlType] = {
        name: kind if stored == "F16" else stored for name, stored in quant_types(tensors, architecture, "F16").items()
    }
    about = About(name=base.spec.hf_id, file_type=1, base=base.spec.hf_id, license="MIT")
    write_model(weights, architecture, vocabulary, into, about=about, types=types, **options)
    return into
