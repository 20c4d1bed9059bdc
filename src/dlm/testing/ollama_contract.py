"""What every Ollama keeps to, as tests. Needs pytest."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlm.domain.errors import DlmError, ExportError
from dlm.domain.rows import Turn
from dlm.ports.ollama import OllamaPort

_ASK = Turn("user", "When does the ferry leave?")


class OllamaContract:
    """Tests that every ``OllamaPort`` passes; subclasses give the fixture ``ollama``."""

    @pytest.fixture
    def export(self, tmp_path: Path) -> Path:
        """A folder with a model and its Modelfile, in a place with blanks and quotes in its name."""
        folder = tmp_path / 'it\'s a "folder" ü'
        folder.mkdir()
        (folder / "base.gguf").write_bytes(b"GGUF base")
        (folder / "adapter.gguf").write_bytes(b"GGUF adapter")
        (folder / "Modelfile").write_text(
            "# written by a test\nFROM ./base.gguf\nADAPTER ./adapter.gguf\n\n"
            'TEMPLATE """{{ range .Messages }}{{ .Content }}\n{{ end }}"""\n\n'
            'PARAMETER stop "<|im_end|>"\nPARAMETER stop "<|x|>"\nPARAMETER temperature 0.7\nPARAMETER num_ctx 512\n\n'
            'SYSTEM """Be brief.\nAnd "kind"."""\n\nLICENSE """MIT"""\n',
            encoding="utf-8",
        )
        return folder

    def test_it_names_its_version(self, ollama: OllamaPort) -> None:
        assert [int(part) for part in ollama.require().split(".")] >= [0, 4, 2]

    def test_a_registered_model_answers_in_one_line(self, ollama: OllamaPort, export: Path) -> None:
        ollama.create("dlm-x:v0001", export)
        line = ollama.smoke("dlm-x:v0001", "Say\nmuch " + "word " * 100)
        assert line
        assert "\n" not in line
        assert len(line) <= 200

    def test_registering_again_replaces(self, ollama: OllamaPort, export: Path) -> None:
        ollama.create("dlm-x", export)
        with_system = ollama.prompt_tokens("dlm-x", [_ASK])
        (export / "Modelfile").write_text("FROM ./base.gguf\n", encoding="utf-8")
        ollama.create("dlm-x", export)
        assert ollama.prompt_tokens("dlm-x", [_ASK]) < with_system

    def test_a_longer_conversation_has_more_tokens(self, ollama: OllamaPort, export: Path) -> None:
        ollama.create("dlm-x", export)
        short = ollama.prompt_tokens("dlm-x", [_ASK])
        longer = ollama.prompt_tokens("dlm-x", [_ASK, Turn("assistant", "At nine."), Turn("user", "And then?")])
        assert 0 < short < longer

    def test_a_folder_without_a_modelfile_is_refused(self, ollama: OllamaPort, tmp_path: Path) -> None:
        with pytest.raises(DlmError):
            ollama.create("dlm-x", tmp_path)

    def test_a_model_that_is_not_there_fails(self, ollama: OllamaPort) -> None:
        with pytest.raises(ExportError):
            ollama.smoke("dlm-nothing")
        with pytest.raises(ExportError):
            ollama.prompt_tokens("dlm-nothing", [_ASK])
