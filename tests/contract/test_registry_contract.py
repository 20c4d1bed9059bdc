"""The fake registry and the real one keep the same contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from base_gguf import source, write_gguf
from base_made import write_model
from dlm.adapters.folder_base import FolderBaseSource
from dlm.adapters.hub import HubCacheSource, HubDownloadSource, HubModelLookup
from dlm.adapters.registry import ChainRegistry
from dlm.ports.registry import RegistryPort
from dlm.testing.registries import FakeRegistry
from dlm.testing.registry_contract import RegistryContract


class TestFakeRegistry(RegistryContract):
    @pytest.fixture
    def watched(self, tmp_path: Path) -> Path:
        return tmp_path

    @pytest.fixture
    def registry(self, watched: Path) -> RegistryPort:
        return FakeRegistry(watched / "bases", offline={"qwen2.5-1.5b"})

    @pytest.fixture
    def selector(self) -> str:
        return "tiny"

    @pytest.fixture
    def missing(self) -> str:
        return "qwen2.5-1.5b"


class TestChainRegistry(RegistryContract):
    @pytest.fixture
    def watched(self, home: Path) -> Path:
        return home

    @pytest.fixture
    def registry(self, watched: Path, tmp_path: Path) -> RegistryPort:
        environ = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
        sources = (
            FolderBaseSource(),
            source(watched, write_gguf(tmp_path / "tiny.gguf")),
            HubCacheSource(environ),
            HubDownloadSource(environ),
        )
        return ChainRegistry(sources=sources, hub=HubModelLookup(watched, environ), home=watched)

    @pytest.fixture
    def selector(self, tmp_path: Path) -> str:
        return f"path:{write_model(tmp_path / 'model')}"

    @pytest.fixture
    def missing(self) -> str:
        return "qwen2.5-1.5b"
