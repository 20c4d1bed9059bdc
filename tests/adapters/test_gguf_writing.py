"""Writing a model: what is in the file, that memory stays small, and what happens when it cannot be written."""

from __future__ import annotations

import shutil
import tracemalloc
from collections import namedtuple
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from dlm.adapters.gguf.architectures import architecture_of
from dlm.adapters.gguf.architectures.architecture import Architecture
from dlm.adapters.gguf.checking import check_file, read_head
from dlm.adapters.gguf.container import TensorInfo, write_gguf
from dlm.adapters.gguf.encoding import encode_plain
from dlm.adapters.gguf.entries import Entry
from dlm.adapters.gguf.planning import PlannedTensor, plan_tensors, quant_types
from dlm.adapters.gguf.vocabulary import Vocabulary, read_vocabulary
from dlm.adapters.gguf.weights import SafetensorsWeights
from dlm.adapters.gguf.writing import STAGE, About, write_model
from dlm.domain.errors import DiskError, DlmError, ExportError
from dlm.domain.events import Event, Progress
from dlm.domain.quantization import GgmlType
from gguf_made import write_base
from tiny_architectures import tiny_architecture

Floats = np.ndarray[Any, np.dtype[np.float32]]


def _facts(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a file with the official reader: values by key, tensors by name."""
    reader = gguf.GGUFReader(path)
    return {key: field.contents() for key, field in reader.fields.items()}, {item.name: item for item in reader.tensors}


def test_the_official_reader_finds_everything_in_its_place(tmp_path: Path) -> None:
    base = tiny_architecture("mixtral", tmp_path / "base")
    path = write_base(base, tmp_path / "model.gguf")
    values, tensors = _facts(path)
    weights = SafetensorsWeights(base.folder)
    assert values["general.architecture"] == "llama"
    assert values["general.license"] == "MIT"
    assert values["general.base_model.0.name"] == "base"
    assert (values["llama.expert_count"], values["llama.expert_used_count"]) == (4, 2)
    assert values["llama.vocab_size"] == len(values["tokenizer.ggml.tokens"]) == base.config["vocab_size"]
    stack = tensors["blk.1.ffn_down_exps.weight"]
    assert stack.shape.tolist() == [128, 64, 4]  # innermost first
    expert = weights.read("model.layers.1.block_sparse_moe.experts.2.w2.weight")
    assert (stack.data[2] == expert.astype(np.float16)).all()
    assert tensors["blk.0.ffn_gate_inp.weight"].tensor_type == gguf.GGMLQuantizationType.F32
    assert tensors["blk.0.attn_norm.weight"].tensor_type == gguf.GGMLQuantizationType.F32
    assert next(iter(tensors)) == "token_embd.weight"
    assert list(tensors)[-1] == "output_norm.weight"
    assert not list(tmp_path.glob("*.tmp.*"))


def test_our_reader_finds_what_the_official_one_does(tmp_path: Path) -> None:
    path = write_base(tiny_architecture("phi3", tmp_path / "base"), tmp_path / "model.gguf")
    values, tensors = _facts(path)
    head = read_head(path)
    assert {info.name: start for info, start in head.tensors} == {
        name: item.data_offset for name, item in tensors.items()
    }
    for key, value in head.values.items():
        assert values[key] == pytest.approx(value) if isinstance(value, float) else values[key] == value
    assert head.lengths == {key: len(value) for key, value in values.items() if isinstance(value, list)}


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    base = tiny_architecture("gemma2", tmp_path / "base")
    first = write_base(base, tmp_path / "a.gguf", kind="Q8_0", threads=1)
    second = write_base(base, tmp_path / "b.gguf", kind="Q8_0", threads=3)
    assert first.read_bytes() == second.read_bytes()


def test_progress_counts_bytes(tmp_path: Path) -> None:
    events: list[Event] = []
    base = tiny_architecture("qwen2", tmp_path / "base")
    write_base(base, tmp_path / "model.gguf", emit=events.append)
    progress = [event for event in events if isinstance(event, Progress)]
    assert {event.stage for event in progress} == {STAGE}
    done = [event.done for event in progress]
    assert done == sorted(done)
    assert done[-1] == progress[0].total


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0"])
@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e3])
def test_numbers_are_stored_as_the_official_package_does(kind: GgmlType, scale: float) -> None:
    rng = np.random.default_rng(3)
    values = (rng.standard_normal((9, 64)) * scale).astype(np.float32)
    values[2] = 0
    values[3, :32] = np.arange(-16, 16, dtype=np.float32) / 2 * scale  # halves, which round away from 0
    tensor = PlannedTensor(name="w", shape=values.shape, sources=("w",))
    expected = gguf.quants.quantize(values, gguf.GGMLQuantizationType[kind])
    assert bytes(encode_plain(tensor, kind, values)) == expected.tobytes()


def test_numbers_too_small_for_a_scale_become_zero() -> None:
    values = np.full((1, 32), 1e-42, np.float32)
    assert bytes(encode_plain(PlannedTensor(name="w", shape=(1, 32)), "Q8_0", values)) == bytes(34)


@pytest.mark.parametrize(
    ("bad", "code"), [(7e4, "export.half-overflow"), (np.inf, "export.bad-weights"), (np.nan, "export.bad-weights")]
)
def test_what_cannot_be_stored_is_refused_with_the_tensor_named(bad: float, code: str) -> None:
    values = np.zeros((2, 32), np.float32)
    values[1, 5] = bad
    with pytest.raises(ExportError, match=r"blk\.0\.ffn_up") as caught:
        encode_plain(PlannedTensor(name="blk.0.ffn_up.weight", shape=values.shape), "F16", values)
    assert caught.value.code == code
    if bad == 7e4:
        for kind in ("BF16", "Q8_0"):
            assert encode_plain(PlannedTensor(name="w", shape=values.shape), kind, values)
        with pytest.raises(ExportError, match="too large for Q8_0"):
            encode_plain(PlannedTensor(name="w", shape=values.shape), "Q8_0", values * 1000)


class _Large:
    """A model whose numbers are made when they are asked for: 16 layers, the largest tensor 4 MB of float32."""

    def __init__(self, layers: int) -> None:
        self._shapes: dict[str, tuple[int, ...]] = {
            "model.embed_tokens.weight": (4096, 256),
            "model.norm.weight": (256,),
        }
        for layer in range(layers):
            at = f"model.layers.{layer}"
            self._shapes |= {f"{at}.self_attn.{name}_proj.weight": (256, 256) for name in "qkvo"}
            self._shapes |= {f"{at}.mlp.{name}_proj.weight": (4096, 256) for name in ("gate", "up")}
            self._shapes |= {f"{at}.mlp.down_proj.weight": (256, 4096)}
            self._shapes |= {f"{at}.{name}_layernorm.weight": (256,) for name in ("input", "post_attention")}

    def names(self) -> tuple[str, ...]:
        return tuple(self._shapes)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._shapes[name]

    def dtype(self, name: str) -> str:
        return "F32"

    def read(self, name: str, rows: slice | None = None) -> Floats:
        shape = self._shapes[name]
        rows = rows or slice(0, shape[0])
        return np.full((rows.stop - rows.start, *shape[1:]), 0.5, np.float32)


_CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 4096,
    "num_hidden_layers": 16,
    "num_attention_heads": 4,
    "vocab_size": 4096,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
}
_VOCABULARY = Vocabulary(model="gpt2", pre="gpt-2", tokens=("a", "b"), kinds=(1, 1), merges=("a b",))


def _write_large(into: Path, weights: Any, **options: Any) -> Architecture:
    family = architecture_of({**_CONFIG, **options.pop("config", {})})
    types = quant_types(plan_tensors(weights, family), family, options.pop("quant", "F16"))
    about = About(name="large", file_type=1)
    write_model(weights, family, options.pop("vocabulary", _VOCABULARY), into, about=about, types=types, **options)
    return family


@pytest.mark.parametrize("quant", ["F16", "Q8_0"])
def test_memory_stays_below_that_of_two_tensors(quant: str, tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        _write_large(tmp_path / "model.gguf", _Large(16), quant=quant, threads=2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    size = (tmp_path / "model.gguf").stat().st_size
    largest = 4096 * 256 * 4
    assert size > 12 * largest
    assert peak < 3 * largest


def test_weights_that_do_not_fit_together_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    into = tmp_path / "model.gguf"
    missing = _Large(16)
    del missing._shapes["model.layers.7.mlp.up_proj.weight"]
    for weights, why in (
        (missing, r"layer 7 has no ffn_up\.weight"),
        (_Large(15), "layer 15 has no"),
        (_Large(17), "layers.16"),
    ):
        with pytest.raises(ExportError, match=why):
            _write_large(into, weights)
    with pytest.raises(ExportError, match=r"lm_head\.weight is missing"):
        _write_large(into, _Large(16), config={"tie_word_embeddings": False})
    odd = _Large(16)
    odd._shapes["model.layers.0.self_attn.q_proj.weight"] = (250, 256)
    with pytest.raises(ExportError, match="q_proj"):
        _write_large(into, odd)
    assert list(tmp_path.iterdir()) == []


def test_more_tokens_than_rows_are_refused(tmp_path: Path) -> None:
    many = Vocabulary(model="gpt2", pre="gpt-2", tokens=tuple(str(index) for index in range(4097)), kinds=(1,) * 4097)
    with pytest.raises(ExportError, match="4096 rows") as caught:
        _write_large(tmp_path / "model.gguf", _Large(16), vocabulary=many)
    assert caught.value.subject == "preflight[gguf_vocab]"


def test_a_full_disk_is_noticed_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 9, 1))
    with pytest.raises(DiskError, match="takes 16 MB") as caught:
        _write_large(tmp_path / "model.gguf", _Large(2), config={"num_hidden_layers": 2}, quant="F16")
    assert caught.value.code == "disk.full"
    assert list(tmp_path.iterdir()) == []


def test_an_error_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    into = tmp_path / "model.gguf"
    into.write_bytes(b"old")

    def encode(tensor: PlannedTensor, kind: GgmlType, values: Floats, *, matrix: int = 0) -> bytes:
        if tensor.name.startswith("blk.3"):
            raise ExportError("export.bad-weights", "no")
        return bytes(encode_plain(tensor, kind, values))

    with pytest.raises(ExportError, match="no"):
        _write_large(into, _Large(16), encode=encode)
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]
    assert into.read_bytes() == b"old"


def test_a_quantiser_is_told_which_expert_rows_belong_to(tmp_path: Path) -> None:
    seen: set[tuple[str, int]] = set()

    def encode(tensor: PlannedTensor, kind: GgmlType, values: Floats, *, matrix: int = 0) -> Any:
        seen.add((tensor.name, matrix))
        return encode_plain(tensor, kind, values)

    write_base(tiny_architecture("mixtral", tmp_path / "base"), tmp_path / "model.gguf", encode=encode)
    assert {matrix for name, matrix in seen if name == "blk.0.ffn_up_exps.weight"} == {0, 1, 2, 3}
    assert {matrix for name, matrix in seen if "exps" not in name} == {0}


INFOS = (TensorInfo("a", (2, 32), "F16"), TensorInfo("b", (3,), "F32"))


def _small(path: Path) -> Path:
    entries = (Entry("general.architecture", "str", "x"), Entry("tokenizer.ggml.tokens", "str", ("a", "b")))
    write_gguf(
        path, entries, INFOS, lambda info: [np.ones(info.shape, {"F16": "<f2", "F32": "<f4"}[info.kind]).tobytes()]
    )
    return path


def test_a_tensor_of_another_length_than_announced_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a has 3 bytes"):
        write_gguf(tmp_path / "x.gguf", (), INFOS, lambda info: [b"123"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", [0, 3, 20, 90, -1, -12, -100])
def test_a_file_that_was_cut_off_is_noticed(length: int, tmp_path: Path) -> None:
    path = _small(tmp_path / "x.gguf")
    check_file(path, INFOS, tokens=2)
    data = path.read_bytes()
    path.write_bytes(data[: length - 20] if length < 0 else data[:length])  # the last 20 bytes are padding
    with pytest.raises(ExportError) as caught:
        check_file(path, INFOS, tokens=2)
    assert caught.value.code == "export.self-check"


def test_a_file_with_something_else_in_it_is_noticed(tmp_path: Path) -> None:
    path = _small(tmp_path / "x.gguf")
    for tensors, tokens in ((INFOS[:1], 2), (INFOS, 3)):
        with pytest.raises(ExportError):
            check_file(path, tensors, tokens=tokens)
    data = bytearray(path.read_bytes())
    (_, start), _ = read_head(path).tensors
    data[start : start + 2] = b"\x00\x7e"  # a NaN in 16 bits
    path.write_bytes(data)
    with pytest.raises(DlmError, match="holds numbers that are none"):
        check_file(path, INFOS, tokens=2)
    with pytest.raises(ExportError):
        read_head(tmp_path / "missing.gguf")


def test_names_make_llama_cpp_treat_blanks_as_the_tokenizer_does(tmp_path: Path) -> None:
    named = {}
    for family, name in (("phi3", "mini"), ("phi3", "Phi-3.5-mini"), ("phi4mini", "my-Phi3-like"), ("qwen2", "mini")):
        base = tiny_architecture(family, tmp_path / family)
        weights, architecture = SafetensorsWeights(base.folder), architecture_of(base.config)
        tensors = plan_tensors(weights, architecture)
        path = tmp_path / "model.gguf"
        about = About(name=name, file_type=1)
        types = quant_types(tensors, architecture, "F16")
        write_model(
            weights, architecture, read_vocabulary(base.folder, base=base.folder), path, about=about, types=types
        )
        named[family, name] = read_head(path).values["general.name"]
    assert named == {
        ("phi3", "mini"): "mini (phi-3)",
        ("phi3", "Phi-3.5-mini"): "Phi-3.5-mini",
        ("phi4mini", "my-Phi3-like"): "my-phi 3-like",
        ("qwen2", "mini"): "mini",
    }
