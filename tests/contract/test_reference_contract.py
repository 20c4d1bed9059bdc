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
from lora_made import random_adapter
from tiny import tiny_base

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


class TestFakeReference(_OnTheTinyBase):
    @pytest.fixture
    def reference(self) -> ReferencePort:
        return FakeReference()
