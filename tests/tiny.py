"""A two-layer Llama with a byte tokenizer, built on the spot: real library code, milliseconds a step."""

from __future__ import annotations

import json
from pathlib import Path

from dlm.domain.base_models import BaseSpec, ResolvedBase
from dlm.domain.choice import Choice
from dlm.domain.plan import TrainingPlan
from dlm.domain.rows import Row, Turn
from dlm.domain.training import Recipe, TrainingJob

CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_SYSTEM_TEMPLATE = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHAT_TEMPLATE
)


def tiny_base(folder: Path, *, template: str = CHAT_TEMPLATE, layers: int = 2) -> ResolvedBase:
    """Write the model into ``folder`` once and describe it."""
    if not (folder / "config.json").exists():
        _write_tokenizer(folder, template)
        _write_model(folder, layers)
    spec = BaseSpec(
        key=f"path:{folder}",
        hf_id=folder.name,
        revision=None,
        architecture="LlamaForCausalLM",
        params=30_000,
        size_gb_fp16=0.001,
        modality="text",
        context_length=512,
        recommended_seq_len=256,
        template="chatml",
        gguf_arch="llama",
        tokenizer_pre="default",
        target_modules=("q_proj", "k_proj", "v_proj", "o_proj"),
        license_spdx="MIT",
        license_url=None,
    )
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return ResolvedBase(spec=spec, folder=folder, origin="folder", config=config)


def _write_tokenizer(folder: Path, template: str) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: index for index, token in enumerate([*specials, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|im_end|>", unk_token="<|endoftext|>"
    )
    fast.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    fast.chat_template = template
    fast.save_pretrained(str(folder))


def _write_model(folder: Path, layers: int) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=320,
        max_position_embeddings=512,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        tie_word_embeddings=True,
        initializer_range=0.2,  # wide enough for an adapter to get hold of something
    )
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = LlamaForCausalLM(config)
    model.save_pretrained(str(folder))


def because(value: object) -> Choice[object]:
    """A choice whose reason is the test."""
    return Choice(value, "set by the test")


def recipe(**knobs: object) -> Recipe:
    """A recipe for the tiny model; ``knobs`` replace values."""
    values: dict[str, object] = {
        "adapter": "lora",
        "lora_r": 4,
        "lora_alpha": 8,
        "lora_dropout": 0.0,
        "target_modules": "auto",
        "sequence_len": 128,
        "learning_rate": 1e-2,
        "num_epochs": 3,
        "optimizer": "adamw_torch",
        "lr_scheduler": "cosine",
        "warmup_ratio": 0.1,
        "stop_loss": None,
        "batch_rows": 2,
        "rewording": 0.5,
        "prose_every": 1,
        "replay_every": 1,
        "anchor_weight": 1.0,
        "anchor_rows": 2,
        "anchor_bank": 4,
    }
    seed = int(str(knobs.pop("seed", 42)))
    return Recipe(seed=seed, **{name: because(value) for name, value in {**values, **knobs}.items()})  # type: ignore[arg-type]


def plan(**parts: object) -> TrainingPlan:
    """A CPU plan; ``parts`` replace values."""
    values: dict[str, object] = {
        "precision": "fp32",
        "attn_implementation": "sdpa",
        "use_qlora": False,
        "micro_batch_size": 2,
        "grad_accum": 1,
        "gradient_checkpointing": False,
        "sequence_len": 128,
    }
    choices = {name: because(value) for name, value in {**values, **parts}.items()}
    return TrainingPlan(
        quant_compute_dtype=None,
        device="cpu",
        est_peak_vram_gb=0.1,
        est_step_seconds=0.1,
        **choices,  # type: ignore[arg-type]
    )


def rows(count: int = 4) -> tuple[Row, ...]:
    """Some question rows and one of prose."""
    pairs = tuple(
        Row(
            kind="instruction",
            section_id="a" * 16,
            sub=index,
            line=10 + index,
            turns=(Turn("user", f"q{index}"), Turn("assistant", f"answer {index * 7}")),
        )
        for index in range(count)
    )
    prose = Row(kind="prose", section_id="b" * 16, line=3, text="The tide turns at nine. " * 3)
    return (*pairs, prose)


def job(base: ResolvedBase, **changes: object) -> TrainingJob:
    """A small job on ``base``."""
    values: dict[str, object] = {
        "base": base,
        "system_prompt": None,
        "train_rows": rows(),
        "validation_rows": (),
        "recipe": recipe(),
        "plan": plan(),
    }
    return TrainingJob(**{**values, **changes})  # type: ignore[arg-type]
