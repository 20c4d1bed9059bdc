"""llama.cpp and the fake runtime keep the same promises."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dlm.adapters.servers.llama_cpp import LlamaCppRuntime
from dlm.domain.errors import ExportError
from dlm.domain.rows import Turn
from dlm.ports.runtime import RuntimeJob, RuntimePort
from dlm.testing.runtime_contract import RuntimeContract
from dlm.testing.runtimes import FakeRuntime
from gguf_made import write_base
from tiny_architectures import tiny_architecture


@pytest.fixture(scope="module")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    into = folder / 'it\'s a "model", ü'
    into.mkdir()
    return write_base(tiny_architecture("llama3", folder / "base"), into / "model.gguf")


class TestLlamaCppRuntime(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> RuntimePort:
        pytest.importorskip("xllamacpp")
        return LlamaCppRuntime(dict(os.environ))

    @pytest.fixture
    def model(self, tiny_file: Path) -> Path:
        return tiny_file

    def test_a_start_token_comes_once(self, runtime: RuntimePort, model: Path, tmp_path: Path) -> None:
        bare = tmp_path / "bare.jinja"
        bare.write_text("{% for m in messages %}{{ m['content'] }}{% endfor %}", encoding="utf-8")
        for template in (None, bare):
            with runtime.open(RuntimeJob(model=model, context=256, chat_template=template)) as running:
                assert running.render([Turn("user", "Hi")]).count("<|begin_of_text|>") == 1

    def test_a_file_that_is_none_is_told(self, runtime: RuntimePort, tmp_path: Path) -> None:

        (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(60))
        with pytest.raises(ExportError, match=r"model\.gguf"), runtime.open(RuntimeJob(model=tmp_path / "model.gguf")):
            pass


class TestFakeRuntime(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> RuntimePort:
        return FakeRuntime()

    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        (tmp_path / "model.gguf").write_bytes(b"any")
        return tmp_path / "model.gguf"

    def test_what_is_missing_is_said(self, model: Path) -> None:

        runtime = FakeRuntime(missing="nothing is installed")
        assert runtime.missing() == "nothing is installed"
        with pytest.raises(ExportError, match="nothing is installed"), runtime.open(RuntimeJob(model=model)):
            pass
