"""Adapters with random factors on real bases, saved by the library itself."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dlm.domain.base_models import ResolvedBase


def random_adapter(
    base: ResolvedBase,
    folder: Path,
    *,
    seed: int = 0,
    strength: float = 0.3,
    template: str | None = None,
    more_rows: int = 0,
    **settings: Any,
) -> Path:
    """Write a LoRA of rank 4 on all linear layers.

    Args:
        strength: standard deviation of the change against that of the weights it is added to.
        template: chat template of a tokenizer that is saved beside it; None for no tokenizer.
        more_rows: tokens by which the vocabulary grows.
        settings: of PEFT's configuration.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from peft.utils import ModulesToSaveWrapper
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from dlm.adapters.torch.bases import quiet_loading
    from dlm.adapters.torch.lora import linear_targets, save_adapter

    with quiet_loading():
        model = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32)
        model.resize_token_embeddings(model.get_input_embeddings().num_embeddings + more_rows, mean_resizing=False)
    values = {"r": 4, "lora_alpha": 8, "target_modules": list(linear_targets(model)), **settings}
    with _quiet_peft():
        adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **values))
    random = torch.Generator().manual_seed(seed)
    for module in adapted.modules():
        if hasattr(module, "lora_B") and "default" in module.lora_B:
            _fill(module, random, strength)
        if isinstance(module, ModulesToSaveWrapper):
            weight = module.modules_to_save["default"].weight.data
            weight.add_(strength * weight.std() * torch.randn(weight.shape, generator=random))
    save_adapter(adapted, folder)
    if template is not None:
        tokenizer = AutoTokenizer.from_pretrained(base.folder)
        tokenizer.chat_template = template
        tokenizer.save_pretrained(str(folder))
    return folder


def _fill(module: Any, random: Any, strength: float) -> None:
    import torch

    a, b = module.lora_A["default"].weight.data, module.lora_B["default"].weight.data
    a.copy_(torch.randn(a.shape, generator=random))
    b.copy_(torch.randn(b.shape, generator=random))
    change = module.scaling["default"] * (b @ a)
    b.mul_(strength * module.get_base_layer().weight.std() / change.std())


def scaled(folder: Path, into: Path, factor: float) -> Path:
    """Write a copy of an adapter whose change is ``factor`` times as large."""
    into.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        (into / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    config["lora_alpha"] *= factor
    (into / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return into


@contextmanager
def _quiet_peft() -> Iterator[None]:
    """PEFT asks the model library by a name that the latter calls deprecated."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        yield
