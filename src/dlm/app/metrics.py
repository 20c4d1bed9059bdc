"""What runs told, read again: lists, one run in detail, whole histories, and news of a run under way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs

from dlm.app.metrics_report import MetricsReport
from dlm.domain.document import Document
from dlm.domain.errors import MetricsError
from dlm.domain.history import History
from dlm.domain.metrics import EvalMetrics, RunFilter, RunHistory, RunMetrics, RunPhase, StepMetrics
from dlm.ports.clock import Clock
from dlm.ports.metrics import MetricsPort


def metrics(
    path: Path,
    *,
    run_id: int | None = None,
    phase: RunPhase | None = None,
    since: timedelta | None = None,
    limit: int | None = 20,
    port: MetricsPort,
    clock: Clock,
) -> MetricsReport:
    """Tell about a document's runs, or about one of them.

    Args:
        run_id: tell everything about this run.
        since: only runs started within this time before now.
        limit: list at most this many, the newest; None lists all.

    Raises:
        DocumentError: the document cannot be read.
        MetricsError: the database cannot be read, or there is no such run.
    """
    dlm_id = Document.load(path).dlm_id
    which = RunFilter(run_id=run_id, phase=phase, since=_start(since, clock), limit=limit)
    runs = port.runs(dlm_id, which)
    if run_id is not None:
        return MetricsReport(path=path, runs=(_the_run(dlm_id, run_id, runs, port),), is_detailed=True)
    listed = tuple(RunHistory(run=run, exam=port.exam(dlm_id, run.run_id)) for run in runs)
    return MetricsReport(path=path, runs=listed, is_filtered=phase is not None or since is not None)


def _the_run(dlm_id: str, run_id: int, runs: tuple[RunMetrics, ...], port: MetricsPort) -> RunHistory:
    found = port.history(dlm_id, run_id) if runs else None
    if found is None:
        newest = port.runs(dlm_id, RunFilter(limit=1))
        known = f"the newest is {newest[0].run_id}" if newest else "the document was not trained yet"
        raise MetricsError(
            "metrics.unknown-run",
            f"there is no run {run_id} that fits; {known}",
            hint="dlm metrics without --run-id lists the runs.",
        )
    return found


def _start(since: timedelta | None, clock: Clock) -> datetime | None:
    if since is None:
        return None
    try:
        return clock.now() - since
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def history(
    document: Document | str | Path,
    *,
    phase: RunPhase | None = None,
    since: timedelta | None = None,
    limit: int | None = None,
    run_id: int | None = None,
    port: MetricsPort,
    clock: Clock,
) -> History:
    """Give everything measured in a document's runs, oldest first; options as for :func:`metrics`.

    Raises:
        DocumentError: the document cannot be read.
        MetricsError: the database cannot be read, or there is no run ``run_id``.
    """
    loaded = document if isinstance(document, Document) else Document.load(Path(document))
    dlm_id = loaded.dlm_id
    which = RunFilter(run_id=run_id, phase=phase, since=_start(since, clock), limit=limit)
    runs = port.runs(dlm_id, which)
    if run_id is not None and not runs:
        _the_run(dlm_id, run_id, runs, port)
    found = [port.history(dlm_id, run.run_id) for run in reversed(runs)]
    title = loaded.path.name if loaded.path else dlm_id
    return History(title=title, runs=tuple(item for item in found if item is not None), read_at=clock.now())


@attrs.frozen(kw_only=True)
class RunNews:
    """What is new about a run since the last look.

    Args:
        is_switch: the first news of this run.
        is_over: it ended; no more will come of it.
    """

    run: RunMetrics
    steps: tuple[StepMetrics, ...]
    evals: tuple[EvalMetrics, ...]
    is_switch: bool
    is_over: bool


_LOOK_BACK = 10
"""Steps shown of a run that is under way already."""


def watch(
    path: Path, *, poll_seconds: float = 1.0, port: MetricsPort, wait: Callable[[float], None]
) -> Iterator[RunNews | None]:
    """Follow the newest run of a document, and the ones that come after it, for ever.

    Yields None once when there is no run yet, and news whenever there are any; looks every ``poll_seconds``.

    Raises:
        DocumentError, MetricsError: as for :func:`metrics`.
    """
    dlm_id = Document.load(path).dlm_id
    following = _Following(dlm_id, port)
    if not port.runs(dlm_id, RunFilter(limit=1)):
        yield None
    while True:
        news = following.look()
        if news is not None:
            yield news
        wait(poll_seconds)


class _Following:
    """Remembers what was seen of the newest run."""

    def __init__(self, dlm_id: str, port: MetricsPort) -> None:
        self._dlm_id = dlm_id
        self._port = port
        self._run: RunMetrics | None = None
        self._step = self._eval = -1

    def look(self) -> RunNews | None:
        newest = self._port.runs(self._dlm_id, RunFilter(limit=1))
        if not newest:
            return None
        (run,), before = newest, self._run
        # A replaced database may count from one again, so that a number alone does not tell runs apart.
        is_switch = before is None or (before.run_id, before.started_at) != (run.run_id, run.started_at)
        if is_switch:
            self._step = self._eval = -1
        elif before is not None and before.status != "running" and before == run:
            return None
        self._run = run
        steps = self._port.steps(self._dlm_id, run.run_id, after=self._step)
        evals = self._port.evals(self._dlm_id, run.run_id, after=self._eval)
        self._step = max((step.step for step in steps), default=self._step)
        self._eval = max((look.step for look in evals), default=self._eval)
        if before is None:
            steps, evals = steps[-_LOOK_BACK:], evals[-_LOOK_BACK:]
        is_over = run.status != "running"
        return (
            RunNews(run=run, steps=steps, evals=evals, is_switch=is_switch, is_over=is_over)
            if (is_switch or steps or evals or is_over)
            else None
        )
