"""One run, several places that keep it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import attrs

from dlm.domain.events import Emit, Event
from dlm.ports.metrics import ObservedRun, RunSink

METRICS = "metrics"
"""Name of the sink for which ``strict`` holds; the others are for looking at and never end a run."""


@contextmanager
def observing(run: ObservedRun, sinks: Sequence[RunSink], warn: Callable[[str], None]) -> Iterator[Emit]:
    """Open every sink for a run and give one observer that feeds them in their order.

    Each sink is closed at the end, in reverse order, whatever happens. What ends the block reaches the caller as it
    was raised.

    Args:
        warn: told once about each stream that a sink cannot write.

    Raises:
        MetricsError: the start or the end of the run cannot be written, or anything with ``run.strict``.
        MissingExtra: the package behind a sink is not installed; then the block is not entered.
    """
    with ExitStack() as stack:
        observers = [stack.enter_context(sink.observe(_as_seen_by(sink, run), warn)) for sink in sinks]

        def emit(event: Event) -> None:
            for observe in observers:
                observe(event)

        yield emit


def _as_seen_by(sink: RunSink, run: ObservedRun) -> ObservedRun:
    return run if sink.name == METRICS else attrs.evolve(run, strict=False)
