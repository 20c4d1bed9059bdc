"""A tiny SmolLM2-like GGUF file and a package that pretends to carry it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from base_made import CHAT_TEMPLATE, HIDDEN, LAYERS, VOCABULARY, tokenizer
from dlm.adapters.weight_package import WeightPackage, WeightPackageSource
from dlm.adapters.weight_package.source import GgufFile

HEADS = 2
PACKAGE = WeightPackage(
    distribution="tiny-weights", key="tiny", hf_id="example/tiny", revision="0" * 40, quality="test weights"
)


def weights() -> dict[str, np.ndarray]:
    """Give random weights under the names a trainer knows; bfloat16 holds each value exactly."""
    random = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return random.integers(-8, 8, shape).astype(np.float32) / 16

    tensors = {"model.embed_tokens.weight": draw(VOCABULARY, HIDDEN), "model.norm.weight": draw(HIDDEN)}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            tensors[f"{at}.self_attn.{name}.weight"] = draw(HIDDEN, HIDDEN)
        tensors[f"{at}.mlp.gate_proj.weight"] = draw(32, HIDDEN)
        tensors[f"{at}.mlp.up_proj.weight"] = draw(32, HIDDEN)
        tensors[f"{at}.mlp.down_proj.weight"] = draw(HIDDEN, 32)
        tensors[f"{at}.input_layernorm.weight"] = draw(HIDDEN)
        tensors[f"{at}.post_attention_layernorm.weight"] = draw(HIDDEN)
    return tensors


def write_gguf(path: Path, *, pre: str = "smollm", drop: str = "") -> Path:
    """Write the file as a converter would, query and key rows reordered; ``drop`` leaves one tensor name out."""
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(32)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    made = tokenizer()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(list(made["model"]["vocab"]))
    writer.add_token_types([1] * 256 + [3] * 3 + [1])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(257)
    writer.add_eos_token_id(258)
    writer.add_unk_token_id(256)
    writer.add_pad_token_id(258)
    writer.add_chat_template(CHAT_TEMPLATE)
    for name, values in weights().items():
        if name != drop:
            writer.add_tensor(_gguf_name(name), _reordered(name, values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def source(home: Path, file: Path | None, sha256: str | None = None) -> WeightPackageSource:
    """Give a source for which ``tiny-weights`` is installed when ``file`` is given."""
    found = None if file is None else GgufFile(path=file, sha256=sha256)
    return WeightPackageSource(home=home, packages=(PACKAGE,), locate=lambda _: found)


_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def _gguf_name(name: str) -> str:
    whole = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if name in whole:
        return whole[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{_NAMES[rest.removesuffix('.weight')]}.weight"


def _reordered(name: str, values: np.ndarray) -> np.ndarray:
    """Row i of each head's first half goes before row i of its second half."""
    if "q_proj" not in name and "k_proj" not in name:
        return values
    half = HIDDEN // HEADS // 2
    order = [head * 2 * half + i + part * half for head in range(HEADS) for i in range(half) for part in (0, 1)]
    return np.ascontiguousarray(values[order])
