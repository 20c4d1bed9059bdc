"""ggml, llama.cpp's program and their fakes keep the same promises."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dlm.adapters.ggml import GgmlQuantizer
from dlm.adapters.llama_quantize import LlamaQuantizeProgram
from dlm.ports.quantizer import BlockQuantizer, FileQuantizer
from dlm.testing.quantizer_contract import BlockQuantizerContract, FileQuantizerContract
from dlm.testing.quantizers import CopyingFileQuantizer, RoundingQuantizer
from stand_in_programs import llama_quantize


class TestGgmlQuantizer(BlockQuantizerContract):
    @pytest.fixture
    def quantizer(self) -> BlockQuantizer:
        return GgmlQuantizer()


class TestOneThread(BlockQuantizerContract):
    @pytest.fixture
    def quantizer(self) -> BlockQuantizer:
        return GgmlQuantizer(threads=1)


class TestRoundingQuantizer(BlockQuantizerContract):
    @pytest.fixture
    def quantizer(self) -> BlockQuantizer:
        return RoundingQuantizer()


class _OneFile(FileQuantizerContract):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        path = tmp_path / "model.F16.gguf"
        path.write_bytes(b"GGUF and so on")
        return path


@pytest.mark.skipif(os.name == "nt", reason="the program that stands in is a script with a #! line")
class TestLlamaQuantizeProgram(_OneFile):
    @pytest.fixture
    def quantizer(self, tmp_path: Path) -> FileQuantizer:
        return LlamaQuantizeProgram({"PATH": str(llama_quantize(tmp_path / "programs"))})


class TestCopyingFileQuantizer(_OneFile):
    @pytest.fixture
    def quantizer(self) -> FileQuantizer:
        return CopyingFileQuantizer()
