"""The fake and the torch trainer keep the same contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tiny
from dlm.domain.training import TrainingJob
from dlm.ports.trainer import TrainerPort
from dlm.testing.trainers import FakeTrainer, TrainerContract


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    tiny.tiny_base(folder)
    return folder


class _WithTinyJob(TrainerContract):
    @pytest.fixture(autouse=True)
    def _base(self, base_folder: Path) -> None:
        self.base_folder = base_folder

    def make_job(self, **changes: Any) -> TrainingJob:
        return tiny.job(tiny.tiny_base(self.base_folder), **changes)


class TestFakeTrainer(_WithTinyJob):
    def make_trainer(self) -> TrainerPort:
        return FakeTrainer()


class TestTorchTrainer(_WithTinyJob):
    def make_trainer(self) -> TrainerPort:
        from dlm.adapters.torch.bases import TorchBases
        from dlm.adapters.torch.trainer import TorchTrainer

        return TorchTrainer(TorchBases())

    def make_job(self, **changes: Any) -> TrainingJob:
        return super().make_job(**{"anchors": ("hello", "what is rain?"), **changes})
