"""``adapter_config.json``: the part of it that decides what an adapter changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from dlm.adapters.peft_files.reading import CONFIG, damaged, missing, read_object
from dlm.domain.base_models import REVISION
from dlm.domain.errors import ExportError

_LARGEST = 4_000_000
"""Bytes; with one pattern for each of 10 000 modules it has 1 MB."""

_HIGHEST_RANK = 65_536
_LARGEST_ALPHA = 1e9

_PECULIAR = (
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "layer_replication",
    "lora_bias",
    "monteclora_config",
    "target_parameters",
    "use_bdlora",
    "use_qalora",
    "velora_config",
)
"""Settings that change how the adapter is applied, or to what."""

_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Ways to begin (``init_lora_weights``) that take a part out of the base: its file alone is not the whole change."""


@attrs.frozen(kw_only=True)
class LoraSettings:
    """What PEFT reads from the file. ``targets`` is a regular expression, a list of endings, or None when unsaid."""

    base_name: str
    kind: str
    rank: int
    alpha: float
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]
    targets: str | tuple[str, ...] | None
    use_rslora: bool
    use_dora: bool
    bias: str
    modules_to_save: tuple[str, ...]
    peculiar: tuple[str, ...]


def read_settings(folder: Path) -> LoraSettings:
    """Read and check the configuration of an adapter folder.

    Raises:
        ExportError: missing, damaged, values of the wrong kind, or settings that name code to be imported.
    """
    path = folder / CONFIG
    record = read_object(path, probe="adapter_config", largest=_LARGEST)
    if record is None:
        raise missing(path)
    _refuse_code(path, record)
    try:
        return _settings(record)
    except ValueError as exc:
        raise damaged(path, str(exc)) from exc


def read_revision(folder: Path) -> str | None:
    """Give the commit of the base that an adapter was trained on, as far as its configuration says it."""
    record = read_object(folder / CONFIG, probe="adapter_config", largest=_LARGEST) or {}
    revision = record.get("revision")
    return revision if isinstance(revision, str) and REVISION.fullmatch(revision) else None


def _settings(record: Mapping[str, Any]) -> LoraSettings:
    kind = _text(record, "peft_type", "").upper()
    if not kind:
        raise ValueError("peft_type is missing")
    is_lora = kind == "LORA"
    return LoraSettings(
        base_name=_text(record, "base_model_name_or_path", ""),
        kind=kind,
        rank=_rank("r", record.get("r", 8)) if is_lora else 0,
        alpha=_alpha("lora_alpha", record.get("lora_alpha", 8)) if is_lora else 0.0,
        rank_pattern={key: _rank("rank_pattern", value) for key, value in _map(record, "rank_pattern").items()},
        alpha_pattern={key: _alpha("alpha_pattern", value) for key, value in _map(record, "alpha_pattern").items()},
        targets=_targets(record),
        use_rslora=_flag(record, "use_rslora"),
        use_dora=_flag(record, "use_dora"),
        bias=_text(record, "bias", "none"),
        modules_to_save=_names(record, "modules_to_save"),
        peculiar=_peculiar(record),
    )


def _refuse_code(path: Path, record: Mapping[str, Any]) -> None:
    """Refuse settings by which PEFT imports a module that the file names."""
    library = record.get("auto_mapping")
    parent = library.get("parent_library") if isinstance(library, dict) else library
    own = isinstance(parent, str) and parent.startswith("transformers.models.")
    if record.get("megatron_config") or not (parent is None or own):
        raise ExportError(
            "export.unsafe-adapter",
            f"{path} asks for Python code to be loaded (auto_mapping or megatron_config)",
            subject="preflight[adapter_config]",
            hint="An adapter needs no code of its own. Do not use this one unless you know who made it.",
        )


def _peculiar(record: Mapping[str, Any]) -> tuple[str, ...]:
    found = [name for name in _PECULIAR if record.get(name) not in (None, False, [], {})]
    start = record.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(_CHANGES_BASE):
        found.append("init_lora_weights")
    return tuple(found)


def _targets(record: Mapping[str, Any]) -> str | tuple[str, ...] | None:
    value = record.get("target_modules")
    return value if isinstance(value, str) else _names(record, "target_modules") or None


def _text(record: Mapping[str, Any], key: str, default: str) -> str:
    value = record.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{key} is not text")
    return default if value is None else value


def _flag(record: Mapping[str, Any], key: str) -> bool:
    value = record.get(key) or False
    if value is not True and value is not False:
        raise ValueError(f"{key} is neither true nor false")
    return value


def _map(record: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = record.get(key) or {}
    if not isinstance(value, dict):
        raise ValueError(f"{key} is not an object")
    return value


def _names(record: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = record.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{key} is not a list of names")
    return tuple(value)


def _rank(key: str, value: object) -> int:
    if type(value) is not int or not 1 <= value <= _HIGHEST_RANK:
        raise ValueError(f"{key}: a rank is a whole number from 1 to {_HIGHEST_RANK}")
    return value


def _alpha(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_LARGEST_ALPHA <= value <= _LARGEST_ALPHA:
        raise ValueError(f"{key}: an alpha is a number of ordinary size")
    return float(value)
