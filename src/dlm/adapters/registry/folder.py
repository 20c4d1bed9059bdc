"""Looking into a model folder: what its small files say, and whether everything needed is there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlm.adapters.registry.headers import count_weights, read_shapes
from dlm.domain.base_facts import BaseFacts, architecture_of
from dlm.domain.base_files import has_safetensors
from dlm.domain.base_models import BaseSpec, ResolvedBase
from dlm.domain.base_rows import row_of_hub_id
from dlm.domain.errors import BaseModelError
from dlm.domain.probes import (
    ProbeFault,
    chat_template_fault,
    quantised_fault,
    remote_code_fault,
    tokenizer_fault,
    weights_fault,
)
from dlm.ports.base_source import Found

_LARGEST_JSON = 200_000_000
"""Bytes. The largest real tokenizer files have about 35 MB; beyond this a file is a mistake or an attack."""


def read_facts(
    folder: Path, *, name: str, revision: str | None, files: Sequence[str] = (), params: int | None = None
) -> BaseFacts:
    """Read what the small files of a model say.

    Args:
        files: names of the model's files when the folder holds only some of them; else the folder is listed.
        params: number of weights when already known; else counted when the weights are in the folder.

    Raises:
        BaseModelError: no ``config.json``, or a file that cannot be read.
    """
    present = list_names(folder)
    shapes = _all_shapes(folder, present) if has_safetensors(present) else {}
    tokenizer_config = _optional_json(folder, "tokenizer_config.json")
    return BaseFacts(
        name=name,
        revision=revision,
        config=read_config(folder, present),
        files=tuple(files) or present,
        params=params or count_weights(shapes) or None,
        tensor_names=tuple(shapes),
        chat_template=_chat_template(folder, tokenizer_config),
        tokenizer_config=tokenizer_config,
        tokenizer=_without_vocabulary(_optional_json(folder, "tokenizer.json")) or None,
    )


def open_base(spec: BaseSpec, found: Found) -> ResolvedBase:
    """Check that a folder holds the whole base and nothing unsafe.

    Raises:
        BaseModelError: the first thing that is wrong.
    """
    folder = found.folder
    names = list_names(folder)
    config = _checked_config(spec, folder, names)
    for fault in _faults(spec, folder, names, config):
        raise BaseModelError(fault.code, f"{spec.key} in {folder}: {fault.detail}", hint=fault.hint)
    _all_shapes(folder, names)
    return ResolvedBase(spec=spec, folder=folder, origin=found.origin, config=config)


def list_names(folder: Path) -> tuple[str, ...]:
    """Give the names of the files directly in a folder, sorted. Links count when what they point to is there."""
    try:
        return tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_file()))
    except OSError as exc:
        raise BaseModelError(
            "base.folder-missing",
            f"the model folder {folder} cannot be read: {exc.strerror or exc}",
            hint="Check the path after path: in base_model; it must hold config.json and model.safetensors.",
        ) from exc


def read_config(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """Read ``config.json``.

    Raises:
        BaseModelError: it is missing (an adapter folder is told apart) or cannot be read.
    """
    if "config.json" in names:
        return _read_json(folder / "config.json")
    if "adapter_config.json" in names:
        raise BaseModelError(
            "base.is-adapter",
            f"{folder} holds a LoRA adapter, not a model",
            hint="Name the model the adapter was trained on; it stands in adapter_config.json.",
        )
    raise BaseModelError(
        "base.not-a-model",
        f"{folder} holds no config.json, so it is not a model folder",
        hint="Point path: at the folder that holds config.json, the tokenizer and model.safetensors.",
    )


def _checked_config(spec: BaseSpec, folder: Path, names: Sequence[str]) -> dict[str, Any]:
    config = read_config(folder, names)
    if architecture_of(config) != spec.architecture:
        raise BaseModelError(
            "base.mismatch",
            f"{spec.key} should be of class {spec.architecture}, but {folder} holds "
            f"{architecture_of(config) or 'a model of no stated class'}",
            hint="The files were changed or belong to another model. Remove that folder and run the command again.",
        )
    return config


def _faults(spec: BaseSpec, folder: Path, names: Sequence[str], config: Mapping[str, Any]) -> list[ProbeFault]:
    tokenizer_config = _optional_json(folder, "tokenizer_config.json")
    faults = [weights_fault(names), tokenizer_fault(names), quantised_fault(config)]
    # Rows of the registry were read by people, and load through the library's own classes; for others the request to
    # run code is a reason to stop.
    reviewed = not spec.is_local and row_of_hub_id(spec.hf_id) is not None
    if not reviewed and not spec.trust_remote_code:
        faults.append(remote_code_fault(config, tokenizer_config))
    if spec.modality in ("text", "text-moe"):
        faults.append(chat_template_fault(_chat_template(folder, tokenizer_config)))
    return [fault for fault in faults if fault is not None]


def _all_shapes(folder: Path, names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Read the header of every weight file that a loader would open."""
    if "model.safetensors" in names:
        return read_shapes(folder / "model.safetensors")
    shapes: dict[str, tuple[int, ...]] = {}
    for shard in _shards(folder):
        if shard not in names:
            raise BaseModelError(
                "base.incomplete",
                f"{folder} lacks the weight file {shard!r} that its index lists",
                hint="Run the command again while connected, so that the download is completed.",
            )
        shapes.update(read_shapes(folder / shard))
    return shapes


def _shards(folder: Path) -> list[str]:
    index = folder / "model.safetensors.index.json"
    entries = _read_json(index).get("weight_map")
    names = sorted(set(map(str, entries.values()))) if isinstance(entries, dict) else []
    # A name with a folder in it would let an index open files elsewhere.
    if not names or any(Path(name).name != name or not name.endswith(".safetensors") for name in names):
        raise _unreadable(index, "its weight_map does not list plain names of .safetensors files")
    return names


def _chat_template(folder: Path, tokenizer_config: Mapping[str, Any]) -> str | None:
    separate = folder / "chat_template.jinja"
    if separate.is_file():
        try:
            return separate.read_text(encoding="utf-8")
        except (OSError, ValueError) as exc:
            raise _unreadable(separate, str(exc)) from exc
    template = tokenizer_config.get("chat_template")
    if isinstance(template, list):  # several named templates; the one called default is used
        named = {item.get("name"): item.get("template") for item in template if isinstance(item, dict)}
        template = named.get("default")
    return template if isinstance(template, str) else None


def _without_vocabulary(tokenizer: Mapping[str, Any]) -> dict[str, Any]:
    small = {name: value for name, value in tokenizer.items() if name != "added_tokens"}
    model = small.get("model")
    if isinstance(model, dict):
        small["model"] = {name: value for name, value in model.items() if name not in ("vocab", "merges")}
    return small


def _optional_json(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    return _read_json(path) if path.is_file() else {}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST_JSON:
            raise _unreadable(path, f"it has {path.stat().st_size} bytes")
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as exc:
        raise _unreadable(path, str(exc) or type(exc).__name__) from exc
    if not isinstance(data, dict):
        raise _unreadable(path, "it is not a JSON object")
    return data


def _unreadable(path: Path, why: str) -> BaseModelError:
    return BaseModelError(
        "base.bad-file",
        f"{path} cannot be read: {why[:200]}",
        hint="The file is damaged. Fetch the model again, or repair the file.",
    )
