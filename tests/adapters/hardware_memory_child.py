"""Run LoRA training steps of one shape in this process and print the peak memory and the time as JSON.

    python hardware_memory_child.py '{"hidden_size": 576, "layers": 30, ...}'

``train_steps`` is the part to exchange for another trainer: everything else only builds the model and reads the peak.
Started as a fresh process by the test, because a peak cannot be taken back.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from dlm.domain.memory import LOGIT_CHUNK_TOKENS


def peak_rss_bytes() -> int:
    """Give the peak of this program.

    ``VmHWM`` where it exists: ``ru_maxrss`` on Linux survives ``exec`` and would show the peak of the parent.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def build_model(case: dict[str, Any]) -> Any:
    """Give a Llama of the wanted shape with random weights and a LoRA adapter on all linear layers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, LlamaConfig

    config = LlamaConfig(
        hidden_size=case["hidden_size"],
        num_hidden_layers=case["layers"],
        num_attention_heads=case["heads"],
        num_key_value_heads=case["kv_heads"],
        intermediate_size=case["intermediate_size"],
        vocab_size=case["vocab_size"],
        tie_word_embeddings=case["tied_embeddings"],
        use_cache=False,
    )
    dtype = torch.bfloat16 if case["precision"] == "bf16" else torch.float32
    base = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa")
    if case["checkpointing"]:
        base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    lora = LoraConfig(
        r=case["r"], target_modules="all-linear", lora_dropout=case.get("dropout", 0.0), use_dora=case["kind"] == "dora"
    )
    model = get_peft_model(base, lora)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model.train()


def chunked_gradient(hidden: Any, head: Any, labels: Any) -> Any:
    """Give the gradient of the mean cross entropy at ``hidden``; the logits of one chunk at a time are in memory."""
    import torch

    gradient = torch.empty_like(hidden)
    for start in range(0, len(labels), LOGIT_CHUNK_TOKENS):
        part = slice(start, start + LOGIT_CHUNK_TOKENS)
        leaf = hidden[part].detach().requires_grad_(True)
        loss = torch.nn.functional.cross_entropy(head(leaf).float(), labels[part], reduction="sum") / len(labels)
        (gradient[part],) = torch.autograd.grad(loss, leaf)
    return gradient


def train_steps(model: Any, case: dict[str, Any]) -> list[float]:
    """Run optimiser steps of one micro batch each and give the seconds of each step."""
    import torch

    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, fused=True)
    inner = model.get_base_model()
    tokens = torch.randint(0, case["vocab_size"], (case["micro_batch"], case["seq_len"]))
    mask = torch.ones_like(tokens)
    seconds = []
    for _ in range(case.get("steps", 2)):
        began = time.perf_counter()
        hidden = inner.model(input_ids=tokens, attention_mask=mask, use_cache=False).last_hidden_state
        supervised = hidden[:, :-1].flatten(0, 1)
        supervised.backward(chunked_gradient(supervised, inner.lm_head, tokens[:, 1:].flatten()))
        torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - began)
    return seconds


def main() -> None:
    case = json.loads(sys.argv[1])
    import torch

    torch.manual_seed(0)
    if "threads" in case:
        torch.set_num_threads(case["threads"])
    model = build_model(case)
    loaded = peak_rss_bytes()
    seconds = train_steps(model, case)
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters()) - trainable
    result = {
        "loaded_bytes": loaded, "peak_bytes": peak_rss_bytes(), "step_seconds": min(seconds),
        "trainable_params": trainable, "params": total,
    }  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
