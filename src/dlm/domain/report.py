"""What a training run gives back to a person."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any, Literal

import attrs

from dlm.domain.corpus import Delta
from dlm.domain.errors import MissingExtra
from dlm.domain.events import EvalDone, StepDone
from dlm.domain.exam import Exam
from dlm.domain.json_record import finite
from dlm.domain.plan import TrainingPlan
from dlm.domain.recipe import recipe_json
from dlm.domain.training import Recipe, StopReason

RunOutcome = Literal["completed", "nothing-to-do"]


@attrs.frozen(kw_only=True)
class RunReport:
    """One training run: what was decided, how it went, what is known now.

    Args:
        status: ``nothing-to-do`` when there was nothing to train; then only ``message`` says more.
        curve: every optimiser step of this run.
        evals: every look at held-out rows.
        anchor_seconds: part of the time that went into holding on to ordinary answers (``training.retention``).
        delta: sections against the last successful run.
        retention: loss over sections that left the document, before and after, nats per token; None where there are
            none.
        final_train_loss, final_val_loss: nats per supervised token over the whole document, after training.
    """

    dlm_id: str
    status: RunOutcome
    message: str = ""
    run_id: int | None = None
    adapter_version: int | None = None
    adapter_path: str | None = None
    log_path: str | None = None
    summary_path: str | None = None
    steps: int = 0
    stopped: StopReason | None = None
    final_train_loss: float | None = None
    final_val_loss: float | None = None
    seconds: float = 0.0
    anchor_seconds: float = 0.0
    peak_memory_mb: int | None = None
    determinism_class: str = ""
    exam: Exam | None = None
    plan: TrainingPlan | None = None
    recipe: Recipe | None = None
    delta: Delta | None = None
    retention: tuple[float, float] | None = None
    curve: tuple[StepDone, ...] = attrs.field(default=(), repr=False)
    evals: tuple[EvalDone, ...] = attrs.field(default=(), repr=False)

    def to_json(self) -> dict[str, Any]:
        """Give all but the curves; one object, as ``dlm train --json`` prints it. Non-finite numbers are null."""
        record = attrs.asdict(self, recurse=False, filter=lambda field, _: field.name not in ("curve", "evals"))
        record["exam"] = self.exam.to_json() if self.exam else None
        record["plan"] = self.plan.to_json() if self.plan else None
        record["delta"] = attrs.asdict(self.delta) if self.delta else None
        record["recipe"] = recipe_json(self.recipe) if self.recipe else None
        plain: dict[str, Any] = finite(record)
        return plain

    def to_frame(self) -> Any:
        """Give the curve as a pandas ``DataFrame``, one row per optimiser step.

        Raises:
            MissingExtra: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as exc:
            raise MissingExtra(
                "install.notebook", "to_frame() needs pandas", hint='Run: pip install "dlm[notebook]"'
            ) from exc
        columns = [field.name for field in attrs.fields(StepDone)]
        return pd.DataFrame([[getattr(step, name) for name in columns] for step in self.curve], columns=columns)

    def plot(self, ax: Any = None) -> Any:
        """Draw the loss, and the loss on held-out rows where it was measured, over the steps.

        Args:
            ax: the matplotlib ``Axes`` to draw on; a new figure when None.

        Returns:
            The ``Axes``, for titles, scales and saving.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError as exc:
            raise MissingExtra(
                "install.notebook", "plot() needs matplotlib", hint='Run: pip install "dlm[notebook]"'
            ) from exc
        axes = plt.subplots()[1] if ax is None else ax
        axes.plot([step.step for step in self.curve], [step.loss for step in self.curve], label="training")
        if self.evals:
            axes.plot(
                [look.step for look in self.evals], [look.val_loss for look in self.evals], "o-", label="held out"
            )
            axes.legend()
        axes.set_xlabel("step")
        axes.set_ylabel("loss, nats per token")
        return axes

    def __str__(self) -> str:
        if self.status == "nothing-to-do":
            return f"nothing to do: {self.message}"
        head = f"v{self.adapter_version:04d} after {self.steps} steps ({self.stopped}), {self.seconds:.0f} s"
        if self.anchor_seconds:
            head += f", {self.anchor_seconds:.0f} s of it to keep ordinary answers"
        return f"{head}\n{self.exam}" if self.exam else head

    def _repr_html_(self) -> str:
        """Draw the loss curve and the exam for a notebook; no scripts, follows light and dark themes."""
        exam = _exam_table(self.exam) if self.exam else ""
        title = html.escape(str(self).splitlines()[0])
        return f"<div><strong>{title}</strong>{_curve_svg([step.loss for step in self.curve])}{exam}</div>"


def _curve_svg(losses: Sequence[float], width: int = 420, height: int = 120) -> str:
    """Draw losses over steps as one line in the text colour; steps whose loss was not a number are left out."""
    losses = [loss for loss in losses if math.isfinite(loss)]
    if len(losses) < 2:
        return ""
    top = max(losses) or 1.0
    points = " ".join(
        f"{index * width / (len(losses) - 1):.1f},{height - loss / top * height:.1f}"
        for index, loss in enumerate(losses)
    )
    return (
        f'<svg viewBox="-4 -4 {width + 8} {height + 24}" width="{width}" role="img" aria-label="training loss">'
        f'<polyline fill="none" stroke="currentColor" stroke-width="1.5" points="{points}"/>'
        f'<text x="0" y="{height + 16}" font-size="11" fill="currentColor">loss {losses[0]:.2f} → {losses[-1]:.3f} '
        f"in {len(losses)} steps</text></svg>"
    )


def _exam_table(exam: Exam) -> str:
    rows = [
        ("own questions answered", str(exam.own)),
        ("reworded questions answered", str(exam.reworded)),
        ("facts of the prose", str(exam.prose)),
        *(("learned in earlier runs", str(exam.older)) for _ in range(exam.older.asked > 0)),
        *(("of sections removed since", str(exam.removed)) for _ in range(exam.removed.asked > 0)),
        ("ordinary questions kept", str(exam.kept)),
        ("answers that mention the document unasked", f"{len(exam.leaks)} of {exam.probes}"),
        ("drift from the base", f"{exam.drift:.3f} nats/token"),
    ]
    cells = "".join(f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>" for name, value in rows)
    missed = [graded.question for graded in exam.missed]
    notes = "".join(f"<li>line {question.line}: {html.escape(question.text)}</li>" for question in missed)
    return f"<table>{cells}</table>" + (f"<p>Not yet known:</p><ul>{notes}</ul>" if notes else "")
