"""Exported files against what was trained: the figures of every family, and of every way to get it wrong.

Prints one line of figures for each base and level.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

import attrs
import pytest

from dlm.adapters.hub import HubModelLookup
from dlm.adapters.registry import ChainRegistry
from dlm.adapters.servers.llama_cpp import LlamaCppRuntime
from dlm.adapters.torch.bases import TorchBases
from dlm.adapters.torch.reference import TorchReference
from dlm.adapters.weight_package import WeightPackageSource
from dlm.app.parity import ParityJob, check_parity, refuse_unlike
from dlm.domain.base_models import ResolvedBase
from dlm.domain.base_rows import find_base
from dlm.domain.errors import ExportError
from dlm.domain.numbers import spread
from dlm.domain.ordinary import PROBES
from dlm.domain.parity import Parity
from dlm.domain.quantization import QUANTS, GgmlType, QuantName
from dlm.domain.rows import Turn
from gguf_made import write_base
from lora_made import merged_base, random_adapter, scaled
from tiny_architectures import ARCHITECTURES, CHATML_TEMPLATE, tiny_architecture

SMOLLM2 = "smollm2-135m"
_BASES = TorchBases()


class Case(NamedTuple):
    """A base at a level; ``strength`` of a random adapter that is merged into it, None for the base alone."""

    base: str
    quant: QuantName
    strength: float | None = None

    def __str__(self) -> str:
        return f"{self.base} {self.quant}{'' if self.strength is None else ' with an adapter'}"


PLAIN: dict[QuantName, GgmlType] = {"F16": "F16", "BF16": "BF16", "Q8_0": "Q8_0"}
"""Levels that need no quantiser and mix no types, and how matrices are stored at each."""

CASES = [
    *(pytest.param(Case(name, "F16", 0.3), id=name) for name in ARCHITECTURES),
    pytest.param(Case(SMOLLM2, "Q8_0"), id="SmolLM2-Q8_0", marks=pytest.mark.model),
    pytest.param(Case(SMOLLM2, "F16", 0.1), id="SmolLM2-F16-adapter", marks=pytest.mark.model),
]


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> ResolvedBase:
    home = tmp_path_factory.mktemp("unpacked")
    hub = HubModelLookup(home, {"HF_HUB_OFFLINE": "1"})
    return ChainRegistry(sources=(WeightPackageSource(home=home),), hub=hub, home=home).fetch(find_base(SMOLLM2))


def questions(count: int) -> tuple[tuple[Turn, ...], ...]:
    return tuple((Turn("user", probe.question),) for probe in spread(PROBES, count))


def measured(job: ParityJob) -> Parity:
    pytest.importorskip("xllamacpp")
    return check_parity(job, runtime=LlamaCppRuntime(dict(os.environ)), references=TorchReference(_BASES))


def exported(base: ResolvedBase, case: Case, folder: Path) -> tuple[Path | None, Path]:
    """Write a case's adapter and its GGUF file."""
    adapter, whole = None, base
    if case.strength is not None:
        adapter = random_adapter(base, folder / "adapter", strength=case.strength)
        whole = merged_base(base, adapter, folder / "merged")
    return adapter, write_base(whole, folder / "model.gguf", kind=PLAIN[case.quant])


