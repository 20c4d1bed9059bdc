"""The reference on torch and its fake keep the same promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlm.adapters.torch.bases import TorchBases
from dlm.adapters.torch.reference import TorchReference
from dlm.domain.base_models import ResolvedBase
from dlm.domain.errors import DlmError
from dlm.domain.rows import Turn
from dlm.ports.reference import ReferencePort
from dlm.testing.reference_contract import ASK, ReferenceContract
from dlm.testing.references import FakeReference
from lora_made import random_adapter, scaled
from tiny import tiny_base
from tiny_architectures import tiny_architecture

_BASES = TorchBases()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ResolvedBase:
    return tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def change(tiny: ResolvedBase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_adapter(tiny, tmp_path_factory.mktemp("adapter"))


class _OnTheTinyBase(ReferenceContract):
    @pytest.fixture
    def base(self, tiny: ResolvedBase) -> ResolvedBase:
        return tiny

    @pytest.fixture
    def adapter(self, change: Path) -> Path:
        return change


class TestTorchReference(_OnTheTinyBase):
    @pytest.fixture
    def reference(self) -> ReferencePort:
        return TorchReference(_BASES)

    def test_the_adapters_own_tokenizer_is_used(self, base: ResolvedBase, change: Path, tmp_path: Path) -> None:
        adapter = random_adapter(
            base, tmp_path / "adapter", template="{% for m in messages %}{{ m['content'] }}!{% endfor %}"
        )
        with TorchReference(_BASES).open(base, adapter) as model:
            assert model.render(ASK) == f"{ASK[0].content}!"
        with TorchReference(_BASES).open(base, change) as model:
            assert model.render([Turn("user", "Hi")]).endswith("<|im_start|>assistant\n")

    def test_a_damaged_adapter_is_told(self, base: ResolvedBase, change: Path, tmp_path: Path) -> None:
        (tmp_path / "adapter_config.json").write_bytes((change / "adapter_config.json").read_bytes())
        (tmp_path / "adapter_model.safetensors").write_bytes(b"\x08")
        with pytest.raises(DlmError), TorchReference(_BASES).open(base, tmp_path):
            pass
        with TorchReference(_BASES).open(base, None) as model:
            assert model.token_ids("a")

    @pytest.mark.parametrize("more", [0, 5])
    def test_an_adapter_may_have_embeddings_of_its_own(self, tmp_path: Path, more: int) -> None:
        base = tiny_architecture("llama3", tmp_path / "base")
        whole = ["embed_tokens", "lm_head"]
        adapter = random_adapter(base, tmp_path / "adapter", more_rows=more, modules_to_save=whole)
        found = [self.after_three(base, folder) for folder in (None, adapter, None, _louder(adapter, tmp_path / "x"))]
        assert [len(row) for row in found] == [len(found[0]), len(found[0]) + more] * 2
        assert found[0] == found[2]
        assert found[0][:4] != found[1][:4] != found[3][:4]

    def after_three(self, base: ResolvedBase, adapter: Path | None) -> list[float]:
        with TorchReference(_BASES).open(base, adapter) as model:
            return list(model.next_logprobs([1, 2, 3], last=1)[0])

    def test_dora_counts(self, base: ResolvedBase, tmp_path: Path) -> None:
        kinds: dict[str, dict[str, bool]] = {"lora": {}, "dora": {"use_dora": True}}
        plain, dora = (
            self.after_three(base, random_adapter(base, tmp_path / name, **settings))
            for name, settings in kinds.items()
        )
        assert max(abs(one - other) for one, other in zip(plain, dora, strict=True)) > 0.01


def _louder(adapter: Path, into: Path) -> Path:
    """Write a copy of an adapter with twice the embeddings."""
    from safetensors.torch import load_file, save_file

    scaled(adapter, into, 1.0)
    tensors = load_file(into / "adapter_model.safetensors")
    doubled = {name: 2 * value if "embed_tokens" in name else value for name, value in tensors.items()}
    save_file(doubled, into / "adapter_model.safetensors")
    return into


class TestFakeReference(_OnTheTinyBase):
    @pytest.fixture
    def reference(self) -> ReferencePort:
        return FakeReference()
