"""The folder of exports and its fake keep the same promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlm.adapters.filesystem import FileExports
from dlm.ports.exports import ExportsPort
from dlm.testing.exports import MemoryExports
from dlm.testing.exports_contract import ExportsContract


class TestFileExports(ExportsContract):
    @pytest.fixture
    def exports(self, tmp_path: Path) -> ExportsPort:
        def location(dlm_id: str) -> Path:
            from dlm.domain.store_layout import checked_dlm_id

            return tmp_path / checked_dlm_id(dlm_id)

        return FileExports(location)


class TestMemoryExports(ExportsContract):
    @pytest.fixture
    def exports(self) -> ExportsPort:
        return MemoryExports()
