"""The Ollama in memory and the real adapter, by program and over HTTP, keep the same promises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dlm.adapters.ollama.ollama import Ollama
from dlm.testing.ollama_contract import OllamaContract
from dlm.testing.ollamas import FakeOllama
from ollama_peer import running_ollama


class TestFakeOllama(OllamaContract):
    @pytest.fixture
    def ollama(self) -> FakeOllama:
        return FakeOllama()


class TestOllamaProgram(OllamaContract):
    @pytest.fixture
    def ollama(self, home: Path, tmp_path: Path) -> Iterator[Ollama]:
        with running_ollama() as peer:
            peer.program(tmp_path / "bin")
            yield Ollama(home, peer.environ(tmp_path / "bin"))


class TestOllamaOverHttp(OllamaContract):
    @pytest.fixture
    def ollama(self, home: Path) -> Iterator[Ollama]:
        with running_ollama() as peer:
            yield Ollama(home, peer.environ())
