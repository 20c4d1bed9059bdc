"""Event files that TensorBoard draws: ``<store>/tensorboard/run_0003/``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from dlm.domain.errors import MissingExtra
from dlm.domain.events import Emit
from dlm.domain.scalars import BestEffort, Scalars, scalar_observer
from dlm.domain.store_layout import TENSORBOARD
from dlm.ports.clock import Clock
from dlm.ports.metrics import ObservedRun

FLUSH_S = 5.0
"""Seconds after which a running TensorBoard sees new points."""


class TensorBoardSink:
    """Writes one event file a run. Needs the package ``tensorboard`` and nothing of torch or TensorFlow."""

    name = "tensorboard"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @contextmanager
    def observe(self, run: ObservedRun, warn: Callable[[str], None]) -> Iterator[Emit]:
        """Give an observer that writes the run's numbers. What fails is told once.

        Raises:
            MissingExtra: the package is not installed.
        """
        _require_package()
        folder = run.store / TENSORBOARD / f"run_{run.run_id:04d}"
        attempt = BestEffort(self.name, warn)
        files: list[_EventFile] = []
        attempt(lambda: files.append(_EventFile(folder, self._clock)))
        observe = scalar_observer(files[0].log if files else lambda _step, _numbers: None)
        try:
            yield lambda event: attempt(observe, event)
        finally:
            for file in files:
                attempt(file.close)
                file.let_go()


class _EventFile:
    """Length-prefixed records with checksums, as TensorBoard's own writer makes them, but in the caller's thread: a
    writing thread of its own would block a training for ever on a full disk."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        self._flushed = clock.now()
        name = f"events.out.tfevents.{self._flushed.timestamp():010.0f}.dlm"
        self._file: BinaryIO = (folder / name).open("ab")
        self._records = RecordWriter(self._file)
        self._write(file_version="brain.Event:2")
        self._file.flush()

    def log(self, step: int, numbers: Scalars) -> None:
        """Add the numbers of one step."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in numbers.items()]
        self._write(step=step, summary=Summary(value=values))
        if (self._clock.now() - self._flushed).total_seconds() >= FLUSH_S:
            self._file.flush()
            self._flushed = self._clock.now()

    def close(self) -> None:
        """Write what is waiting and let go of the file."""
        self._file.close()

    def let_go(self) -> None:
        """Release the file when it could not be closed well."""
        if not self._file.closed:
            BestEffort("", lambda _: None)(self._file.close)

    def _write(self, **fields: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._records.write(Event(wall_time=self._clock.now().timestamp(), **fields).SerializeToString())


def _require_package() -> None:
    try:
        import_module("tensorboard.summary.writer.record_writer")
    except ImportError as exc:
        raise MissingExtra(
            "install.observability",
            "DLM_TENSORBOARD is set, and the package tensorboard is not installed",
            hint='Run: pip install "dlm[observability]", or unset DLM_TENSORBOARD',
        ) from exc
