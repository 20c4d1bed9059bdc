"""How exported weights are stored: the levels a person chooses between, and what each means for every tensor.

A level such as ``Q4_K_M`` is a mix: tensors whose rounding errors do most harm get more bits than the others. The mix
is llama.cpp's own (``llama-quantize``), so that a file of ours is what people know under the level's name. Its rules
look at one tensor and a few numbers of its model, never at weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal

import attrs

QuantName = Literal["Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "BF16", "F16"]
GgmlType = Literal["F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q5_1", "Q5_0"]
"""How one tensor is stored."""

GGML_TYPE_IDS: Mapping[GgmlType, int] = MappingProxyType(
    {"F32": 0, "F16": 1, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8, "Q4_K": 12, "Q5_K": 13, "Q6_K": 14, "BF16": 30}
)
"""Source: ``enum ggml_type`` of ``ggml.h``, whose numbers never change, as files hold them."""


@attrs.frozen(kw_only=True)
class Quant:
    """One level.

    Args:
        file_type: ``general.file_type`` of a GGUF file, as llama.cpp numbers them.
        bytes_per_weight: on average over a model, for estimates.
        is_native: whether native code is needed to write it.
        uses_importance: whether an importance matrix makes it better.
        parity_bound: most that next-token distributions may differ from the trained model's, mean KL in nats.
    """

    name: QuantName
    file_type: int
    bytes_per_weight: float
    is_native: bool
    uses_importance: bool
    parity_bound: float


_LEVELS: tuple[tuple[QuantName, int, float, bool, float], ...] = (
    ("Q4_K_M", 15, 0.60, True, 0.10),
    ("Q5_K_M", 17, 0.71, True, 0.05),
    ("Q6_K", 18, 0.82, True, 0.02),
    ("Q8_0", 7, 1.07, False, 0.01),
    ("BF16", 32, 2.0, False, 0.002),
    ("F16", 1, 2.0, False, 0.001),
)
QUANTS: Mapping[QuantName, Quant] = MappingProxyType(
    {
        name: Quant(
            name=name,
            file_type=file_type,
            bytes_per_weight=size,
            is_native=is_k_quant,
            uses_importance=is_k_quant,
            parity_bound=bound,
        )
        for name, file_type, size, is_k_quant, bound in _LEVELS
    }
)
"""Every level by name, smallest file first."""

OUTPUT = "output.weight"
EMBEDDINGS = "token_embd.weight"


@attrs.frozen
class TensorShape:
    """A tensor under its GGUF name; ``shape`` as numpy gives it, the numbers of a row last."""

    name: str
    shape: tuple[int, ...]

    @property
    def columns(self) -> int:
        """Numbers in a row; quantisation blocks lie within rows."""
        return self.shape[-1]

    @property
    def is_matrix(self) -> bool:
        """Whether there is more than one row."""
        return any(size > 1 for size in self.shape[:-1])


@attrs.frozen(kw_only=True)
class MixFacts:
    """What a mix depends on besides the tensors.

    Args:
        architecture: ``general.architecture`` of the file.
        layers: blocks of the model.
        kv_heads: heads of keys and values.
        experts: feed-forward experts per layer; 0 for a plain feed-forward block.
    """

    architecture: str
    layers: int
    heads: int
    kv_heads: int
    experts: int = 0

    @property
    def shares_values_widely(self) -> bool:
        """Whether this is a model of the 70B class, whose few value heads serve many query heads.

        Their tensor is small, so that more bits cost little. llama.cpp knows these models by 80 layers.
        """
        shared = self.architecture == "qwen2" or (self.architecture == "llama" and self.heads != self.kv_heads)
        return self.layers == 80 and shared


def tensor_types(tensors: Iterable[TensorShape], quant: QuantName, facts: MixFacts) -> Mapping[str, GgmlType]:
    """Give the type of every tensor by name. ``tensors`` are all of the file: without ``output.weight`` among them the
    embeddings are the output as well."""
    known = tuple(tensors)
    tied = all(tensor.name != OUTPUT for tensor in known)
    return {tensor.name: _type(tensor, quant, facts, tied=tied) for tensor in known}


def stays_exact(tensor: TensorShape) -> bool:
    """Whether a tensor is kept in 32 bits at every level: vectors, norms, and what chooses between experts."""
    name = tensor.name
    return not (
        tensor.is_matrix and name.endswith("weight") and "_norm.weight" not in name and "ffn_gate_inp" not in name
    )


def row_bytes(kind: GgmlType, columns: int) -> int:
    """Give the bytes of a row.

    Raises:
        ValueError: the row is not a whole number of blocks.
    """
    block = BLOCKS[kind]
    if columns % block.numbers:
        raise ValueError(f"a row of {columns} numbers is no whole number of {kind} blocks of {block.numbers}")
    return columns // block.numbers * block.size_bytes


@attrs.frozen
class Block:
    """How many neighbours of a row are stored together, and in how many bytes."""

    numbers: int
    size_bytes: int


BLOCKS: Mapping[GgmlType, Block] = MappingProxyType(
    {
        "F32": Block(1, 4),
        "F16": Block(1, 2),
        "BF16": Block(1, 2),
        "Q8_0": Block(32, 34),
        "Q5_1": Block(32, 24),
        "Q5_0": Block(32, 22),
        "Q6_K": Block(256, 210),
        "Q5_K": Block(256, 176),
        "Q4_K": Block(256, 144),
    }
)
"""Every type by name. Source: the block structures of ggml's ``ggml-common.h``."""

