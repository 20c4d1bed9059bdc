"""The tensors of a PEFT adapter, by the tensor of the base that each of them changes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import attrs

from dlm.adapters.gguf.architectures.architecture import EMBEDDINGS, OUTPUT
from dlm.adapters.gguf.weights import SafetensorsWeights
from dlm.domain.adapter_facts import AdapterFacts
from dlm.domain.errors import ExportError

FILE = "adapter_model.safetensors"

PREFIX = "base_model.model."
"""Stands before the base's own names in every PEFT file."""

_PARTS: tuple[tuple[str, str], ...] = (
    (".lora_A.weight", "a"),
    (".lora_B.weight", "b"),
    (".lora_embedding_A", "a"),
    (".lora_embedding_B", "b"),
    (".lora_magnitude_vector", "magnitude"),
    (".lora_magnitude_vector.weight", "magnitude"),
)
_TABLE = ".lora_embedding_A"
_INNER = ".base_layer."
"""Stands in the names of what lies under a low-rank change: the bias of its layer, or its whole table."""


@attrs.frozen(kw_only=True)
class Pair:
    """The low-rank change of one matrix: ΔW = scaling · B·A, A (rank, inputs), B (outputs, rank).

    Args:
        module: the changed layer, by its name in the base.
        a: name of the tensor in the adapter's file, as ``b`` and ``magnitude``.
        magnitude: of DoRA, one number per row; None without.
        scaling: factor of the change.
        alpha: ``scaling`` times the rank, as the runtimes of GGUF divide by it.
        is_table: the layer is a table of embeddings: A is (rank, rows), B (columns, rank), ΔW the transpose of the
            above.
    """

    module: str
    a: str
    b: str
    scaling: float
    alpha: float
    magnitude: str | None = None
    is_table: bool = False


class AdapterTensors:
    """What an adapter's file holds.

    Args:
        folder: PEFT folder.
        facts: what was found out about it before.

    Attributes:
        weights: the file.
        pairs: low-rank changes, by the base's name of the changed tensor.
        wholes: tensors stored whole, by the base's name of the tensor that they take the place of.

    Raises:
        ExportError: ``export.damaged-adapter``: it cannot be read, or is not what ``facts`` say;
            ``export.unfit-adapter``: it is no LoRA, or holds a tensor of unknown use.
    """

    def __init__(self, folder: Path, facts: AdapterFacts) -> None:
        _check_kind(facts)
        self.path = folder / FILE
        self.weights = SafetensorsWeights(folder, file=FILE, bad=_damaged)
        self.pairs: Mapping[str, Pair] = MappingProxyType(self._pairs(facts))
        self.wholes: Mapping[str, str] = MappingProxyType(self._wholes(facts))

    @property
    def size_bytes(self) -> int:
        """Bytes of all numbers, each stored in 32 bits."""
        return sum(4 * math.prod(self.weights.shape(name)) for name in self.weights.names())

    def _pairs(self, facts: AdapterFacts) -> dict[str, Pair]:
        parts: dict[str, dict[str, str]] = {}
        for name in self.weights.names():
            module, part = _role(name)
            if part:
                parts.setdefault(module, {})[part] = name
        if parts.keys() != facts.ranks.keys():
            raise _damaged(self.path, "it was changed since it was looked at")
        return {f"{module}.weight": self._pair(module, found, facts) for module, found in sorted(parts.items())}

    def _pair(self, module: str, parts: Mapping[str, str], facts: AdapterFacts) -> Pair:
        if not {"a", "b"} <= parts.keys() or facts.use_dora != ("magnitude" in parts):
            raise _damaged(self.path, f"a part of the change of {module} is missing")
        pair = Pair(
            module=module,
            scaling=facts.scaling(module),
            alpha=facts.alphas[module] * (facts.ranks[module] ** 0.5 if facts.use_rslora else 1),
            is_table=parts["a"].endswith(_TABLE),
            **parts,
        )
        a, b = self.weights.shape(pair.a), self.weights.shape(pair.b)
        if len(a) != 2 or len(b) != 2 or 0 in (*a, *b) or not a[0] == b[1] == facts.ranks[module]:
            raise _damaged(self.path, f"the change of {module} has factors of shape {a} and {b}")
        if pair.magnitude is not None and self.weights.shape(pair.magnitude) != (b[0],):
            raise _damaged(self.path, f"the magnitude of {module} does not fit its {b[0]} outputs")
        return pair

    def _wholes(self, facts: AdapterFacts) -> dict[str, str]:
        found: dict[str, str] = {}
        for name in self.weights.names():
            if _role(name)[1]:
                continue
            target = name.removeprefix(PREFIX).replace(_INNER, ".")
            if not name.startswith(PREFIX) or not _is_meant(name, target, facts) or target in found:
                raise _unknown(name)
            found[target] = name
        return found


