"""Exporters and their fake keep the same promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from base_made import resolved_base, write_model
from dlm.adapters.mlx_files import MlxExporter
from dlm.adapters.peft_files import PeftExporter, PeftFiles
from dlm.domain.base_models import ResolvedBase
from dlm.domain.export_targets import WeightsFormat
from dlm.ports.exporter import ExporterPort, WeightsJob
from dlm.testing.adapter_files import FakeAdapterFiles, write_fake_adapter
from dlm.testing.exporter_contract import ExporterContract
from dlm.testing.exporters import FakeExporter
from peft_made import Q, V, write_adapter


def base_of(folder: Path) -> ResolvedBase:
    """Give a model that nobody runs."""
    return resolved_base(write_model(folder))


class _Fake(ExporterContract):
    weights: WeightsFormat
    merged = False

    @pytest.fixture
    def exporter(self) -> ExporterPort:
        return FakeExporter(self.weights)

    @pytest.fixture
    def job(self, tmp_path: Path) -> WeightsJob:
        adapter = write_fake_adapter(tmp_path / "adapter")
        facts = FakeAdapterFiles().facts(adapter)
        return WeightsJob(base=base_of(tmp_path / "base"), adapter=adapter, facts=facts, merged=self.merged)


class TestFakeGguf(_Fake):
    weights = "gguf"


class TestFakeMerged(_Fake):
    weights = "gguf"
    merged = True


class TestFakePeft(_Fake):
    weights = "peft"


class TestFakeMlx(_Fake):
    weights = "mlx"


class _Real(ExporterContract):
    @pytest.fixture
    def job(self, tmp_path: Path) -> WeightsJob:
        adapter = write_adapter(tmp_path / "adapter", base_model_name_or_path=str(tmp_path / "base"))
        facts = PeftFiles().facts(adapter)
        return WeightsJob(base=base_of(tmp_path / "base"), adapter=adapter, facts=facts, module="knowledge")


class TestPeftForTheHub(_Real):
    @pytest.fixture
    def exporter(self) -> ExporterPort:
        return PeftExporter()


class TestPeftForServers(_Real):
    @pytest.fixture
    def exporter(self) -> ExporterPort:
        return PeftExporter("adapters/{module}", uniform=True)


class TestPeftMadeUniform(_Real):
    @pytest.fixture
    def exporter(self) -> ExporterPort:
        return PeftExporter("adapters/{module}", uniform=True)

    @pytest.fixture
    def job(self, tmp_path: Path) -> WeightsJob:
        adapter = write_adapter(tmp_path / "adapter", ranks={Q: 4, V: 2}, rank_pattern={"v_proj": 2})
        facts = PeftFiles().facts(adapter)
        return WeightsJob(base=base_of(tmp_path / "base"), adapter=adapter, facts=facts)


class TestMlx(_Real):
    @pytest.fixture
    def exporter(self) -> ExporterPort:
        return MlxExporter()


class TestMlxWithoutOneRank(TestPeftMadeUniform):
    @pytest.fixture
    def exporter(self) -> ExporterPort:
        return MlxExporter()
