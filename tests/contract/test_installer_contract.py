"""The installer on disk and its fake keep the same promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlm.adapters.filesystem import FileInstaller, installer
from dlm.ports.packs import InstallPort
from dlm.testing.clocks import FixedClock
from dlm.testing.installers import PlainInstaller
from dlm.testing.installers_contract import InstallerContract


class TestFileInstaller(InstallerContract):
    @pytest.fixture
    def installer(self, tmp_path: Path) -> InstallPort:
        return FileInstaller(tmp_path, FixedClock())


class TestFileInstallerWithoutExchange(TestFileInstaller):
    """Where two folders cannot change places in one step."""

    @pytest.fixture(autouse=True)
    def _no_exchange(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(installer, "exchange", lambda *_: False)


class TestPlainInstaller(InstallerContract):
    @pytest.fixture
    def installer(self, tmp_path: Path) -> InstallPort:
        return PlainInstaller(tmp_path)
