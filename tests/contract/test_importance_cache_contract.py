"""The cache in the home and its fake keep the same promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlm.adapters.filesystem.importances import FileImportanceCache
from dlm.ports.importance_cache import ImportanceCachePort
from dlm.testing.clocks import FixedClock
from dlm.testing.importance_cache_contract import ImportanceCacheContract
from dlm.testing.importance_caches import MemoryImportanceCache


class TestFileImportanceCache(ImportanceCacheContract):
    @pytest.fixture
    def cache(self, tmp_path: Path, clock: FixedClock) -> ImportanceCachePort:
        return FileImportanceCache(tmp_path / "cache" / "imatrix", clock)


class TestMemoryImportanceCache(ImportanceCacheContract):
    @pytest.fixture
    def cache(self) -> ImportanceCachePort:
        return MemoryImportanceCache()
