"""Exporters and their fake keep the same promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlm.domain.export_targets import WeightsFormat
from dlm.ports.exporter import ExporterPort, WeightsJob
from dlm.testing.adapter_files import FakeAdapterFiles, write_fake_adapter
from dlm.testing.exporter_contract import ExporterContract
from dlm.testing.exporters import FakeExporter
from tiny import tiny_base


class _Fake(ExporterContract):
    weights: WeightsFormat
    merged = False

    @pytest.fixture
    def exporter(self) -> ExporterPort:
        return FakeExporter(self.weights)

    @pytest.fixture
    def job(self, tmp_path: Path) -> WeightsJob:
        adapter = write_fake_adapter(tmp_path / "adapter")
        base = tiny_base(tmp_path / "base")
        return WeightsJob(base=base, adapter=adapter, facts=FakeAdapterFiles().facts(adapter), merged=self.merged)


class TestFakeGguf(_Fake):
    weights = "gguf"


class TestFakeMerged(_Fake):
    weights = "gguf"
    merged = True


class TestFakePeft(_Fake):
    weights = "peft"


class TestFakeMlx(_Fake):
    weights = "mlx"
