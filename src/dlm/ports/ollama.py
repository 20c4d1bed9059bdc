"""Registering models with Ollama."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from dlm.domain.rows import Turn


class OllamaPort(Protocol):
    """The Ollama of this machine.

    Raises ``ExportError`` with the subjects ``ollama``, ``ollama create`` and ``smoke``: not installed, too old, not
    running, refusing, out of time.
    """

    def require(self) -> str:
        """Give its version; raises when it is missing, not running or older than what is supported."""
        ...

    def create(self, name: str, folder: Path, *, quantize: str | None = None) -> None:
        """Register ``folder/Modelfile`` as ``name``, one registration at a time on this machine.

        Args:
            quantize: level that Ollama makes itself from a 16-bit file; None keeps the file's own.
        """
        ...

    def smoke(self, name: str, question: str = "Hello.") -> str:
        """Give the first non-blank line of an answer, at most 200 characters."""
        ...

    def prompt_tokens(self, name: str, turns: Sequence[Turn]) -> int:
        """Give how many tokens it makes of a conversation."""
        ...
