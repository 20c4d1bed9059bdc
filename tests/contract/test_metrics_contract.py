"""The metrics database and its fake keep the same promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dlm.adapters.sqlite import SqliteMetrics
from dlm.ports.metrics import MetricsPort
from dlm.testing.clocks import FixedClock
from dlm.testing.metrics import MemoryMetrics
from dlm.testing.metrics_contract import MetricsContract


class TestSqliteMetrics(MetricsContract):
    @pytest.fixture
    def locate(self, tmp_path: Path) -> Callable[[str], Path]:
        return lambda dlm_id: tmp_path / "store" / dlm_id

    @pytest.fixture
    def port(self, locate: Callable[[str], Path], clock: FixedClock) -> MetricsPort:
        return SqliteMetrics(locate, clock)


class TestMemoryMetrics(MetricsContract):
    @pytest.fixture
    def locate(self, tmp_path: Path) -> Callable[[str], Path]:
        return lambda dlm_id: tmp_path / dlm_id

    @pytest.fixture
    def port(self, clock: FixedClock) -> MetricsPort:
        return MemoryMetrics(clock)
