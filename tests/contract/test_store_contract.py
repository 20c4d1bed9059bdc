"""The file store and its fake keep the same promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlm.adapters.filesystem import FileStore
from dlm.ports.store import StorePort
from dlm.testing.clocks import FixedClock
from dlm.testing.store_contract import StoreContract
from dlm.testing.stores import MemoryStore


class TestFileStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> StorePort:
        return FileStore(tmp_path / "home", FixedClock())


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> StorePort:
        return MemoryStore()
