"""Packs and their fake keep the same promises."""

from __future__ import annotations

import pytest

from dlm.adapters.packs import TarZstdPacks
from dlm.ports.packs import PackPort
from dlm.testing.packs import PlainPacks
from dlm.testing.packs_contract import PacksContract


class TestTarZstdPacks(PacksContract):
    @pytest.fixture
    def packs(self) -> PackPort:
        return TarZstdPacks()


class TestPlainPacks(PacksContract):
    @pytest.fixture
    def packs(self) -> PackPort:
        return PlainPacks()
