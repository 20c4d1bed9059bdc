"""The replay corpus on disk and its fake keep the same promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlm.adapters.replay import FileReplay
from dlm.ports.replay import ReplayPort
from dlm.testing.replay_contract import ReplayContract
from dlm.testing.replays import MemoryReplay


class TestFileReplay(ReplayContract):
    @pytest.fixture
    def replay(self, tmp_path: Path) -> ReplayPort:
        return FileReplay(lambda dlm_id: tmp_path / "store" / dlm_id)


class TestMemoryReplay(ReplayContract):
    @pytest.fixture
    def replay(self) -> ReplayPort:
        return MemoryReplay()
