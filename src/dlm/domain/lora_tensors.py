"""How PEFT names the tensors of a LoRA adapter."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

PREFIX = "base_model.model."
"""Stands before the base's own names in every PEFT file."""

_PAIRS = (
    (".lora_A.weight", "a"),
    (".lora_B.weight", "b"),
    (".lora_embedding_A", "a"),
    (".lora_embedding_B", "b"),
    (".lora_magnitude_vector", "m"),
    (".lora_magnitude_vector.weight", "m"),
)


@attrs.frozen(kw_only=True)
class Factors:
    """Names of the tensors that change one module: ΔW = scaling · B·A, with A (rank, inputs) and B (outputs, rank); a
    magnitude (outputs) for DoRA only."""

    a: str
    b: str
    m: str | None = None


def factors_by_module(names: Iterable[str]) -> dict[str, Factors]:
    """Sort the LoRA tensors of a file by the module they change, in the order of the modules' names.

    Raises:
        ValueError: half of a pair is missing, or a module has two.
    """
    found: dict[str, dict[str, str]] = {}
    for name in names:
        role = module_and_part(name)
        if role is not None:
            module, part = role
            if part in found.setdefault(module, {}):
                raise ValueError(f"{module} has two tensors of the same part")
            found[module][part] = name
    for module, parts in found.items():
        if not {"a", "b"} <= parts.keys():
            raise ValueError(f"{module} has one half of its pair of tensors only")
    return {module: Factors(**found[module]) for module in sorted(found)}


def module_and_part(name: str) -> tuple[str, str] | None:
    """Give the module a tensor changes and which of ``Factors`` it is; None for tensors that are no part of a LoRA."""
    if name.startswith(PREFIX):
        for ending, part in _PAIRS:
            if name.endswith(ending):
                return name.removeprefix(PREFIX).removesuffix(ending), part
    return None
