"""The file cache and its fake keep the same promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlm.adapters.token_cache import FileTokenCache
from dlm.ports.token_cache import TokenCachePort
from dlm.testing.clocks import FixedClock
from dlm.testing.token_cache_contract import TokenCacheContract
from dlm.testing.token_caches import MemoryTokenCache


class TestFileTokenCache(TokenCacheContract):
    @pytest.fixture
    def cache(self, tmp_path: Path, clock: FixedClock) -> TokenCachePort:
        return FileTokenCache(lambda dlm_id: tmp_path / dlm_id, clock)


class TestFileTokenCacheWithSmallShards(TokenCacheContract):
    @pytest.fixture
    def cache(self, tmp_path: Path, clock: FixedClock) -> TokenCachePort:
        return FileTokenCache(lambda dlm_id: tmp_path / dlm_id, clock, shard_bytes=1000)


class TestMemoryTokenCache(TokenCacheContract):
    @pytest.fixture
    def cache(self, clock: FixedClock) -> TokenCachePort:
        return MemoryTokenCache(clock)