@pytest.mark.parametrize("case", CASES)
def test_exports_say_what_was_trained(
    case: Case, tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    is_real = case.base == SMOLLM2
    base = request.getfixturevalue("smollm2") if is_real else tiny_architecture(case.base, tmp_path / "base")
    adapter, model = exported(base, case, tmp_path)
    count = 4 if is_real else 5
    parity = measured(
        ParityJob(
            base=base,
            adapter=adapter,
            model=model,
            system_prompt=None if is_real else "Be brief.",
            questions=questions(count),
            bound=QUANTS[case.quant].parity_bound,
            context=256,  # longer ones turn positions by other factors in Phi's models, in llama.cpp for all of a text
        )
    )
    with capsys.disabled():
        print(f"\n{case}: {parity}", end="")
    refuse_unlike(parity)
    assert parity.questions == count
    assert parity.positions >= 10


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> ParityJob:
    """An export that is right: a base with an adapter in it."""
    folder = tmp_path_factory.mktemp("right")
    base = tiny_architecture("smollm2", folder / "base")
    adapter, model = exported(base, Case("smollm2", "F16", 0.3), folder)
    return ParityJob(
        base=base, adapter=adapter, model=model, system_prompt="Be brief.", questions=questions(3), bound=0.001
    )


class TestSabotage:
    """A check that cannot fail is worth nothing."""

    def test_nothing_is_wrong_to_begin_with(self, trained: ParityJob) -> None:
        assert measured(trained).is_within

    @pytest.mark.parametrize("wrong", ["another", "none", "weaker", "stronger", "a little weaker"])
    def test_a_wrong_adapter_fails(self, trained: ParityJob, wrong: str, tmp_path: Path) -> None:
        base, adapter = trained.base, trained.adapter
        assert adapter is not None
        factors = {"weaker": 0.5, "stronger": 2.0, "a little weaker": 0.95}
        if wrong == "another":
            adapter = random_adapter(base, tmp_path / "other", seed=1)
        elif wrong in factors:
            adapter = scaled(adapter, tmp_path / "scaled", factors[wrong])
        whole = base if wrong == "none" else merged_base(base, adapter, tmp_path / "merged")
        parity = measured(attrs.evolve(trained, model=write_base(whole, tmp_path / "model.gguf")))
        assert parity.prompts_alike
        assert parity.tokenizers_alike
        assert parity.mean_kl > parity.bound
        with pytest.raises(ExportError, match="nats from the trained ones"):
            refuse_unlike(parity)

    @pytest.mark.parametrize(
        "template",
        [
            "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}{% endfor %}",
            CHATML_TEMPLATE.replace("messages %}", "messages if m['role'] != 'system' %}"),
            CHATML_TEMPLATE.replace("<|im_end|>\n", "<|im_end|>"),
        ],
        ids=["another", "without system", "one newline less"],
    )
    def test_a_wrong_template_fails(self, trained: ParityJob, template: str, tmp_path: Path) -> None:
        path = tmp_path / "chat.jinja"
        path.write_text(template, encoding="utf-8")
        parity = measured(attrs.evolve(trained, chat_template=path))
        assert not parity.prompts_alike
        with pytest.raises(ExportError, match=r"conversations otherwise .* instead of") as caught:
            refuse_unlike(parity)
        assert "chat template" in str(caught.value.hint)

    @pytest.mark.parametrize("change", ["tokens", "merges", "special"])
    def test_a_wrong_tokenizer_fails(self, trained: ParityJob, change: str, tmp_path: Path) -> None:
        other = _with_other_tokenizer(trained, change, tmp_path / "other")
        parity = measured(attrs.evolve(trained, model=write_base(other, tmp_path / "model.gguf")))
        assert not parity.tokenizers_alike
        with pytest.raises(ExportError, match="other tokens"):
            refuse_unlike(parity)


def _with_other_tokenizer(trained: ParityJob, change: str, folder: Path) -> ResolvedBase:
    """Give the export's model with a tokenizer that is slightly different."""
    assert trained.adapter is not None
    whole = merged_base(trained.base, trained.adapter, folder)
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    vocabulary, merges = tokenizer["model"]["vocab"], tokenizer["model"]["merges"]
    if change == "tokens":
        vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    elif change == "merges":
        merges.reverse()
    else:
        _swap_specials(tokenizer["added_tokens"], vocabulary)
    path.write_text(json.dumps(tokenizer), encoding="utf-8")
    return whole


def _swap_specials(added: list[dict[str, object]], vocabulary: dict[str, int]) -> None:
    """Let the tokens that open and close a turn change places."""
    one, other = (next(token for token in added if token["content"] == f"<|im_{part}|>") for part in ("start", "end"))
    one["content"], other["content"] = other["content"], one["content"]
    for token in (one, other):
        if token["content"] in vocabulary:
            vocabulary[str(token["content"])] = int(str(token["id"]))
