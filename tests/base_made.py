"""Tiny model folders, made in memory: a two-layer Llama with a byte tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlm.domain.base_models import BaseSpec, ResolvedBase

HIDDEN, LAYERS, VOCABULARY = 16, 2, 260
CHAT_TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
CONFIG: Mapping[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": HIDDEN,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "num_hidden_layers": LAYERS,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 128,
    "tie_word_embeddings": True,
}
PARAMS = VOCABULARY * HIDDEN + HIDDEN + LAYERS * (4 * HIDDEN * HIDDEN + 3 * 32 * HIDDEN + 2 * HIDDEN)


def model_files(**changes: bytes | None) -> dict[str, bytes]:
    """Give a model's files. ``changes`` replaces them by name, ``_`` written for ``.``; None drops one."""
    files = {
        "config.json": as_json(CONFIG),
        "generation_config.json": as_json({"eos_token_id": 258}),
        "model.safetensors": safetensors_bytes(llama_shapes()),
        "tokenizer.json": as_json(tokenizer()),
        "tokenizer_config.json": as_json({"chat_template": CHAT_TEMPLATE, "eos_token": "<|im_end|>"}),
    }
    for name in list(files):
        given = changes.pop(name.replace(".", "_"), b"")
        if given is None:
            del files[name]
        elif given:
            files[name] = given
    assert not changes, changes
    return files


def write_model(folder: Path, files: Mapping[str, bytes] | None = None) -> Path:
    """Write files into a new folder."""
    folder.mkdir(parents=True)
    for name, data in (model_files() if files is None else files).items():
        (folder / name).write_bytes(data)
    return folder


def resolved_base(folder: Path) -> ResolvedBase:
    """Describe a folder that :func:`write_model` filled."""
    spec = BaseSpec(
        key="tiny",
        hf_id="Example/Tiny",
        revision="a" * 40,
        architecture="LlamaForCausalLM",
        params=PARAMS,
        size_gb_fp16=0.001,
        modality="text",
        context_length=128,
        recommended_seq_len=64,
        template="chatml",
        gguf_arch="llama",
        tokenizer_pre="default",
        target_modules=("q_proj", "v_proj"),
        license_spdx="MIT",
        license_url=None,
    )
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return ResolvedBase(spec=spec, folder=folder, origin="hub-cache", config=config, sha256="b" * 64)


def config(**changes: Any) -> bytes:
    """Give ``config.json`` with changed keys; None drops one."""
    return as_json({key: value for key, value in {**CONFIG, **changes}.items() if value is not None})


def llama_shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (VOCABULARY, HIDDEN)}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        shapes |= {
            f"{at}.self_attn.{name}.weight": (HIDDEN, HIDDEN) for name in ("q_proj", "k_proj", "v_proj", "o_proj")
        }
        shapes |= {f"{at}.mlp.{name}.weight": (32, HIDDEN) for name in ("gate_proj", "up_proj")}
        shapes |= {f"{at}.mlp.down_proj.weight": (HIDDEN, 32)}
        shapes |= {f"{at}.{name}.weight": (HIDDEN,) for name in ("input_layernorm", "post_attention_layernorm")}
    return {**shapes, "model.norm.weight": (HIDDEN,)}


def safetensors_bytes(shapes: Mapping[str, tuple[int, ...]]) -> bytes:
    """Give a safetensors file of zeros, float32."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 4
        for side in shape:
            size *= side
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = as_json(header)
    return len(text).to_bytes(8, "little") + text + bytes(end)


def tokenizer() -> dict[str, Any]:
    """Give a ``tokenizer.json`` with one token per byte, the three of the chat dialect and one pair."""
    pieces = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324))]
    special = [(256, "<|endoftext|>"), (257, "<|im_start|>"), (258, "<|im_end|>")]
    vocabulary = {piece: index for index, piece in enumerate([*pieces, *(text for _, text in special)])}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "added_tokens": [{"id": index, "content": text, **flags} for index, text in special],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level],
        },
        "post_processor": None,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": {**vocabulary, "ab": 259}, "merges": [["a", "b"]]},
    }


def as_json(data: object) -> bytes:
    return json.dumps(data).encode()
