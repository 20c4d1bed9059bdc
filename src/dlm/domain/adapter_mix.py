"""Mixing adapters: what a person writes, which adapters can be mixed, and a name for the result."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Collection, Mapping

import attrs

from dlm.domain.adapter_facts import AdapterFacts
from dlm.domain.errors import ExportError, UsageError
from dlm.domain.manifest import ADAPTER_NAME

_WEIGHT = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_EXAMPLE = "Write for example --adapter-mix knowledge:1.0,tone:0.5."
_HEAVIEST = 1000.0
"""No weight beyond it is meant: the change would drown the base model."""


@attrs.frozen(kw_only=True)
class MixEntry:
    """One adapter of a mix with its weight, 0 or more."""

    name: str
    weight: float


def parse_mix(text: str, *, declared: Collection[str]) -> tuple[MixEntry, ...]:
    """Read ``name:weight[,name:weight…]``; blanks around names and weights do not matter, the order is kept.

    Args:
        declared: names of ``training.adapters``.

    Raises:
        UsageError: an entry that is empty, malformed or double, a name that is not declared, a weight that is negative
            or no number, or no weight above 0.
    """
    entries = tuple(_entry(part, declared) for part in text.split(","))
    names = [entry.name for entry in entries]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise _misuse(f"the adapter {double} is named twice")
    if not any(entry.weight for entry in entries):
        raise _misuse("all weights are 0, which would leave the base model as it was")
    return entries


def mix_hash(entries: Collection[MixEntry], method: str) -> str:
    """Give 8 hex digits that tell mixes apart, for names of folders and models. Weight 0 counts as not named."""
    parts = [[entry.name, entry.weight] for entry in entries if entry.weight]
    return hashlib.sha256(json.dumps([method, parts]).encode()).hexdigest()[:8]


def check_mixable(parts: Mapping[str, AdapterFacts], *, allow_4bit: bool) -> None:
    """Refuse adapters whose sum is not an adapter.

    Args:
        parts: facts by the adapter's name.
        allow_4bit: whether adapters that were trained on a 4-bit base may take part: when the mix is merged into the
            16-bit base.

    Raises:
        ExportError: naming the first adapter that does not fit.
    """
    first_name, first = next(iter(parts.items()))
    for name, facts in parts.items():
        why = _not_a_sum(facts) or _other_base(facts, first, first_name)
        if why is not None:
            raise _refused(f"the adapter {name} cannot be mixed: {why}", "Export this adapter alone with --adapter.")
        if facts.trained_4bit and not allow_4bit:
            raise _refused(
                f"the adapter {name} was trained on a 4-bit base (qlora), so a mix has no base it fits exactly",
                "Add --merged --dequantize: the mix is then put into the 16-bit base.",
            )


def _not_a_sum(facts: AdapterFacts) -> str | None:
    if facts.kind != "LORA":
        return f"it is of the kind {facts.kind}, and only LoRA adapters add up"
    if facts.use_dora:
        return "it is a DoRA adapter, which also scales the base's own rows"
    if facts.saved_modules:
        return f"it stores {facts.saved_modules[0]} whole"
    if facts.bias != "none" or facts.other_tensors or facts.peculiar:
        what = (*facts.other_tensors, *facts.peculiar, f"bias: {facts.bias}")[0]
        return f"it changes more than the weights of linear layers ({what[:80]})"
    if facts.nonfinite_tensor is not None:
        return f"{facts.nonfinite_tensor} holds numbers that are none"
    return None


def _other_base(facts: AdapterFacts, first: AdapterFacts, first_name: str) -> str | None:
    if facts.base_name.lower() != first.base_name.lower():
        return f"it was trained on {facts.base_name}, and {first_name} on {first.base_name}"
    if facts.vocabulary_size != first.vocabulary_size:
        return f"its tokenizer differs from that of {first_name}"
    return None


def _entry(part: str, declared: Collection[str]) -> MixEntry:
    name, colon, weight = (piece.strip() for piece in part.rpartition(":"))
    if not colon or not ADAPTER_NAME.fullmatch(name):
        raise _misuse(f"{part.strip()[:80]!r} is not of the form name:weight")
    if name not in declared:
        raise _misuse(f"the document declares no adapter {name}; it has {', '.join(declared) or 'none'}")
    if not _WEIGHT.fullmatch(weight) or not math.isfinite(number := float(weight)):
        raise _misuse(f"the weight {weight[:80]!r} of {name} is not a number")
    if number < 0 or number > _HEAVIEST:
        raise _misuse(f"the weight of {name} is {weight}, not from 0 to {_HEAVIEST:.0f}")
    return MixEntry(name=name, weight=abs(number))  # abs: -0 is 0


def _misuse(message: str) -> UsageError:
    return UsageError("usage.adapter-mix", f"--adapter-mix: {message}", subject="export", hint=_EXAMPLE)


def _refused(message: str, hint: str) -> ExportError:
    return ExportError("export.unmixable", message, subject="preflight[adapter_mix]", hint=hint)