_AS_IT_IS = "Export with --target hf-adapter, which keeps the adapter as it is."
_MERGED = "Export with --merged, which writes one model with the change inside."


def unfit(message: str, *, hint: str = _MERGED) -> ExportError:
    """Give the refusal of an adapter that is more than the form of the export can hold."""
    return ExportError("export.unfit-adapter", message, subject="preflight[adapter_config]", hint=hint)


def other_base(message: str) -> ExportError:
    """Give the refusal of an adapter that does not fit the base."""
    return ExportError(
        "export.other-base",
        message,
        subject="preflight[adapter_config]",
        hint="The adapter was trained on another base. Train again with --fresh.",
    )


def check_shape(hf_name: str, pair: Pair, adapter: AdapterTensors, shape: tuple[int, ...]) -> None:
    """Refuse a change of another shape than the tensor it changes has.

    Raises:
        ExportError: ``export.other-base``.
    """
    a, b = adapter.weights.shape(pair.a), adapter.weights.shape(pair.b)
    change = (a[1], b[0]) if pair.is_table else (b[0], a[1])
    if change != shape:
        raise other_base(f"the adapter changes {hf_name} in the shape {change}, and the base has it in {shape}")


def _role(name: str) -> tuple[str, str]:
    """Give the changed module and which part of its change a tensor is; an empty part for all others."""
    if name.startswith(PREFIX):
        for ending, part in _PARTS:
            if name.endswith(ending):
                return name.removeprefix(PREFIX).removesuffix(ending), part
    return "", ""


def _is_meant(name: str, target: str, facts: AdapterFacts) -> bool:
    """Whether PEFT reads a whole tensor: others of its file it drops in silence."""
    module, _, part = target.rpartition(".")
    if part == "bias" and facts.bias != "none":
        return True
    if _INNER in name:  # tables lie beside their change even where they did not change
        return target in (EMBEDDINGS, OUTPUT) and module in facts.ranks
    return module in facts.saved_modules or target in (EMBEDDINGS, OUTPUT)  # also those of a grown vocabulary


def _check_kind(facts: AdapterFacts) -> None:
    if facts.kind != "LORA":
        raise unfit(
            f"the adapter is of the kind {facts.kind[:40]}, and only LoRA can be written as GGUF", hint=_AS_IT_IS
        )
    if facts.peculiar:
        raise unfit(
            f"the adapter uses {facts.peculiar[0]}, with which it is more than a change of the base's weights",
            hint=_AS_IT_IS,
        )


def _unknown(name: str) -> ExportError:
    return unfit(
        f"the adapter has a tensor {name[:120]!r} whose use is not known",
        hint=_AS_IT_IS,
    )


def _damaged(path: Path, why: str) -> ExportError:
    return ExportError(
        "export.damaged-adapter",
        f"{path}: {why}",
        subject="preflight[adapter_config]",
        hint="The adapter is damaged. Train again, or go back to an earlier version.",
    )
