"""The collector on torch and its fake keep the same promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlm.adapters.torch.bases import TorchBases
from dlm.adapters.torch.imatrix import TorchImatrix
from dlm.domain.base_models import ResolvedBase
from dlm.ports.imatrix import ImatrixPort
from dlm.testing.imatrices import FlatImatrix
from dlm.testing.imatrix_contract import ImatrixContract
from tiny import tiny_base
from tiny_plans import inference_plan

_BASES = TorchBases()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ResolvedBase:
    return tiny_base(tmp_path_factory.mktemp("base"))


class TestTorchImatrix(ImatrixContract):
    @pytest.fixture
    def imatrix(self) -> ImatrixPort:
        return TorchImatrix(_BASES, inference_plan)

    @pytest.fixture
    def base(self, tiny: ResolvedBase) -> ResolvedBase:
        return tiny


class TestFlatImatrix(ImatrixContract):
    @pytest.fixture
    def imatrix(self) -> ImatrixPort:
        return FlatImatrix()

    @pytest.fixture
    def base(self, tiny: ResolvedBase, tmp_path: Path) -> ResolvedBase:
        return tiny
