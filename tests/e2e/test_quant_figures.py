"""What each level costs on a real base whose rows fit K-quant blocks.

Two figures for each file, the mean divergence of the next token's distribution from the model in torch, KL in nats.
*File* is what the file itself is off by: its weights, computed with in 32 bits. *llama.cpp* is what a person gets: at
levels with a K it rounds the inputs of every layer to 8 bits as well, in blocks of 256, which with exact weights
costs a model as small as this one about 0.016. So at Q6_K only the file is held to the level's bound.

The importance matrix is measured over other documents than those that are asked about.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from dlm.adapters.gguf.architectures import architecture_of
from dlm.adapters.hub import HubModelLookup
from dlm.adapters.registry import ChainRegistry
from dlm.adapters.servers import LlamaCppRuntime
from dlm.adapters.torch.bases import TorchBases
from dlm.adapters.torch.imatrix import TorchImatrix
from dlm.adapters.weight_package import WeightPackageSource
from dlm.domain.base_models import ResolvedBase
from dlm.domain.base_rows import find_base
from dlm.domain.document import Document
from dlm.domain.events import ignore
from dlm.domain.importance import CHUNK_SIZE, CHUNKS, MIN_CHUNKS, calibration_text
from dlm.domain.ordinary import PROBES
from dlm.domain.quantization import QUANTS, QuantName
from dlm.ports.runtime import RuntimeJob
from gguf_levels import write_level
from tiny_plans import inference_plan
from widened import widened, widened_config, write_widened

pytestmark = pytest.mark.model

ROOT = Path(__file__).parents[2]
CALIBRATED_ON = ("tests/learning/dev/*.dlm", "examples/*.dlm")
MEASURED_ON = "tests/learning/report/*.dlm"
PIECES, PIECE = 10, 100
"""How many pieces of text are read, and their tokens; four of each are predicted from all before."""

Distributions = list["np.ndarray[Any, np.dtype[np.float64]]"]


@attrs.frozen
class Asked:
    """Token ids, and the positions after which the next token is asked for."""

    ids: list[int]
    after: tuple[int, ...]


@attrs.frozen(kw_only=True)
class Level:
    """A level, and the most nats that its file, and llama.cpp running it, may be off by."""

    quant: QuantName
    weighed: bool
    file: float = math.inf
    runtime: float = math.inf

    @property
    def name(self) -> str:
        return self.quant + (" with matrix" if self.weighed else "")


LEVELS = (
    Level(quant="Q6_K", weighed=True, file=QUANTS["Q6_K"].parity_bound, runtime=0.05),
    Level(quant="Q4_K_M", weighed=False, file=0.25),
    Level(quant="Q4_K_M", weighed=True, file=QUANTS["Q4_K_M"].parity_bound, runtime=QUANTS["Q4_K_M"].parity_bound),
)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> ResolvedBase:
    home = tmp_path_factory.mktemp("unpacked")
    hub = HubModelLookup(home, {"HF_HUB_OFFLINE": "1"})
    return ChainRegistry(sources=(WeightPackageSource(home=home),), hub=hub, home=home).fetch(find_base("smollm2-135m"))


def test_the_wide_base_computes_what_the_narrow_one_computes(narrow: ResolvedBase) -> None:
    """Four of its layers, in which all kinds of tensors are."""
    import torch
    from safetensors.torch import load_file

    weights = {
        name: values.float()
        for name, values in load_file(narrow.folder / "model.safetensors").items()
        if "layers" not in name or int(name.split(".")[2]) < 4
    }
    ids = torch.arange(100, 164)[None]
    expected = _logits({**narrow.config, "num_hidden_layers": 4}, weights, ids)
    found = _logits({**widened_config(narrow.config), "num_hidden_layers": 4}, widened(weights), ids)
    assert float((found - expected).abs().max()) <= 1e-4


def _logits(config: dict[str, Any], weights: dict[str, Any], ids: Any) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(LlamaConfig(**{**config, "torch_dtype": "float32"})).eval()
    model.load_state_dict({**weights, "lm_head.weight": weights["model.embed_tokens.weight"]})
    with torch.inference_mode():
        return model(ids).logits


def test_the_figures_of_the_levels(narrow: ResolvedBase, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    base = write_widened(narrow, tmp_path / "wide")
    matrix, path = tmp_path / "imatrix.gguf", tmp_path / "level.gguf"
    _collect(base, matrix)
    model, asked = _loaded(base)
    expected = _in_torch(model, asked)
    found = {}
    for level in LEVELS:
        write_level(base.folder, base.config, path, level.quant, matrix if level.weighed else None)
        _take_weights(model, base, path)
        file = _divergence(expected, _in_torch(model, asked))
        runtime = _divergence(expected, _in_llama_cpp(path, asked)) if level.weighed else math.nan
        found[level] = file, runtime
        print(f"{level.name:<19} {path.stat().st_size / 1e6:4.0f} MB  file {file:.4f}  llama.cpp {runtime:.4f} nats")
    assert [level.name for level, (file, _) in found.items() if file > level.file] == []
    assert [level.name for level, (_, runtime) in found.items() if runtime > level.runtime] == []
    _, static, weighed = (file for file, _ in found.values())
    assert weighed < 0.75 * static, "the matrix should help"


def _collect(base: ResolvedBase, into: Path) -> None:
    text = calibration_text(_contents(*CALIBRATED_ON))
    collector = TorchImatrix(TorchBases(), inference_plan)
    pieces = collector.collect(base, [text], into, chunks=CHUNKS, chunk_size=CHUNK_SIZE, emit=ignore)
    assert pieces >= MIN_CHUNKS


def _contents(*patterns: str) -> Iterator[str]:
    for pattern in patterns:
        for path in sorted(ROOT.glob(pattern)):
            yield from (section.content for section in Document.load(path).sections)


def _loaded(base: ResolvedBase) -> tuple[Any, Sequence[Asked]]:
    """Give the model in 32 bits, and what is asked: ordinary questions, and text of some documents."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base.folder)
    asked = []
    for probe in PROBES:
        turns = [{"role": "user", "content": probe.question}]
        ids = list(tokenizer.apply_chat_template(turns, add_generation_prompt=True)["input_ids"])
        asked.append(Asked(ids, (len(ids) - 1,)))
    text = tokenizer(calibration_text(_contents(MEASURED_ON)), verbose=False)["input_ids"]
    for start in range(0, PIECES * PIECE, PIECE):
        asked.append(Asked(text[start : start + PIECE], tuple(range(PIECE // 4 - 1, PIECE, PIECE // 4))))
    return AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32).eval(), asked


def _take_weights(model: Any, base: ResolvedBase, path: Path) -> None:
    """Give the model the numbers that a GGUF file holds."""
    import gguf
    import torch

    architecture = architecture_of(base.config)
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    with torch.no_grad():
        for name, values in model.named_parameters():
            tensor = tensors[architecture.tensor_name(name) or ""]
            stored = np.array(gguf.quants.dequantize(tensor.data, tensor.tensor_type)).reshape(values.shape)
            order = architecture.reorder_rows(name, np.arange(len(stored), dtype=np.float32)).astype(int)
            values[torch.from_numpy(order)] = torch.from_numpy(stored)


def _in_torch(model: Any, asked: Sequence[Asked]) -> Distributions:
    import torch

    with torch.inference_mode():
        logits = [model(torch.tensor([part.ids])).logits[0, list(part.after)] for part in asked]
    return list(torch.cat(logits).double().log_softmax(-1).numpy())


def _in_llama_cpp(path: Path, asked: Sequence[Asked]) -> Distributions:
    with LlamaCppRuntime(os.environ).open(RuntimeJob(model=path, context=256)) as running:
        return [np.array(running.next_logprobs(part.ids[: at + 1])) for part in asked for at in part.after]


def _divergence(expected: Distributions, found: Distributions) -> float:
    return float(np.mean([(np.exp(p) * (p - q)).sum() for p, q in zip(expected, found, strict=True)]))
