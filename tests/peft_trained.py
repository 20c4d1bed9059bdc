"""Adapters that PEFT itself writes, on the tiny models: random numbers where training would have put some; and how far
llama.cpp is from such a model."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlm.domain.base_models import ResolvedBase
from llama_child import LlamaChild

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json")


def peft_adapter(
    base: ResolvedBase,
    folder: Path,
    *,
    rows: int | None = None,
    scale: float = 0.05,
    before: Callable[[Any], None] = lambda model: None,
    save_embedding_layers: Any = False,
    **settings: Any,
) -> Any:
    """Write an adapter with the base's tokenizer into ``folder``; gives the model with the adapter.

    Args:
        rows: grow the vocabulary to this many rows first.
        scale: of what is added to everything that can be trained.
        before: called with the base model.
        settings: of ``LoraConfig``.
    """
    import peft
    import torch

    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PEFT: the library's old names, tied weights, tables that are stored
        torch.manual_seed(17)
        model = load(base)
        if rows:
            model.resize_token_embeddings(rows, mean_resizing=False)
        before(model)
        chosen = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], **settings}
        adapted = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **chosen))
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.data += torch.randn_like(parameter) * scale
        adapted.eval()
        adapted.save_pretrained(str(folder), save_embedding_layers=save_embedding_layers)
    for name in TOKENIZER:
        if (base.folder / name).is_file():
            shutil.copy(base.folder / name, folder / name)
    return adapted


def load(base: ResolvedBase) -> Any:
    """Load the base in 32 bits."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32).eval()


def merged_state(adapted: Any) -> dict[str, Any]:
    """Give the weights after PEFT's own merge, by their names in model folders."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: value.detach().numpy() for name, value in adapted.merge_and_unload().state_dict().items()}


def divergence(model: Any, path: Path, lora: Path | None = None, *, lengths: Sequence[int] = (1, 7, 40)) -> float:
    """Give the mean KL divergence, nats, of llama.cpp's next-token distributions from torch's, for random tokens.

    Args:
        model: the adapted model, or a base.
        path: the GGUF file, to which ``lora`` is applied.
        lengths: tokens of each text.
    """
    import torch

    random, size = np.random.default_rng(5), int(model.get_input_embeddings().weight.shape[0])
    found = []
    with LlamaChild(path, lora=lora) as child:
        for length in lengths:
            ids = random.integers(0, size - 8, length).tolist()
            with torch.no_grad():
                ours = torch.log_softmax(model(torch.tensor([ids])).logits[0, -1].double(), -1).numpy()
            theirs = np.array(child.next_logprobs(ids, vocabulary=len(ours)))
            found.append(float((np.exp(ours) * (ours - theirs)).sum()))
    return float(np.mean(found))
