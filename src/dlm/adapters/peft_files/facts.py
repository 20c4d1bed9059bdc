"""What an adapter folder says about itself, checked against itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs

from dlm.adapters.peft_files.config import LoraSettings, read_settings
from dlm.adapters.peft_files.patterns import check_cost, fits, pick
from dlm.adapters.peft_files.reading import WEIGHTS, damaged, read_object
from dlm.adapters.peft_files.tensors import TensorFile
from dlm.adapters.peft_files.tokenizer import read_chat_template, read_vocabulary_size
from dlm.domain.adapter_facts import AdapterFacts
from dlm.domain.lora_tensors import PREFIX, Factors, factors_by_module, module_and_part
from dlm.domain.safetensors_header import TensorEntry

_LARGEST_RECORD = 1_000_000


def read_facts(folder: Path) -> AdapterFacts:
    """Read an adapter folder. See ``AdapterFilesPort.facts``."""
    settings = read_settings(folder)
    tensors = TensorFile(folder / WEIGHTS)
    facts = AdapterFacts(
        base_name=settings.base_name,
        kind=settings.kind,
        ranks={},
        alphas={},
        use_rslora=settings.use_rslora,
        use_dora=settings.use_dora,
        bias=settings.bias,
        vocabulary_size=read_vocabulary_size(folder),
        has_chat_template=read_chat_template(folder) is not None,
        trained_4bit=_trained_4bit(folder),
        nonfinite_tensor=tensors.first_nonfinite(),
        peculiar=settings.peculiar,
    )
    if settings.kind != "LORA":
        return facts
    try:
        return _with_modules(facts, settings, tensors)
    except ValueError as exc:
        raise damaged(tensors.path, str(exc)) from exc


def _with_modules(facts: AdapterFacts, settings: LoraSettings, tensors: TensorFile) -> AdapterFacts:
    factors = factors_by_module(tensors.entries)
    if not factors:
        raise ValueError("it holds no low-rank change of any layer")
    _check_targets(settings, factors)
    ranks = pick(settings.rank_pattern, factors, settings.rank)
    for module, names in factors.items():
        _check_shapes(module, names, tensors.entries, ranks[module])
        if settings.use_dora != (names.m is not None):
            raise ValueError(f"use_dora is {settings.use_dora}, and {module} has {'a' if names.m else 'no'} magnitude")
    saved, others = _rest(settings, tensors.entries)
    return attrs.evolve(
        facts,
        ranks=ranks,
        alphas=pick(settings.alpha_pattern, factors, settings.alpha),
        saved_modules=saved,
        other_tensors=others,
    )


def _check_shapes(module: str, names: Factors, entries: Mapping[str, TensorEntry], rank: int) -> None:
    """Check A (rank, inputs), B (outputs, rank) and the magnitude (outputs)."""
    a, b = entries[names.a].shape, entries[names.b].shape
    if len(a) != 2 or len(b) != 2 or 0 in (*a, *b):
        raise ValueError(f"{module}: factors of shape {a} and {b} are not two tables")
    if (a[0], b[1]) != (rank, rank):
        raise ValueError(f"{module}: factors of shape {a} and {b} do not have the rank {rank} of {_CONFIG_SAYS}")
    if names.m is not None and entries[names.m].shape != (b[0],):
        raise ValueError(f"{module}: a magnitude of shape {entries[names.m].shape} does not fit {b[0]} outputs")


_CONFIG_SAYS = "adapter_config.json"


def _check_targets(settings: LoraSettings, modules: Iterable[str]) -> None:
    """Refuse tensors for modules that the configuration does not name: PEFT drops them in silence."""
    modules = tuple(modules)
    targets = settings.targets
    if targets is None or targets == "all-linear":
        return
    if isinstance(targets, str):
        reached = fits(targets, modules)
    else:
        check_cost(targets, modules)
        reached = {module: f".{module}".endswith(tuple(f".{target}" for target in targets)) for module in modules}
    left_out = [module for module, is_reached in reached.items() if not is_reached]
    if left_out:
        raise ValueError(f"it changes {left_out[0]}, which target_modules of {_CONFIG_SAYS} does not name")


def _rest(settings: LoraSettings, entries: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the modules that are stored whole, and the tensors nobody knows."""
    saved: set[str] = set()
    others: list[str] = []
    for name in sorted(entries):
        module, _, part = name.removeprefix(PREFIX).rpartition(".")
        if module_and_part(name) is not None:
            continue
        # PEFT takes every module whose name ends so: "norm" stores "input_layernorm" too.
        if name.startswith(PREFIX) and module.endswith(tuple(settings.modules_to_save)):
            saved.add(module)
        elif part != "bias" or settings.bias == "none":
            others.append(name)
    return tuple(sorted(saved)), tuple(others)


def _trained_4bit(folder: Path) -> bool:
    """Tell whether the base was in 4 bits. Merging depends on it, so a record that cannot be read is refused.

    Adapters without the record come from tools that wrote which packages were installed; a 4-bit one among them is
    taken as used.
    """
    path = folder / "training_run.json"
    record = read_object(path, probe="training_run_json", largest=_LARGEST_RECORD)
    if record is None:
        pins = read_object(folder / "pinned_versions.json", probe="training_run_json", largest=_LARGEST_RECORD) or {}
        return pins.get("bitsandbytes") is not None
    value = record.get("use_qlora", False)
    if not isinstance(value, bool):
        raise damaged(path, "use_qlora is neither true nor false", probe="training_run_json")
    return value
