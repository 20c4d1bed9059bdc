"""Showing long work: bars on a terminal, a plain line now and then elsewhere, nothing with ``--quiet``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import attrs

from dlm.cli.render import Output
from dlm.cli.terminal import is_capable
from dlm.domain.events import (
    CheckpointSaved,
    DeltaFound,
    EvalDone,
    Event,
    Note,
    Progress,
    RunStarted,
    StepDone,
)

LINE_INTERVAL_S = 5.0
"""Seconds between two plain progress lines: a log of an hour's training stays readable."""


_BYTES = ("B", "bytes")


@attrs.frozen(kw_only=True)
class Tick:
    """How far one stage is; ``detail`` holds figures such as the loss."""

    stage: str
    done: int
    total: int | None
    unit: str = ""
    detail: str = ""


class Meter(Protocol):
    """Shows ticks. ``rest`` takes a bar off the screen, so that lines can be printed; the next tick brings it back."""

    def tick(self, tick: Tick) -> None: ...
    def rest(self) -> None: ...


class SilentMeter:
    """Shows nothing."""

    def tick(self, tick: Tick) -> None:
        """Ignore it."""

    def rest(self) -> None:
        """Have nothing to take away."""


class Pace:
    """How fast the stage under way goes, on average since it began."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._stage: str | None = None
        self._began = (0.0, 0)
        self._per_s: float | None = None

    def see(self, tick: Tick) -> bool:
        """Take a tick in; says whether it is the first of its stage."""
        now, is_first = self._now(), tick.stage != self._stage
        if is_first:
            self._stage, self._began = tick.stage, (now, tick.done)
        elapsed, done = now - self._began[0], tick.done - self._began[1]
        self._per_s = done / elapsed if elapsed > 0 and done > 0 else None
        return is_first

    def rate(self, tick: Tick) -> str:
        """Give units a second; nothing where the unit says nothing, as for optimiser steps."""
        if self._per_s is None or not tick.unit:
            return ""
        return f"{_size(self._per_s)}/s" if tick.unit in _BYTES else f"{self._per_s:,.0f} {tick.unit}/s"

    def left(self, tick: Tick) -> str:
        """Give the time until the end of the stage."""
        if self._per_s is None or tick.total is None or tick.done >= tick.total:
            return ""
        return f"about {duration((tick.total - tick.done) / self._per_s)} left"


class LineMeter:
    """One line at the start of a stage, one every few seconds, one at its end."""

    def __init__(self, say: Callable[[str], None], now: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._now = now
        self._pace = Pace(now)
        self._last = 0.0

    def tick(self, tick: Tick) -> None:
        """Print the tick when it is due."""
        now, is_first = self._now(), self._pace.see(tick)
        if not is_first and tick.done != tick.total and now - self._last < LINE_INTERVAL_S:
            return
        self._last = now
        parts = (f"{tick.stage} {_count(tick)}", self._pace.rate(tick), tick.detail, self._pace.left(tick))
        self._say("  ".join(part for part in parts if part))

    def rest(self) -> None:
        """Have nothing to take away."""


class BarMeter:
    """A bar with count, figures and time left, drawn by rich on stderr and gone when the stage is over."""

    def __init__(self, out: Output) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self._bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[count]}", markup=False),
            TextColumn("{task.fields[rate]}", markup=False),
            TextColumn("{task.fields[detail]}", markup=False),
            TimeRemainingColumn(compact=True),
            console=Console(file=out.stderr, markup=False, highlight=False, emoji=False),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._pace = Pace(time.monotonic)

    def tick(self, tick: Tick) -> None:
        """Move the bar."""
        if self._pace.see(tick):
            for task_id in self._bars.task_ids:
                self._bars.remove_task(task_id)
            self._bars.add_task(tick.stage, total=tick.total, count="", rate="", detail="")
        self._bars.update(
            self._bars.task_ids[0],
            completed=tick.done,
            total=tick.total,
            count=_count(tick),
            rate=self._pace.rate(tick),
            detail=tick.detail,
        )
        self._bars.start()
        if tick.done == tick.total:
            self.rest()

    def rest(self) -> None:
        """Take the bar off the screen."""
        self._bars.stop()


class EventPrinter:
    """Observes a run: notes and warnings at once, progress through a meter. Remembers what the summary needs."""

    def __init__(self, out: Output, meter: Meter) -> None:
        self._out = out
        self._meter = meter
        self.started: RunStarted | None = None

    def __enter__(self) -> EventPrinter:
        return self

    def __exit__(self, *_: object) -> None:
        self.rest()

    def rest(self) -> None:
        """Take the bar off the screen before something else is printed."""
        self._meter.rest()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Progress():
                self._meter.tick(Tick(stage=event.stage, done=event.done, total=event.total, unit=event.unit))
            case StepDone():
                self._meter.tick(_step_tick(event))
            case _:
                self.rest()
                self._say(event)

    def _say(self, event: Event) -> None:
        match event:
            case Note(severity="warning"):
                self._out.warning(event.subject, event.message)
            case Note():
                self._out.note(event.subject, event.message)
            case RunStarted():
                self.started = event
                self._describe(event)
            case DeltaFound():
                self._out.note("sections", _delta(event))
            case EvalDone():
                self._out.note("held-out rows", f"loss {event.val_loss:.4f} after step {event.step}")
            case CheckpointSaved():
                self._out.detail("checkpoint", f"saved after step {event.step}")

    def _describe(self, event: RunStarted) -> None:
        self._out.detail("run", f"{event.run_id}, seed {event.seed}, determinism {event.determinism_class}")
        for note in event.determinism_notes:
            self._out.detail("determinism", note)
        for subject, values in (("plan", event.plan), ("recipe", event.recipe)):
            for name, value in values.items():
                self._out.detail(subject, f"{name} = {_with_reason(value)}")


def event_printer(out: Output) -> EventPrinter:
    """Give the observer that suits the stream and the options."""
    if out.quiet:
        return EventPrinter(out, SilentMeter())
    if is_capable(out.stderr):
        return EventPrinter(out, BarMeter(out))
    return EventPrinter(out, LineMeter(out.talk))


def duration(seconds: float) -> str:
    """Give seconds in the two largest units that fit, such as ``3 min 20 s``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _count(tick: Tick) -> str:
    if tick.unit in _BYTES:
        done, total = _size(tick.done), None if tick.total is None else _size(tick.total)
        return done if total is None else f"{done}/{total}"
    count = str(tick.done) if tick.total is None else f"{tick.done}/{tick.total}"
    return f"{count} {tick.unit}".rstrip()


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 2**20:.1f} MiB"


def _step_tick(event: StepDone) -> Tick:
    detail = f"loss {event.loss:.4f}  lr {event.lr:.1e}  {event.tokens_per_s:.0f} tokens/s"
    return Tick(stage="step", done=event.step, total=event.total_steps, detail=detail)


def _delta(event: DeltaFound) -> str:
    return f"{len(event.new)} new, {len(event.unchanged)} unchanged, {len(event.removed)} removed"


def _with_reason(value: Any) -> str:
    if isinstance(value, Mapping) and set(value) == {"value", "reason"}:
        return f"{value['value']} ({value['reason']})"
    return str(value)
