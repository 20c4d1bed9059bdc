"""Adapter folders on disk and their fake keep the same promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlm.adapters.peft_files import PeftFiles
from dlm.ports.adapter_files import AdapterFilesPort
from dlm.testing.adapter_files import FakeAdapterFiles, write_fake_adapter
from dlm.testing.adapter_files_contract import AdapterFilesContract
from peft_made import Q, V, write_adapter


class TestPeftFiles(AdapterFilesContract):
    @pytest.fixture
    def files(self) -> AdapterFilesPort:
        return PeftFiles()

    def make(
        self,
        folder: Path,
        *,
        rank: int = 4,
        base_name: str = "example/tiny",
        use_qlora: bool = False,
        use_dora: bool = False,
    ) -> Path:
        return write_adapter(
            folder,
            ranks={Q: rank, V: rank},
            r=rank,
            base_model_name_or_path=base_name,
            use_qlora=use_qlora,
            use_dora=use_dora,
        )


class TestFakeAdapterFiles(AdapterFilesContract):
    @pytest.fixture
    def files(self) -> AdapterFilesPort:
        return FakeAdapterFiles()

    def make(
        self,
        folder: Path,
        *,
        rank: int = 4,
        base_name: str = "example/tiny",
        use_qlora: bool = False,
        use_dora: bool = False,
    ) -> Path:
        return write_fake_adapter(folder, rank=rank, base_name=base_name, use_qlora=use_qlora, use_dora=use_dora)
