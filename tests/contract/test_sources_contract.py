"""The sources on disk and their fake keep the same promises."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from dlm.adapters.sources import FileSources
from dlm.domain.document import Document
from dlm.ports.sources import SourcesPort
from dlm.testing.sources import MemorySources
from dlm.testing.sources_contract import ID, Put, SourcesContract


class TestFileSources(SourcesContract):
    @pytest.fixture
    def sources(self) -> SourcesPort:
        return FileSources()

    @pytest.fixture
    def put(self, tmp_path: Path) -> Put:
        def put(name: str, tree: Mapping[str, bytes]) -> Document:
            shutil.rmtree(tmp_path / name, ignore_errors=True)
            for path, data in tree.items():
                (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name / path).write_bytes(data)
            return Document.new(ID, "tiny", "Prose.").save(tmp_path / "doc.dlm")

        return put


class TestFileSourcesOfAnOldTree(TestFileSources):
    """The files were changed long ago, so that the memory keeps them."""

    @pytest.fixture
    def sources(self) -> SourcesPort:
        return FileSources(now_ns=lambda: 2**62)


class TestMemorySources(SourcesContract):
    @pytest.fixture
    def sources(self) -> MemorySources:
        return MemorySources()

    @pytest.fixture
    def put(self, sources: MemorySources) -> Put:
        def put(name: str, tree: Mapping[str, bytes]) -> Document:
            sources.trees[name] = dict(tree)
            return Document.new(ID, "tiny", "Prose.")

        return put
