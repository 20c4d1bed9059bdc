"""Running an exported file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import attrs

from dlm.domain.rows import Turn


@attrs.frozen(kw_only=True)
class RuntimeJob:
    """What to run.

    Args:
        lora: adapter file that is applied to the model.
        context: tokens of context.
        chat_template: Jinja file used instead of the one inside the model.
    """

    model: Path
    lora: Path | None = None
    context: int = 2048
    chat_template: Path | None = None


class LoadedRuntime(Protocol):
    """A model that is running, in a process of its own: a file that makes it crash does not take us along."""

    def token_ids(self, text: str) -> tuple[int, ...]:
        """Tokenise rendered text: special tokens are read, none is added."""
        ...

    def render(self, turns: Sequence[Turn]) -> str:
        """Give the conversation as the runtime puts it before the model, with the opening of the answer."""
        ...

    def next_logprobs(self, ids: Sequence[int]) -> Sequence[float]:
        """Give the natural logarithm of each token's probability to come next, by token id, over the whole
        vocabulary."""
        ...


class RuntimePort(Protocol):
    """Runs GGUF files. ``missing`` says what is not installed, in words for the person; None when it works here.

    Raises ``ExportError``: ``export.runtime-failed`` with the end of what the program said.
    """

    @property
    def name(self) -> str: ...

    def missing(self) -> str | None: ...

    def open(self, job: RuntimeJob) -> AbstractContextManager[LoadedRuntime]: ...
