"""Which settings an adapter from a stranger may have: those that are numbers, names of layers, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from dlm.domain.json_record import RecordError, parse_object

SETTINGS = "adapter_config.json"

PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib")
"""Endings of files that are read by running what they hold."""

_KNOWN = frozenset(
    """alora_invocation_tokens alpha_pattern arrow_config auto_mapping base_model_name_or_path bias corda_config
    ensure_weight_tying eva_config exclude_modules fan_in_fan_out inference_mode init_lora_weights kasa_config
    layer_replication layers_pattern layers_to_transform loftq_config lora_alpha lora_bias lora_dropout lora_ga_config
    megatron_config megatron_core modules_to_save monteclora_config peft_type peft_version qalora_group_size r
    rank_pattern revision runtime_config target_modules target_parameters task_type trainable_token_indices use_bdlora
    use_dora use_qalora use_rslora velora_config""".split()
)
"""Every setting of LoRA adapters in the library PEFT, up to 0.21."""

_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def is_pickle(path: str) -> bool:
    """Tell whether a file of a store may hold code, by its ending. Media of unknown kind also end with ``.bin``."""
    return path.lower().endswith(PICKLES) and not path.startswith("blobs/")


def are_weights(path: str) -> bool:
    """Tell whether a pickle holds an adapter, as opposed to the record of its training."""
    return PurePosixPath(path).name.lower().startswith(("adapter_model", "pytorch_model", "model"))


def adapter_settings_problem(text: str) -> str | None:
    """Tell why an ``adapter_config.json`` of a stranger is refused; None when it is not.

    PEFT imports modules that ``auto_mapping`` and ``megatron_config`` name, and loads a base from wherever
    ``base_model_name_or_path`` says.
    """
    try:
        record = parse_object(text)
    except RecordError as exc:
        return exc.message
    unknown = sorted(set(record) - _KNOWN)
    if unknown:
        return f"it has the unknown setting {unknown[0][:80]!r}"
    if record.get("peft_type") != "LORA":
        return f"its peft_type is {str(record.get('peft_type'))[:80]!r}, not LORA"
    if _names_code(record):
        return "it asks for Python code to be loaded (auto_mapping or megatron_config)"
    return _problem_of_base(record.get("base_model_name_or_path"))


def _names_code(record: Mapping[str, Any]) -> bool:
    library = record.get("auto_mapping")
    parent = library.get("parent_library") if isinstance(library, dict) else library
    own = isinstance(parent, str) and parent.startswith("transformers.models.")
    core = record.get("megatron_core", "megatron.core")
    return bool(record.get("megatron_config")) or core not in (None, "megatron.core") or not (parent is None or own)


def _problem_of_base(base: object) -> str | None:
    if base is None:
        return None
    if not isinstance(base, str):
        return "its base_model_name_or_path is not text"
    is_path = base.startswith(("/", "~", ".")) or "\\" in base or base[1:2] == ":" or ".." in base.split("/")
    if is_path or _REMOTE.match(base) or base.count("/") > 1:
        return f"its base is a place, {base[:80]!r}, not the name of a model"
    return None
