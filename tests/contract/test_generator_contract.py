"""The fake and the torch generator keep the same contract."""

from __future__ import annotations

from pathlib import Path

import pytest

import tiny
from dlm.domain.base_models import ResolvedBase
from dlm.domain.inference import InferencePlan
from dlm.ports.generator import GeneratorPort
from dlm.testing.generators import FakeGenerator, GeneratorContract
from dlm.testing.trainers import NoCheckpoints
from tiny_plans import inference_plan


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> ResolvedBase:
    return tiny.tiny_base(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def adapter(base: ResolvedBase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dlm.adapters.torch.bases import TorchBases
    from dlm.adapters.torch.trainer import TorchTrainer

    folder = tmp_path_factory.mktemp("adapter")
    TorchTrainer(TorchBases()).train(
        tiny.job(base), into=folder, checkpoints=NoCheckpoints(folder / "ck"), emit=lambda e: None, stop=lambda: False
    )
    return folder


class _WithTinyBase(GeneratorContract):
    @pytest.fixture(autouse=True)
    def _request(self, base: ResolvedBase, adapter: Path) -> None:
        self.base, self.adapter = base, adapter

    def make_request(self) -> tuple[ResolvedBase, Path | None, InferencePlan]:
        return self.base, self.adapter, inference_plan()


class TestFakeGenerator(_WithTinyBase):
    def make_generator(self) -> GeneratorPort:
        return FakeGenerator({"q1": "one two three"})


class TestTorchGenerator(_WithTinyBase):
    def make_generator(self) -> GeneratorPort:
        from dlm.adapters.torch.bases import TorchBases
        from dlm.adapters.torch.generator import TorchGenerator

        return TorchGenerator(TorchBases())
