"""Every run in a table that can be sorted and filtered, and the numbers behind the charts."""

from __future__ import annotations

from collections.abc import Sequence

from dlm.domain.history_page import words
from dlm.domain.history_page.curves import has_curve
from dlm.domain.history_page.facts import STATUSES, RunFacts
from dlm.domain.history_page.panels import Panel

MAX_MESSAGE = 2000
"""Letters of an error message that the page holds; whole traces are in the run's log."""

MAX_LINE = 90
"""Letters of a message that show before it is opened."""

_COLUMNS = (
    ("run", "Run", True),
    ("start", "Start (UTC)", True),
    ("status", "Status", False),
    ("phase", "Phase", False),
    ("version", "Version", True),
    ("steps", "Steps", True),
    ("loss", "Loss", True),
    ("exam", "Exam", True),
    ("drift", "Drift", True),
    ("cost", "Time", True),
    ("note", "Note", False),
)
"""Key, heading, and whether it sorts by number."""


def runs_table(runs: Sequence[RunFacts], shown: int | None) -> str:
    """Give the table, newest run first; ``shown`` is the place of the run whose curve is drawn."""
    heads = "".join(
        f'<th scope="col" class="{key}" data-sort="{"number" if by_number else "text"}">{heading}</th>'
        for key, heading, by_number in _COLUMNS
    )
    rows = "".join(_row(index, runs[index], index == shown) for index in reversed(range(len(runs))))
    return (
        '<div class="scroll" role="region" aria-labelledby="runs-title" tabindex="0"><table id="runs">'
        f'<thead><tr><th scope="col" class="js pick">Curve</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def numbers_table(panels: Sequence[Panel], runs: Sequence[RunFacts]) -> str:
    """Give the numbers that the charts over runs draw, in words, oldest run first; empty without charts."""
    if not panels:
        return ""
    heads = "".join(f'<th scope="col">{panel.title}</th>' for panel in panels)
    rows = "".join(
        f'<tr><th scope="row">{run.history.run.run_id}</th>'
        + "".join(f"<td>{words.escaped(panel.text(run))}</td>" for panel in panels)
        + f"<td>{words.percent(run.cache_rate)}</td></tr>"
        for run in runs
    )
    return (
        '<details class="numbers"><summary>The numbers behind these charts</summary>'
        '<div class="scroll" role="region" aria-label="Numbers of every run" tabindex="0"><table><thead><tr>'
        f'<th scope="col">Run</th>{heads}<th scope="col">Tokens from the cache</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></details>"
    )


def _row(index: int, run: RunFacts, is_shown: bool) -> str:
    record = run.history.run
    run_id = str(record.run_id)
    sign, word = STATUSES[run.status]
    exam = run.scores.get("own")
    cells = (
        f'<th scope="row" class="run" data-v="{run_id}">{run_id}</th>',
        _cell(
            "start",
            "Start",
            f'<time datetime="{words.stamp(record.started_at)}">{words.moment(record.started_at)}</time>',
            words.stamp(record.started_at),
        ),
        _cell("status", "Status", f'<span class="sign" aria-hidden="true">{sign}</span> {word}', run.status),
        _cell("phase", "Phase", words.isolated(words.cut(record.phase or words.MISSING, 20))),
        _number(
            "version",
            "Version",
            record.adapter_version,
            words.MISSING if record.adapter_version is None else f"v{record.adapter_version}",
        ),
        _number("steps", "Steps", record.steps, words.whole(words.number(record.steps))),
        _number("loss", "Loss", run.loss, _loss(run)),
        _number("exam", "Exam", exam.share if exam else None, str(exam) if exam else words.MISSING),
        _number("drift", "Drift", run.drift, words.plain(run.drift, 2)),
        _number("cost", "Time", run.seconds, words.duration(run.seconds)),
        _cell("note", "Note", _note(run)),
    )
    return f'<tr class="is-{run.status}" data-run="{index}">{_pick(index, run, is_shown)}{"".join(cells)}</tr>'


def _pick(index: int, run: RunFacts, is_shown: bool) -> str:
    if not has_curve(run):
        return '<td class="js pick"></td>'
    checked = " checked" if is_shown else ""
    name = f"Show the curve of run {run.history.run.run_id}"
    box = f'<input type="checkbox" autocomplete="off" aria-label="{name}" value="{index}"{checked}>'
    return f'<td class="js pick">{box}</td>'


def _cell(key: str, name: str, content: str, value: str | None = None) -> str:
    sort = "" if value is None else f' data-v="{words.escaped(value)}"'
    return f'<td class="{key}" data-name="{name}"{sort}>{content}</td>'


def _number(key: str, name: str, value: float | None, content: str) -> str:
    found = words.number(value)
    return _cell(key, name, words.escaped(content), "" if found is None else f"{found:.6g}")


def _loss(run: RunFacts) -> str:
    return words.plain(run.loss) + (" held-out" if run.is_held_out else "")


def _note(run: RunFacts) -> str:
    record = run.history.run
    if not record.message:
        return words.isolated(words.cut(record.stopped or "", MAX_LINE))
    text = words.clean(record.message)
    if len(text) > MAX_MESSAGE:
        text = f"{text[:MAX_MESSAGE]}… ({len(text) - MAX_MESSAGE:,} more characters in the run's log)"
    first = text.strip().split("\n", 1)[0]
    if text.strip() == first and len(first) <= MAX_LINE:
        return words.isolated(first)
    whole = f'<pre dir="auto" tabindex="0">{words.escaped(text)}</pre>'
    return f"<details><summary>{words.isolated(words.cut(first, MAX_LINE))}</summary>{whole}</details>"
