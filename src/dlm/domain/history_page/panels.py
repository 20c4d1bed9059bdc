"""Small charts over all runs: what is known, what changed, what it cost. One question each, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from dlm.domain.history_page import words
from dlm.domain.history_page.facts import RunFacts
from dlm.domain.history_page.svg import SHARES, Axis, axis_to, bar, chart, line, place
from dlm.domain.history_page.thinning import thin
from dlm.domain.numbers import spread

MAX_DOTS = 60
"""Runs up to which every point of a line gets a dot; beyond, dots would touch."""

MAX_BARS = 120
"""Bars side by side at most; with more runs neighbours share a bar, which shows their mean."""

MAX_POINTS = 200


@attrs.frozen(kw_only=True)
class Panel:
    """One chart over runs.

    Args:
        key: stands in the page's data.
        parts: what is drawn for a run: one height of a line, or the parts of a stacked bar; None when unknown.
        text: the same in words, for the number beside the title and the table.
        tick: writes a number of the upright axis.
        legend: names of the parts of a bar.
        axis: fixed; None fits it to the data.
    """

    key: str
    title: str
    about: str
    parts: Callable[[RunFacts], tuple[float, ...] | None]
    text: Callable[[RunFacts], str]
    tick: Callable[[float], str] = words.tick
    legend: tuple[str, ...] = ()
    axis: Axis | None = None
    whole: bool = False


def _score(key: str, title: str, about: str) -> Panel:
    def parts(run: RunFacts) -> tuple[float, ...] | None:
        score = run.scores.get(key)
        return (score.right / score.asked,) if score else None

    def text(run: RunFacts) -> str:
        return str(run.scores[key]) if key in run.scores else words.MISSING

    return Panel(key=key, title=title, about=about, parts=parts, text=text, tick=words.percent, axis=SHARES)


def _one(value: float | None) -> tuple[float, ...] | None:
    return None if value is None else (value,)


def _seconds(run: RunFacts) -> tuple[float, ...] | None:
    return None if run.seconds is None else (run.seconds - run.anchor_seconds, run.anchor_seconds)


def _seconds_text(run: RunFacts) -> str:
    whole = words.duration(run.seconds)
    return f"{whole}, {words.duration(run.anchor_seconds)} holding" if run.anchor_seconds else whole


def _delta_text(run: RunFacts) -> str:
    if run.delta is None:
        return words.MISSING
    return "{:,} new, {:,} same, {:,} removed".format(*run.delta)


EXAM = (
    _score("own", "Own questions", "answers of the document, asked word for word"),
    _score("reworded", "Reworded questions", "the same, in words that were not trained"),
    _score("prose", "Facts of the prose", "asked as questions that were not trained"),
    _score("kept", "Answers kept", "to ordinary questions that the base model had right"),
    _score("older", "Older sections", "learned in earlier runs, still in the document"),
    _score("removed", "Removed sections", "no longer in the document, asked all the same"),
    Panel(
        key="leaks",
        title="Unasked mentions",
        about="ordinary answers that bring up the document; fewer is better",
        parts=lambda run: _one(run.leaks.share if run.leaks else None),
        text=lambda run: str(run.leaks) if run.leaks else words.MISSING,
        tick=words.percent,
        axis=SHARES,
    ),
    Panel(
        key="drift",
        title="Drift from the base",
        about="on ordinary questions, nats per token; lower is better",
        parts=lambda run: _one(run.drift),
        text=lambda run: words.MISSING if run.drift is None else f"{run.drift:.3f} nats/token",
    ),
)

CHANGES = (
    Panel(
        key="delta",
        title="Sections",
        about="against the last successful run",
        parts=lambda run: run.delta,
        text=_delta_text,
        tick=words.short,
        legend=("unchanged", "new", "removed"),
        whole=True,
    ),
)

COST = (
    Panel(
        key="seconds",
        title="Time",
        about="from start to end",
        parts=_seconds,
        text=_seconds_text,
        tick=words.duration,
        legend=("training", "holding ordinary answers"),
    ),
    Panel(
        key="tokens",
        title="Tokens",
        about="that went through the model",
        parts=lambda run: _one(run.tokens),
        text=lambda run: words.short(run.tokens),
        tick=words.short,
    ),
    Panel(
        key="speed",
        title="Speed",
        about="tokens per second, over the whole run",
        parts=lambda run: _one(run.tokens_per_s),
        text=lambda run: f"{words.short(run.tokens_per_s)} tokens/s" if run.tokens_per_s is not None else words.MISSING,
        tick=words.short,
    ),
    Panel(
        key="memory",
        title="Peak memory",
        about="of the process, or of the graphics card",
        parts=lambda run: _one(run.memory_mb),
        text=lambda run: words.memory(run.memory_mb),
        tick=words.memory,
    ),
)

PANELS = (*EXAM, *CHANGES, *COST)


def measured(panels: Sequence[Panel], runs: Sequence[RunFacts]) -> list[Panel]:
    """Give the panels of which at least one run knows something."""
    return [panel for panel in panels if any(panel.parts(run) is not None for run in runs)]


def panel_figure(panel: Panel, runs: Sequence[RunFacts]) -> str:
    """Draw one panel; beside its title stands the newest known number."""
    known = [(index, parts) for index, run in enumerate(runs) if (parts := panel.parts(run)) is not None]
    axis = panel.axis or axis_to(max(sum(parts) for _, parts in known), whole=panel.whole)
    newest = runs[known[-1][0]]
    name, last = f"run {newest.history.run.run_id}", panel.text(newest)
    label = f"{panel.title} over {len(runs)} runs, {panel.about}. {name.capitalize()}: {last}"
    draw = _bars if panel.legend else _line
    drawing = draw(known, axis, len(runs))
    return (
        f'<figure class="panel" data-panel="{panel.key}"><figcaption><b>{panel.title}</b> '
        f'<small class="when">{name}</small><span class="now">{words.escaped(last)}</span>'
        f"<small>{panel.about}</small>{_legend(panel, len(runs))}"
        f"</figcaption>{chart(drawing, label, axis, panel.tick, run_labels(runs))}</figure>"
    )


def run_labels(runs: Sequence[RunFacts]) -> list[tuple[float, str]]:
    """Give the numbers of up to five runs, spread along the axis; the last one is among them."""
    chosen = spread(range(len(runs)), 5) if len(runs) > 6 else list(range(len(runs)))
    if chosen and chosen[-1] != len(runs) - 1:
        chosen = [index for index in chosen if len(runs) - 1 - index > len(runs) / 8] + [len(runs) - 1]
    return [(place(index, len(runs)), str(runs[index].history.run.run_id)[:9]) for index in chosen]


def _line(known: Sequence[tuple[int, tuple[float, ...]]], axis: Axis, n_runs: int) -> str:
    points = thin([(place(index, n_runs), axis.share(parts[0])) for index, parts in known], MAX_POINTS)
    return line(points, "c1", dots=len(points) <= MAX_DOTS)


def _bars(known: Sequence[tuple[int, tuple[float, ...]]], axis: Axis, n_runs: int) -> str:
    together = -(-n_runs // MAX_BARS)
    groups: dict[int, list[tuple[float, ...]]] = {}
    for index, parts in known:
        groups.setdefault(index // together, []).append(parts)
    layers: list[list[str]] = [[] for _ in known[0][1]]
    width = min(together / n_runs, 0.12)
    for group, members in groups.items():
        mean = [sum(part) / len(members) for part in zip(*members, strict=True)]
        middle = (group + 0.5) * together / n_runs
        for layer, path in zip(layers, bar(middle - width * 0.4, width * 0.8, _stacked(mean), axis), strict=True):
            layer.append(path)
    return "".join(f'<path class="fill b{index}" d="{"".join(layer)}"/>' for index, layer in enumerate(layers))


def _stacked(parts: list[float]) -> list[float]:
    """Give the parts from the bottom up: what stays the same carries what is new and removed."""
    return [parts[1], parts[0], parts[2]] if len(parts) == 3 else parts


def _legend(panel: Panel, n_runs: int) -> str:
    if not panel.legend:
        return ""
    items = "".join(f'<li><i class="b{index}"></i>{name}</li>' for index, name in enumerate(panel.legend))
    together = -(-n_runs // MAX_BARS)
    note = f"<li>each bar: mean of {together} runs</li>" if together > 1 else ""
    return f'<ul class="legend">{items}{note}</ul>'
