"""Which tensors a GGUF file of a model will have, and from which weights each is made."""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from dlm.adapters.gguf.architectures.architecture import EMBEDDINGS, OUTPUT, Architecture
from dlm.adapters.gguf.weights import Weights
from dlm.domain.errors import ExportError
from dlm.domain.quantization import GgmlType, MixFacts, QuantName, TensorShape, tensor_types

_LAYER = re.compile(r"blk\.(\d+)\.(.+)")


@attrs.frozen(kw_only=True)
class PlannedTensor:
    """A tensor to be written.

    Args:
        shape: as numpy gives it: ``(columns,)``, ``(rows, columns)``, or ``(experts, rows, columns)``.
        sources: Hugging Face names of what it is made of: one, or one for each expert; none for a constant.
        values: numbers of a constant.
    """

    name: str
    shape: tuple[int, ...]
    sources: tuple[str, ...] = ()
    values: tuple[float, ...] = ()


def plan_tensors(weights: Weights, architecture: Architecture) -> tuple[PlannedTensor, ...]:
    """Give every tensor of the file, in the order in which it is written.

    Raises:
        ExportError: ``export.unknown-tensor``; ``export.bad-weights``: tensors are missing or do not fit together.
    """
    sources: dict[str, list[str]] = {}
    for hf_name in weights.names():
        name = architecture.tensor_name(hf_name)
        if name is not None:
            sources.setdefault(name, []).append(hf_name)
    _check_whole(weights, sources, architecture)
    planned = [_planned(weights, architecture, name, tuple(parts)) for name, parts in sources.items()]
    constants = [
        PlannedTensor(name=name, shape=(len(values),), values=values) for name, values in architecture.extra.items()
    ]
    return tuple(sorted((*planned, *constants), key=lambda tensor: _order(tensor.name)))


def quant_types(
    tensors: tuple[PlannedTensor, ...], architecture: Architecture, quant: QuantName
) -> Mapping[str, GgmlType]:
    """Give the type of every tensor at a level, by name."""
    shape = architecture.shape
    facts = MixFacts(
        architecture=architecture.name,
        layers=shape.layers,
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        experts=shape.experts,
    )
    shapes = [TensorShape(tensor.name, tensor.shape) for tensor in tensors if tensor.sources]
    constants: dict[str, GgmlType] = {tensor.name: "F32" for tensor in tensors if not tensor.sources}
    return {**tensor_types(shapes, quant, facts), **constants}


def _planned(weights: Weights, architecture: Architecture, name: str, parts: tuple[str, ...]) -> PlannedTensor:
    shapes = {weights.shape(part) for part in parts}
    shape = next(iter(shapes))
    if len(shapes) > 1 or not 1 <= len(shape) <= 2 or 0 in shape or shape[0] % architecture.rows_together(parts[0]):
        raise _bad(f"{parts[0]} has the shape {shape}")
    experts = [architecture.expert(part) for part in parts]
    if experts == [None]:
        return PlannedTensor(name=name, shape=shape, sources=parts)
    ordered = sorted((expert, part) for expert, part in zip(experts, parts, strict=True) if expert is not None)
    if [expert for expert, _ in ordered] != list(range(architecture.shape.experts)) or len(ordered) != len(parts):
        raise _bad(f"{name} is made of {len(parts)} tensors; there should be one for each expert")
    return PlannedTensor(name=name, shape=(len(parts), *shape), sources=tuple(part for _, part in ordered))


def _check_whole(weights: Weights, names: Mapping[str, object], architecture: Architecture) -> None:
    """Check that embeddings, output and all layers are there, and layers alike: runtimes would stop, and say less."""
    present = set(weights.names())
    wanted = {EMBEDDINGS} if architecture.shape.tied_embeddings else {EMBEDDINGS, OUTPUT}
    if missing := wanted - present:
        raise _bad(f"{min(missing)} is missing")
    layers: dict[int, set[str]] = {number: set() for number in range(architecture.shape.layers)}
    for name in names:
        if found := _LAYER.fullmatch(name):
            layers[int(found[1])].add(found[2])  # the name map knows no layers beyond the last
    parts = set().union(*layers.values())
    for number, own in layers.items():
        if lacking := parts - own:
            raise _bad(f"layer {number} has no {min(lacking)}")


def _order(name: str) -> tuple[int, int, str]:
    """Embeddings and constants first, then layer after layer, the output last."""
    layer = _LAYER.fullmatch(name)
    if layer is not None:
        return 1, int(layer[1]), name
    return (2 if name.startswith("output") else 0), 0, name


def _bad(why: str) -> ExportError:
    return ExportError(
        "export.bad-weights",
        f"the weights of the base do not fit together: {why}",
        hint="Fetch the base again, or choose another one.",
    )
