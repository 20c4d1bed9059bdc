"""Adapter folders made on the spot, without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

Tensors = dict[str, NDArray[Any]]

PREFIX = "base_model.model."
Q, V = "model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.v_proj"
SIDES: Mapping[str, tuple[int, int]] = {Q: (12, 16), V: (12, 6)}
"""Inputs and outputs of the modules that the made adapters change."""


def lora_tensors(ranks: Mapping[str, int], *, seed: int = 0, dora: bool = False) -> Tensors:
    """Give random factors for modules with these ranks, float32."""
    rng = np.random.default_rng(seed)
    tensors: Tensors = {}
    for module, rank in ranks.items():
        inputs, outputs = SIDES[module]
        tensors[f"{PREFIX}{module}.lora_A.weight"] = rng.normal(size=(rank, inputs)).astype(np.float32)
        tensors[f"{PREFIX}{module}.lora_B.weight"] = rng.normal(size=(outputs, rank)).astype(np.float32)
        if dora:
            tensors[f"{PREFIX}{module}.lora_magnitude_vector"] = rng.uniform(1, 2, size=outputs).astype(np.float32)
    return tensors


def write_adapter(
    folder: Path,
    *,
    ranks: Mapping[str, int] | None = None,
    tensors: Tensors | None = None,
    seed: int = 0,
    use_qlora: bool | None = False,
    **settings: object,
) -> Path:
    """Write an adapter of rank 4 with a tokenizer of 32 ids. ``settings`` replace values of the configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    ranks = {Q: 4, V: 4} if ranks is None else ranks
    config: dict[str, object] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "example/tiny",
        "r": 4,
        "lora_alpha": 8,
        "target_modules": ["q_proj", "v_proj"],
        "bias": "none",
        **settings,
    }
    as_file(folder / "adapter_config.json", config)
    if tensors is None:
        tensors = lora_tensors(ranks, seed=seed, dora=bool(settings.get("use_dora")))
    save_file(tensors, folder / "adapter_model.safetensors")
    write_tokenizer(folder)
    if use_qlora is not None:
        as_file(folder / "training_run.json", {"use_qlora": use_qlora})
    (folder / "training_state.safetensors").write_bytes(b"moments of the optimizer")
    return folder


def write_tokenizer(folder: Path) -> None:
    """Write the files of a tokenizer with 30 ids in its vocabulary and two added ones, 29 and 31."""
    vocabulary = {f"t{number}": number for number in range(30)}
    added = [{"id": 29, "content": "t29"}, {"id": 31, "content": "<end>"}]
    as_file(folder / "tokenizer.json", {"model": {"type": "BPE", "vocab": vocabulary}, "added_tokens": added})
    as_file(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "vocab_size": 30})
    (folder / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")


def as_file(path: Path, value: object) -> None:
    """Write JSON."""
    path.write_text(json.dumps(value), encoding="utf-8")


def dense(folder: Path) -> dict[str, NDArray[Any]]:
    """Give ΔW of each module, in float64, by the plain rule: alpha over rank, times B·A."""
    from safetensors.numpy import load_file

    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    tensors = load_file(folder / "adapter_model.safetensors")
    changes = {}
    for name, a in tensors.items():
        if name.endswith(".lora_A.weight"):
            module = name.removeprefix(PREFIX).removesuffix(".lora_A.weight")
            b = tensors[f"{PREFIX}{module}.lora_B.weight"]
            rank = a.shape[0]
            alpha = config.get("alpha_pattern", {}).get(module, config["lora_alpha"])
            scaling = alpha / (rank**0.5 if config.get("use_rslora") else rank)
            changes[module] = scaling * b.astype(np.float64) @ a.astype(np.float64)
    return changes