_PLAIN: Mapping[QuantName, GgmlType] = MappingProxyType(
    {"Q4_K_M": "Q4_K", "Q5_K_M": "Q5_K", "Q6_K": "Q6_K", "Q8_0": "Q8_0", "BF16": "BF16", "F16": "F16"}
)
"""What a level is named for: the type of a tensor that no rule speaks of."""

_FALLBACK: Mapping[GgmlType, GgmlType] = MappingProxyType({"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"})
"""For rows that are no whole number of blocks of 256: the type with blocks of 32 that is not less exact."""

_LAYER = re.compile(r"blk\.(\d+)\.")


def _type(tensor: TensorShape, quant: QuantName, facts: MixFacts, *, tied: bool) -> GgmlType:
    if stays_exact(tensor):
        return "F32"
    plain = _PLAIN[quant]
    if plain in ("F16", "BF16"):
        return plain
    return _fitting(_wanted(tensor, quant, facts, tied=tied), tensor.columns)


def _wanted(tensor: TensorShape, quant: QuantName, facts: MixFacts, *, tied: bool) -> GgmlType:
    """Give the type a tensor should have, whatever the length of its rows."""
    name, plain = tensor.name, _PLAIN[quant]
    if name == OUTPUT or (name == EMBEDDINGS and tied):
        return "Q8_0" if plain == "Q8_0" or tensor.columns % BLOCKS[plain].numbers else "Q6_K"
    if "attn_v.weight" in name or "attn_qkv.weight" in name:
        return _values_type(name, quant, facts)
    if "attn_k.weight" in name and facts.experts == 8:
        return "Q8_0"
    if "ffn_down" in name and _gets_more_bits(name, quant, facts):
        return "Q6_K"
    if "attn_output.weight" in name and facts.experts == 8 and quant == "Q4_K_M":
        return "Q5_K"
    return plain


def _values_type(name: str, quant: QuantName, facts: MixFacts) -> GgmlType:
    """Attention values are a small part of a model and among the most sensitive. With eight experts all attention is a
    small part, so its keys and values get 8 bits."""
    if facts.experts == 8:
        return "Q8_0"
    if _gets_more_bits(name, quant, facts):
        return "Q6_K"
    return "Q5_K" if quant == "Q4_K_M" and facts.shares_values_widely else _PLAIN[quant]


def _gets_more_bits(name: str, quant: QuantName, facts: MixFacts) -> bool:
    """Whether a layer is one of those that get more bits in a mix: the first and the last eighth, and every third of
    those between."""
    layer = _LAYER.match(name)
    if layer is None or quant not in ("Q4_K_M", "Q5_K_M"):
        return False
    number, eighth = int(layer[1]), facts.layers // 8
    return number < eighth or number >= 7 * facts.layers // 8 or (number - eighth) % 3 == 2


def _fitting(wanted: GgmlType, columns: int) -> GgmlType:
    """Give the type for rows of this length: blocks of 256, else of 32, else 16-bit numbers."""
    for kind in (wanted, _FALLBACK.get(wanted, wanted)):
        if columns % BLOCKS[kind].numbers == 0:
            return kind
    return "F16"
