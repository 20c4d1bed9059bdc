"""An Ollama in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dlm.domain.errors import ExportError
from dlm.domain.modelfile import read_modelfile
from dlm.domain.rows import Turn


class FakeOllama:
    """Implements ``OllamaPort``: keeps what was registered and answers with what it was asked.

    Args:
        error: raised by ``require`` instead of a version.
        refusal: message with which every registration fails.
        answer: what every model says; None lets it repeat the question.
        extra_tokens: added to every count, for an Ollama whose prompt is not the trained one.
    """

    def __init__(
        self,
        *,
        version: str = "0.12.0",
        error: ExportError | None = None,
        refusal: str | None = None,
        answer: str | None = None,
        extra_tokens: int = 0,
    ) -> None:
        self.models: dict[str, dict[str, str]] = {}
        """What the Modelfile of each registered model says, by directive."""
        self.quantized: dict[str, str | None] = {}
        self._version = version
        self._error = error
        self._refusal = refusal
        self._answer = answer
        self._extra = extra_tokens

    def require(self) -> str:
        if self._error is not None:
            raise self._error
        return self._version

    def create(self, name: str, folder: Path, *, quantize: str | None = None) -> None:
        path = folder / "Modelfile"
        if self._refusal is not None or not path.exists():
            why = self._refusal or "there is no Modelfile"
            raise ExportError("ollama.create-failed", f"Ollama did not take {name}: {why}", subject="ollama create")
        directives = read_modelfile(path.read_text(encoding="utf-8"))
        self.models[name] = {directive.name: directive.value for directive in directives}
        self.quantized[name] = quantize

    def smoke(self, name: str, question: str = "Hello.") -> str:
        answer = question if self._answer is None else self._answer
        line = next((line.strip() for line in answer.splitlines() if line.strip()), None)
        if name not in self.models or line is None:
            raise ExportError("ollama.no-answer", f"{name} answered with nothing", subject="smoke")
        return line[:200]

    def prompt_tokens(self, name: str, turns: Sequence[Turn]) -> int:
        if name not in self.models:
            raise ExportError("ollama.failed", f"Ollama: model {name!r} not found", subject="ollama")
        system = self.models[name].get("system", "") if turns[0].role != "system" else ""
        return len(system.split()) + sum(1 + len(turn.content.split()) for turn in turns) + 1 + self._extra
