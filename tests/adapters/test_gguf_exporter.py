"""Whole exports in GGUF: what is in the folder, that it runs as trained, and what happens when it cannot be written."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import attrs
import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from dlm.adapters.ggml import GgmlQuantizer
from dlm.adapters.gguf.checking import read_head
from dlm.adapters.gguf.exporter import GgufExporter
from dlm.adapters.gguf.vocabulary import read_vocabulary
from dlm.adapters.peft_files import PeftFiles
from dlm.domain.base_models import ResolvedBase
from dlm.domain.errors import DiskError, ExportError
from dlm.domain.events import Event, Note
from dlm.domain.quantization import QUANTS
from dlm.ports.exporter import ExporterPort, WeightsJob, WrittenFile
from dlm.testing.exporter_contract import ExporterContract
from dlm.testing.quantizers import CopyingFileQuantizer, RoundingQuantizer
from llama_child import LlamaChild
from peft_trained import divergence, peft_adapter
from tiny_architectures import ARCHITECTURES, tiny_architecture

BOUND = 1e-4
"""Mean KL in nats at F16; an order of magnitude below that of the level, as no number of a tiny model is lost."""

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bases")


def _base(family: str, bases: Path, **options: Any) -> ResolvedBase:
    folder = bases / "-".join([family, *map(str, options.values())])
    base = tiny_architecture(family, folder, **options)
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    return attrs.evolve(base, sha256=digest)


def _job(base: ResolvedBase, adapter: Path, **options: Any) -> WeightsJob:
    return WeightsJob(base=base, adapter=adapter, facts=PeftFiles().facts(adapter), **options)


def _export(exporter: GgufExporter, job: WeightsJob, folder: Path) -> dict[str, Path]:
    """Check and write; gives the files by role, after comparing them with what is said about them."""
    exporter.check(job)
    folder.mkdir()
    files = exporter.write(job, folder)
    for file in files:
        data = (folder / file.path).read_bytes()
        expected = hashlib.sha256(data).hexdigest()
        assert file == WrittenFile(path=file.path, role=file.role, sha256=expected, size_bytes=len(data))
    assert {path.name for path in folder.iterdir()} == {file.path for file in files}
    return {file.role: folder / file.path for file in files}


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("llama3", {"use_dora": True, "target_modules": LINEAR}),
        ("qwen2", {"modules_to_save": ["embed_tokens"]}),
        ("gemma2", {"modules_to_save": ["model.norm"], "target_modules": LINEAR}),
        ("phi3", {"target_modules": ["qkv_proj", "gate_up_proj"], "use_rslora": True}),
        ("olmo2", {"target_modules": LINEAR}),
        ("mixtral", {"target_modules": LINEAR[:4]}),
        ("smollm2", {"target_modules": ["q_proj", "lm_head"]}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_merged_model_runs_as_in_torch(family: str, settings: dict[str, Any], bases: Path, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    base = _base(family, bases)
    model = peft_adapter(base, tmp_path / "adapter", **settings)
    files = _export(GgufExporter(tmp_path), _job(base, tmp_path / "adapter", merged=True), tmp_path / "out")
    assert [path.name for path in files.values()] == ["merged.F16.gguf"]
    kl = divergence(model, files["merged"])
    print(f"{family}, merged: KL {kl:.1e} nats")
    assert kl <= BOUND
    assert not (tmp_path / "cache" / "gguf").exists()


def test_base_and_adapter_come_apart(bases: Path, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    base, exporter = _base("qwen2", bases), GgufExporter(tmp_path / "home")
    models = [peft_adapter(base, tmp_path / f"adapter{number}", scale=0.05 * number) for number in (1, 2)]
    jobs = [_job(base, tmp_path / f"adapter{number}", module="tone") for number in (1, 2)]
    first, second = (_export(exporter, job, tmp_path / f"out{number}") for number, job in enumerate(jobs))
    assert [path.name for path in first.values()] == ["base.F16.gguf", "adapter.gguf"]
    assert first["base"].samefile(second["base"])  # converted once
    fresh = GgufExporter(tmp_path / "other home")
    base_bytes = fresh.check(jobs[1]) - exporter.check(jobs[1])
    assert 0 < base_bytes <= first["base"].stat().st_size
    by_program = attrs.evolve(jobs[1], quant="Q4_K_M")
    direct, by_file = (
        GgufExporter(tmp_path, *ways).check(by_program)
        for ways in (([RoundingQuantizer()],), ((), [CopyingFileQuantizer()]))
    )
    assert by_file - direct == base_bytes  # the 16-bit file in between
    assert divergence(models[0], first["base"], first["adapter"]) <= BOUND
    assert divergence(models[1], first["base"], second["adapter"]) <= BOUND
    head = read_head(first["base"]).values
    assert head["general.name"] == "qwen2"
    assert read_head(first["adapter"]).values["general.name"] == "qwen2 tone"


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("quant", ["Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "BF16"])
def test_every_level_is_written(quant: Any, merged: bool, bases: Path, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    base, exporter = _base("llama3", bases, hidden=256), GgufExporter(tmp_path, [GgmlQuantizer(threads=1)])
    model = peft_adapter(base, tmp_path / "adapter", scale=0.02)
    files = _export(exporter, _job(base, tmp_path / "adapter", quant=quant, merged=merged), tmp_path / "out")
    head = read_head(files["merged" if merged else "base"])
    assert head.values["general.file_type"] == QUANTS[quant].file_type
    kinds = {info.name: info.kind for info, _ in head.tensors}
    assert kinds["blk.0.attn_q.weight"] == {"Q4_K_M": "Q4_K", "Q5_K_M": "Q5_K"}.get(quant, quant)
    # Random weights have none of the structure that makes few bits suffice; the bounds are for trained ones.
    slack = 3 if QUANTS[quant].is_native else 1
    kl = divergence(model, files["merged" if merged else "base"], files.get("adapter"))
    print(f"{quant}, {'merged' if merged else 'apart'}: KL {kl:.1e} nats")
    assert kl <= slack * QUANTS[quant].parity_bound


def test_a_grown_vocabulary_is_merged_with_its_tokens(bases: Path, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    from transformers import AutoTokenizer

    base, adapter = _base("llama3", bases), tmp_path / "adapter"
    tokenizer = AutoTokenizer.from_pretrained(base.folder)
    tokenizer.add_special_tokens({"additional_special_tokens": [f"<|new{number}|>" for number in range(8)]})
    saved = ["embed_tokens", "lm_head"]
    model = peft_adapter(base, adapter, rows=len(tokenizer), modules_to_save=saved)
    tokenizer.save_pretrained(str(adapter))
    exporter = GgufExporter(tmp_path)
    with pytest.raises(ExportError, match="whole") as caught:
        exporter.check(_job(base, adapter))
    assert "--merged" in str(caught.value.hint)
    path = _export(exporter, _job(base, adapter, merged=True), tmp_path / "out")["merged"]
    assert divergence(model, path) <= BOUND
    with LlamaChild(path) as child:
        assert child.token_ids("<|new7|>") == [len(tokenizer) - 1] == tokenizer.convert_tokens_to_ids(["<|new7|>"])


def test_an_output_head_of_its_own_where_runtimes_have_none(bases: Path, tmp_path: Path) -> None:
    base = _base("gemma2", bases)
    peft_adapter(base, tmp_path / "adapter", modules_to_save=["lm_head"])
    with pytest.raises(ExportError, match="its output head is not its embedding table"):
        GgufExporter(tmp_path).check(_job(base, tmp_path / "adapter", merged=True))


def test_tokens_come_from_the_adapters_folder_else_from_the_base(bases: Path, tmp_path: Path) -> None:
    base, adapter = _base("llama3", bases), tmp_path / "adapter"
    peft_adapter(base, adapter)
    exporter = GgufExporter(tmp_path / "home")
    first = _export(exporter, _job(base, adapter), tmp_path / "first")["base"]
    record = json.loads((adapter / "tokenizer.json").read_text())
    record["added_tokens"][0]["content"] = "<|renamed|>"
    (adapter / "tokenizer.json").write_text(json.dumps(record))
    second = _export(exporter, _job(base, adapter), tmp_path / "second")["base"]
    assert not second.samefile(first)
    assert "<|renamed|>" in _values(second)["tokenizer.ggml.tokens"]
    (adapter / "tokenizer.json").unlink()
    assert _export(exporter, _job(base, adapter), tmp_path / "third")["base"].samefile(first)
    (adapter / "tokenizer.json").write_text("{}")
    with pytest.raises(ExportError) as caught:
        exporter.check(_job(base, adapter))
    assert caught.value.code == "export.bad-tokenizer"


def _values(path: Path) -> dict[str, Any]:
    return {key: field.contents() for key, field in gguf.GGUFReader(path).fields.items()}


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_files_say_whether_runtimes_begin_a_text(family: str, bases: Path, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    from transformers import AutoTokenizer

    base = _base(family, bases)
    target = ["qkv_proj"] if family.startswith("phi") else ["q_proj"]
    peft_adapter(base, tmp_path / "adapter", target_modules=target)
    tokenizer = AutoTokenizer.from_pretrained(base.folder)
    says = read_vocabulary(base.folder, base=base.folder).add_bos
    assert says == (tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id])
    if family in ("llama3", "qwen2"):
        path = _export(GgufExporter(tmp_path), _job(base, tmp_path / "adapter"), tmp_path / "out")["base"]
        assert _values(path)["tokenizer.ggml.add_bos_token"] is says


def test_more_tokens_than_rows_are_refused(bases: Path, tmp_path: Path) -> None:
    base, adapter = _base("llama3", bases), tmp_path / "adapter"
    peft_adapter(base, adapter)
    record = json.loads((adapter / "tokenizer.json").read_text())
    added = {**record["added_tokens"][0], "id": base.config["vocab_size"], "content": "<|far|>"}
    record["added_tokens"].append(added)
    (adapter / "tokenizer.json").write_text(json.dumps(record))
    with pytest.raises(ExportError) as caught:
        GgufExporter(tmp_path).check(_job(base, adapter))
    assert caught.value.code == "export.vocabulary"


def test_what_cannot_be_read_or_converted_is_refused_before_anything_is_written(bases: Path, tmp_path: Path) -> None:
    base, adapter = _base("llama3", bases), tmp_path / "adapter"
    peft_adapter(base, adapter)
    exporter, job = GgufExporter(tmp_path), _job(base, adapter)
    odd = attrs.evolve(base, config={**base.config, "architectures": ["CohereForCausalLM"]})
    for wrong, code in (
        (attrs.evolve(job, base=odd), "export.unknown-architecture"),
        (attrs.evolve(job, base=attrs.evolve(base, folder=tmp_path / "none")), "export.bad-weights"),
        (attrs.evolve(job, facts=attrs.evolve(job.facts, nonfinite_tensor="x")), "export.bad-weights"),
        (attrs.evolve(job, facts=attrs.evolve(job.facts, ranks={})), "export.damaged-adapter"),
    ):
        for merged in (False, True):
            with pytest.raises(ExportError) as caught:
                exporter.check(attrs.evolve(wrong, merged=merged))
            assert caught.value.code == code
    assert not (tmp_path / "cache").exists()


def test_where_runtimes_differ_is_said(bases: Path, tmp_path: Path) -> None:
    base = _base("mistral", bases, sliding_window=64)
    peft_adapter(base, tmp_path / "adapter")
    events: list[Event] = []
    (tmp_path / "out").mkdir()
    GgufExporter(tmp_path).write(_job(base, tmp_path / "adapter"), tmp_path / "out", emit=events.append)
    notes = [event.message for event in events if isinstance(event, Note)]
    assert any("64 tokens" in note for note in notes)


class _Contract(ExporterContract):
    merged = False
    sha256: str | None = None

    @pytest.fixture
    def exporter(self, tmp_path_factory: pytest.TempPathFactory) -> ExporterPort:
        return GgufExporter(tmp_path_factory.mktemp("exporter"))

    @pytest.fixture
    def job(self, bases: Path, tmp_path: Path) -> WeightsJob:
        base = attrs.evolve(_base("llama3", bases), sha256=self.sha256)
        peft_adapter(base, tmp_path / "adapter")
        return _job(base, tmp_path / "adapter", merged=self.merged)


class TestApart(_Contract):
    pass


class TestApartFromAKeptBase(_Contract):
    sha256 = "a" * 64


class TestMerged(_Contract):
    merged = True


# Quantisers


def test_without_a_quantiser_the_way_out_is_said(bases: Path, tmp_path: Path) -> None:
    base = _base("llama3", bases, hidden=256)
    peft_adapter(base, tmp_path / "adapter")
    quantizers = [RoundingQuantizer("no ggml here"), RoundingQuantizer()]
    exporter = GgufExporter(tmp_path, quantizers, [CopyingFileQuantizer("no program here")])
    with pytest.raises(ExportError) as caught:
        exporter.check(_job(base, tmp_path / "adapter", quant="Q4_K_M"))
    assert caught.value.code == "export.no-quantizer"
    for part in ("no ggml here", "rounding does not write Q4_K, Q6_K", "no program here"):
        assert part in caught.value.message
    assert "pip install 'dlm[runtime]'" in str(caught.value.hint)
    assert "Q8_0 or BF16 or F16" in str(caught.value.hint)
    for plain in ("Q8_0", "BF16", "F16"):
        exporter.check(_job(base, tmp_path / "adapter", quant=plain))


@pytest.mark.parametrize("kind", ["BF16", "F32"])
def test_a_program_gets_a_16_bit_file_which_is_removed(kind: str, bases: Path, tmp_path: Path) -> None:
    base = _base("llama3", bases, hidden=256)
    if kind == "BF16":
        base = _stored_as_bf16(base, tmp_path / "bf16")
    peft_adapter(base, tmp_path / "adapter")
    program = CopyingFileQuantizer()
    exporter = GgufExporter(tmp_path / "home", [RoundingQuantizer()], [program])
    matrix = tmp_path / "matrix.gguf"
    matrix.write_bytes(b"stands in")
    job = _job(base, tmp_path / "adapter", quant="Q4_K_M", importance=matrix)
    for merged in (False, True):
        files = _export(exporter, attrs.evolve(job, merged=merged), tmp_path / f"out{merged}")
        kinds = {info.kind for info, _ in read_head(files["merged" if merged else "base"]).tensors}
        assert kinds == {"F32", "BF16" if kind == "BF16" else "F16"}  # the stand-in copies
    assert program.asked == [("Q4_K_M", matrix)] * 2
    assert not list((tmp_path / "home" / "cache" / "gguf").glob("*.tmp.*"))


def _stored_as_bf16(base: ResolvedBase, folder: Path) -> ResolvedBase:
    import shutil

    import torch
    from safetensors.torch import load_file as load_torch
    from safetensors.torch import save_file as save_torch

    shutil.copytree(base.folder, folder)
    tensors = {name: value.to(torch.bfloat16) for name, value in load_torch(folder / "model.safetensors").items()}
    save_torch(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return attrs.evolve(base, folder=folder, sha256="e" * 64)


def test_a_program_that_fails_leaves_nothing(bases: Path, tmp_path: Path) -> None:
    base = _base("llama3", bases, hidden=256)
    peft_adapter(base, tmp_path / "adapter")
    exporter = GgufExporter(tmp_path / "home", [], [CopyingFileQuantizer(fails="out of luck")])
    (tmp_path / "out").mkdir()
    for merged in (False, True):
        with pytest.raises(ExportError, match="out of luck"):
            exporter.write(_job(base, tmp_path / "adapter", quant="Q6_K", merged=merged), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    assert [path.suffix for path in (tmp_path / "home" / "cache" / "gguf").iterdir()] == [".lock"]


def _imatrix(base: ResolvedBase, path: Path, *, columns: int = 0) -> Path:
    """Write an importance matrix for every expert's and every plain matrix; all its numbers differ."""
    random, writer = np.random.default_rng(1), gguf.GGUFWriter(path, "")
    writer.add_type("imatrix")
    layers, wide = range(base.config["num_hidden_layers"]), columns or base.config["hidden_size"]
    for name, experts in (("attn_q", 1), ("ffn_up_exps", base.config["num_local_experts"])):
        for layer in layers:
            sums = random.uniform(1, 9, (experts, wide)).astype(np.float32)
            writer.add_tensor(f"blk.{layer}.{name}.weight.in_sum2", sums)
            writer.add_tensor(f"blk.{layer}.{name}.weight.counts", np.full((experts, 1), 2, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


class _Recording(GgmlQuantizer):
    """Remembers the weights that it was given."""

    def __init__(self) -> None:
        super().__init__(threads=1)
        self.seen: set[bytes | None] = set()

    def quantize(self, rows: memoryview, **options: Any) -> memoryview:
        importance = options.get("importance")
        self.seen.add(None if importance is None else bytes(importance))
        return super().quantize(rows, **options)


def test_an_importance_matrix_weighs_each_experts_rows_with_its_own(bases: Path, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    base = _base("mixtral", bases, hidden=256)
    peft_adapter(base, tmp_path / "adapter")
    quantizer = _Recording()
    exporter, job = GgufExporter(tmp_path / "home", [quantizer]), _job(base, tmp_path / "adapter", quant="Q4_K_M")
    matrix = _imatrix(base, tmp_path / "imatrix.gguf")
    plain = _export(exporter, job, tmp_path / "plain")["base"].read_bytes()
    assert quantizer.seen == {None}
    weighed = _export(exporter, attrs.evolve(job, importance=matrix), tmp_path / "weighed")["base"].read_bytes()
    assert weighed != plain
    assert len(quantizer.seen) == 1 + 2 * (1 + 4)  # none; for two layers one of attention and four of experts
    _export(exporter, attrs.evolve(job, quant="Q8_0", importance=tmp_path / "none"), tmp_path / "eight")  # not read
    for wrong in (_imatrix(base, tmp_path / "other.gguf", columns=512), tmp_path / "none"):
        (tmp_path / wrong.stem).mkdir()
        with pytest.raises(ExportError) as caught:
            exporter.write(attrs.evolve(job, importance=wrong), tmp_path / wrong.stem)
        assert caught.value.code == "export.bad-importance"


def test_numbers_that_cannot_be_quantised_are_refused_with_the_tensor_named(bases: Path, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    base = _base("llama3", bases, hidden=256)
    peft_adapter(base, tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = load_file(path)
    for name in tensors:
        if "layers.1" in name and "v_proj" in name:
            tensors[name] = np.full_like(tensors[name], 1e30)
    save_file(tensors, path)
    exporter = GgufExporter(tmp_path / "home", [GgmlQuantizer(threads=1)])
    (tmp_path / "out").mkdir()
    for quant in ("Q4_K_M", "F16", "BF16"):
        with pytest.raises(ExportError, match=r"blk\.1\.attn_v\.weight") as caught:
            exporter.write(_job(base, tmp_path / "adapter", quant=quant, merged=True), tmp_path / "out")
        assert caught.value.code == "export.bad-weights"
    assert list((tmp_path / "out").iterdir()) == []


# The disk, and memory


@pytest.mark.parametrize("merged", [False, True])
def test_a_full_disk_is_said_and_leaves_nothing(
    merged: bool, bases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = _base("llama3", bases)
    peft_adapter(base, tmp_path / "adapter")
    (tmp_path / "out").mkdir()
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10, 9, 1))
    with pytest.raises(DiskError) as caught:
        GgufExporter(tmp_path / "home").write(_job(base, tmp_path / "adapter", merged=merged), tmp_path / "out")
    assert caught.value.code == "disk.full"
    monkeypatch.undo()

    def no_room(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(DiskError):
        GgufExporter(tmp_path / "home").write(_job(base, tmp_path / "adapter", merged=merged), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


_MEASURE = """
import re, sys
from pathlib import Path
sys.path.insert(0, "tests")
from dlm.adapters.gguf.exporter import GgufExporter
from dlm.adapters.peft_files import PeftFiles
from dlm.ports.exporter import WeightsJob
from tiny_architectures import tiny_architecture

home, work = Path(sys.argv[1]), Path(sys.argv[2])
def export(folder):
    base = tiny_architecture("llama3", folder)
    adapter = folder.with_name(folder.name + "-adapter")
    job = WeightsJob(base=base, adapter=adapter, facts=PeftFiles().facts(adapter), quant="Q8_0", merged=True)
    out = work / folder.name
    out.mkdir()
    GgufExporter(home, threads=2).write(job, out)
    return int(re.search("VmHWM:[^0-9]*(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024
small = export(work.with_name("small"))
print(export(work.with_name("large")) - small)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for the highest figure of this program alone")
def test_memory_stays_at_some_pieces_of_rows(bases: Path, tmp_path: Path) -> None:
    """A model of 100 MB, merged: what is needed beyond a tiny one is a part of it."""
    for name, options in (("small", {}), ("large", {"hidden": 512, "intermediate_size": 3072, "num_hidden_layers": 6})):
        base = tiny_architecture("llama3", tmp_path / name, **options)
        peft_adapter(base, tmp_path / f"{name}-adapter", target_modules=LINEAR, use_dora=True)
    assert (tmp_path / "large" / "model.safetensors").stat().st_size > 100e6
    (tmp_path / "work").mkdir()
    command = [sys.executable, "-c", _MEASURE, str(tmp_path / "home"), str(tmp_path / "work")]
    more = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    print(f"{more} MB more than for a tiny model")
    assert more < 32
