"""Weights & Biases runs that stay on this machine: ``<store>/wandb/offline-run-…``. Uploading is ``wandb sync``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dlm.domain.environment import TELEMETRY_DEFAULTS
from dlm.domain.errors import MissingExtra
from dlm.domain.events import Emit, Event, RunFinished
from dlm.domain.scalars import BestEffort, scalar_observer
from dlm.ports.metrics import ObservedRun

_REPORTING = "WANDB_ERROR_REPORTING"


class WandbSink:
    """Writes each run to a folder of its own; nothing is sent, captured or collected beyond the run's numbers.

    Args:
        project: under which the run appears once it is uploaded.
    """

    name = "wandb"

    def __init__(self, project: str) -> None:
        self._project = project

    @contextmanager
    def observe(self, run: ObservedRun, warn: Callable[[str], None]) -> Iterator[Emit]:
        """Give an observer that logs the run's numbers. What fails is told once.

        Raises:
            MissingExtra: the package is not installed.
        """
        wandb = _package()
        attempt = BestEffort(self.name, warn)
        opened: list[Any] = []
        attempt(lambda: opened.append(_opened(wandb, self._project, run)))
        log = opened[0].log if opened else lambda *_args, **_named: None
        observe = scalar_observer(lambda step, numbers: log(dict(numbers), step=step))
        code = 1

        def emit(event: Event) -> None:
            nonlocal code
            if isinstance(event, RunFinished):
                code = 0 if event.status == "completed" else 1
            attempt(observe, event)

        try:
            yield emit
        finally:
            for one in opened:
                # Also after a failure: its helper process ends with it.
                attempt.is_broken = False
                attempt(lambda one=one: one.finish(exit_code=code))


def _opened(wandb: Any, project: str, run: ObservedRun) -> Any:
    run.store.mkdir(parents=True, exist_ok=True)
    return wandb.init(
        project=project,
        name=f"run_{run.run_id:04d}",
        id=f"{run.dlm_id.lower()}-{run.run_id:04d}",
        dir=str(run.store),
        config={"run_id": run.run_id, "phase": run.phase, "seed": run.seed},
        mode="offline",
        reinit="create_new",  # a notebook may have a run of its own open
        settings=_settings(wandb),
    )


def _settings(wandb: Any) -> Any:
    return wandb.Settings(
        console="off",
        silent=True,
        quiet=True,
        disable_git=True,
        disable_code=True,
        save_code=False,
        disable_job_creation=True,
        symlink=False,
        x_disable_meta=True,
        x_disable_stats=True,
        x_disable_machine_info=True,
    )


def _package() -> Any:
    os.environ.setdefault(_REPORTING, TELEMETRY_DEFAULTS[_REPORTING])  # read while it is imported
    try:
        import wandb

        # A folder named wandb in the working directory is an empty package to Python.
        is_there = wandb.__file__ is not None
    except ImportError as exc:
        raise _missing() from exc
    if not is_there:
        raise _missing()
    return wandb


def _missing() -> MissingExtra:
    return MissingExtra(
        "install.observability",
        "DLM_WANDB_PROJECT is set, and the package wandb is not installed",
        hint='Run: pip install "dlm[observability]", or unset DLM_WANDB_PROJECT',
    )
