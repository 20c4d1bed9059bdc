"""What converting to GGUF has to know about one family of models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import attrs

from dlm.adapters.gguf.entries import Entry
from dlm.domain.errors import ExportError
from dlm.domain.model_shape import ModelShape

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float32]]

EMBEDDINGS = "model.embed_tokens.weight"
OUTPUT = "lm_head.weight"

_BUFFERS = (".rotary_emb.inv_freq", ".attention.masked_bias", ".attn.masked_bias")
"""Constants that old versions of the model library stored with the weights; runtimes compute them."""

_EXPERT = re.compile(r"model\.layers\.(\d+)\.block_sparse_moe\.experts\.(\d+)\.(w[123])\.weight")
"""Layer, expert and matrix of a mixture of experts: w1 is the gate, w2 goes down, w3 goes up."""


@attrs.frozen(kw_only=True)
class Architecture:
    """One model's family with the numbers of its ``config.json``.

    Args:
        name: ``general.architecture`` of the GGUF file.
        metadata: keys that describe the shape, in the order in which they are written.
        reordered: projections whose output rows GGUF keeps in another order, by the module's own name.
        norm_shift: added to the weights of norms; Gemma stores them less 1.
        biases: modules that may have a bias, by their own name: runtimes do not look for others.
        extra: tensors that stand in no weight file, float32 vectors by GGUF name.
        notes: where runtimes behave otherwise than the model library, for people.
    """

    name: str
    shape: ModelShape
    metadata: tuple[Entry, ...]
    reordered: frozenset[str] = frozenset()
    norm_shift: float = 0.0
    biases: frozenset[str] = frozenset()
    extra: Mapping[str, tuple[float, ...]] = attrs.field(factory=lambda: MappingProxyType({}))
    notes: tuple[str, ...] = ()

    def tensor_name(self, hf_name: str) -> str | None:
        """Give the GGUF name of a tensor; None when it is left out.

        The experts of a layer share one name: their matrices are stacked into one tensor.

        Raises:
            ExportError: ``export.unknown-tensor``: the family has no such part.
        """
        if hf_name.endswith(_BUFFERS) or (hf_name == OUTPUT and self.shape.tied_embeddings):
            return None
        if hf_name.endswith(".bias") and _module(hf_name) not in self.biases:
            raise _unknown(hf_name, self.name)
        name = _names(self.name, self.shape.layers).get_name(_unstacked(hf_name), try_suffixes=(".weight", ".bias"))
        if name is None:
            raise _unknown(hf_name, self.name)
        return str(name)

    def expert(self, hf_name: str) -> int | None:
        """Give which expert's matrix this is; None when it belongs to none."""
        found = _EXPERT.fullmatch(hf_name)
        return int(found[2]) if found else None

    def rows_together(self, hf_name: str) -> int:
        """Give how many rows form a group that ``transform`` needs whole: a head's, or 1."""
        return self.shape.head_dim if _module(hf_name) in self.reordered else 1

    def reorder_rows(self, hf_name: str, array: Floats) -> Floats:
        """Give the rows (along the first side, whole heads) in the order of GGUF.

        Rotary embedding turns pairs of outputs of a head: i and i + d/2 in the model library, neighbours in GGUF. So
        the rows 0, 1, …, d - 1 of each head become 0, d/2, 1, d/2 + 1, ….
        """
        if _module(hf_name) not in self.reordered:
            return array
        heads = array.reshape(-1, 2, self.shape.head_dim // 2, *array.shape[1:])
        return heads.swapaxes(1, 2).reshape(array.shape)

    def transform(self, hf_name: str, array: Floats) -> Floats:
        """Give what GGUF stores for rows of a tensor."""
        if self.norm_shift and hf_name.endswith("norm.weight"):
            array = array + array.dtype.type(self.norm_shift)
        return self.reorder_rows(hf_name, array)


def _module(hf_name: str) -> str:
    """Give a module's own name: ``q_proj`` of ``model.layers.0.self_attn.q_proj.weight``."""
    return hf_name.removesuffix(".weight").removesuffix(".bias").rpartition(".")[2]


def _unstacked(hf_name: str) -> str:
    """Give the name under which the name map knows the stack that an expert's matrix becomes part of."""
    found = _EXPERT.fullmatch(hf_name)
    return f"layers.{found[1]}.feed_forward.experts.{found[3]}.weight" if found else hf_name


@cache
def _names(arch: str, layers: int) -> Any:
    import gguf

    kind = next(number for number, name in gguf.MODEL_ARCH_NAMES.items() if name == arch)
    return gguf.get_tensor_name_map(kind, layers)


def _unknown(hf_name: str, arch: str) -> ExportError:
    return ExportError(
        "export.unknown-tensor",
        f"the model has a tensor {hf_name!r}, and there is no place for it in a GGUF file of a {arch} model",
        hint="Export with --target vllm or --target hf-adapter, which use the model as it is.",
    )
