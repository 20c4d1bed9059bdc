"""A runtime that runs nothing: it takes any file for a toy model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dlm.domain.errors import ExportError
from dlm.ports.runtime import RuntimeJob
from dlm.testing.references import ToyModel


class FakeRuntime:
    """Implements ``RuntimePort``. ``opened`` lists the jobs.

    Args:
        model: what every file holds.
        missing: what to say is missing; None to work.
    """

    name = "fake"

    def __init__(self, model: ToyModel | None = None, *, missing: str | None = None) -> None:
        self._model = model or ToyModel()
        self._missing = missing
        self.opened: list[RuntimeJob] = []

    def missing(self) -> str | None:
        return self._missing

    @contextmanager
    def open(self, job: RuntimeJob) -> Iterator[_Running]:
        self.opened.append(job)
        files = [path for path in (job.model, job.lora, job.chat_template) if path is not None]
        absent = next((path for path in files if not path.is_file()), None)
        if self._missing is not None or absent is not None:
            raise ExportError("export.runtime-failed", self._missing or f"there is no {absent}")
        yield _Running(self._model)


class _Running:
    def __init__(self, model: ToyModel) -> None:
        self._model = model
        self.token_ids = model.token_ids
        self.render = model.render
        self.next_logprobs = model.logprobs
