"""The adapter on the model: where LoRA goes, how it starts, how it is saved."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlm.domain.errors import ConfigError, InferenceError
from dlm.domain.text_files import write_atomic
from dlm.domain.training import Recipe

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel

_ROUTERS = ("gate", "router")
"""Leaf names of mixture-of-experts routers: they choose experts and stay frozen."""


def linear_targets(model: PreTrainedModel) -> tuple[str, ...]:
    """Give the leaf names of all linear layers except the output head and routers, sorted.

    The head is left out because llama.cpp and vLLM cannot load a LoRA on it.
    """
    import torch

    head = model.get_output_embeddings()
    names = {
        name.rsplit(".", 1)[-1]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    return tuple(sorted(names - set(_ROUTERS)))


def resolve_targets(model: PreTrainedModel, wanted: str | tuple[str, ...]) -> tuple[str, ...]:
    """Give the target names a recipe means on this model.

    Raises:
        ConfigError: a listed name matches no linear layer.
    """
    available = linear_targets(model)
    if wanted == "auto":
        return available
    unknown = [name for name in wanted if name.rsplit(".", 1)[-1] not in available]
    if unknown:
        raise ConfigError(
            "config.unknown-target-module",
            f"training.target_modules names {', '.join(unknown)}, which match no linear layer of this base",
            hint=f"Use auto, or some of: {', '.join(available)}.",
        )
    return tuple(sorted(wanted))


def attach_adapter(model: PreTrainedModel, recipe: Recipe, base_name: str, revision: str | None) -> PeftModel:
    """Put a fresh adapter on a base: A is random (Kaiming, from torch's seeded generator), B is zero, both fp32."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=recipe.lora_r.value,
        lora_alpha=recipe.lora_alpha.value,
        lora_dropout=recipe.lora_dropout.value,
        target_modules=list(resolve_targets(model, recipe.target_modules.value)),
        use_dora=recipe.adapter.value == "dora",
        bias="none",
    )
    with _peft_on_newer_transformers():
        adapted = get_peft_model(model, config, autocast_adapter_dtype=True)
    adapted.peft_config["default"].base_model_name_or_path = base_name
    adapted.peft_config["default"].revision = revision
    return adapted


def load_adapter(model: PreTrainedModel, folder: Path, *, trainable: bool) -> PeftModel:
    """Put a saved adapter on a base.

    Raises:
        InferenceError: the folder lacks a file or its settings are not those of a LoRA. Other formats of weights, which
            PEFT would look for next, are never opened.
    """
    from peft import PeftModel

    _check_adapter(folder)

    with _peft_on_newer_transformers():
        return PeftModel.from_pretrained(model, str(folder), is_trainable=trainable, autocast_adapter_dtype=trainable)


def _check_adapter(folder: Path) -> None:
    try:
        config = json.loads((folder / "adapter_config.json").read_bytes())
        whole = (folder / "adapter_model.safetensors").is_file()
    except (OSError, ValueError) as exc:
        raise _broken(folder, f"adapter_config.json cannot be read ({exc})") from exc
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise _broken(folder, "adapter_config.json does not describe a LoRA")
    if not whole:
        raise _broken(folder, "adapter_model.safetensors is missing")


def _broken(folder: Path, why: str) -> InferenceError:
    return InferenceError("infer.broken-adapter", f"{folder}: {why}", hint="Train again; earlier versions are kept.")


def trainable_parameters(adapted: PeftModel) -> dict[str, torch.nn.Parameter]:
    """Give the adapter's parameters by name, in a fixed order."""
    return {name: p for name, p in sorted(adapted.named_parameters()) if p.requires_grad}


def save_adapter(adapted: PeftModel, folder: Path) -> None:
    """Write ``adapter_model.safetensors`` and ``adapter_config.json`` as PEFT does, byte for byte the same each time.

    PEFT keeps the target names in a set and writes them in the set's order; sorted, two equal runs give equal files.
    """
    adapted.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for key, value in config.items():
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            config[key] = sorted(value)
    write_atomic(path, (json.dumps(config, indent=2, sort_keys=True) + "\n").encode())


@contextmanager
def _peft_on_newer_transformers() -> Iterator[None]:
    """PEFT 0.21 asks transformers 5.23 by a name that the latter calls deprecated; users can do nothing about it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        yield
