"""The page, put together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dlm.domain.history_page import words
from dlm.domain.history_page.curves import curve_record, first_curve, last_values, newest_with_curve
from dlm.domain.history_page.facts import STATUSES, RunFacts, facts_of
from dlm.domain.history_page.panels import CHANGES, COST, EXAM, PANELS, Panel, measured, panel_figure
from dlm.domain.history_page.script_curves import CURVES_SCRIPT
from dlm.domain.history_page.script_runs import RUNS_SCRIPT
from dlm.domain.history_page.style import STYLE
from dlm.domain.history_page.table import numbers_table, runs_table
from dlm.domain.metrics import RunHistory

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; base-uri 'none'"
"""What the page may load: nothing but what it holds."""

MAX_MISSED = 20
"""Questions not yet known that the page lists."""


def history_page(runs: Sequence[RunHistory], *, title: str, generated_at: datetime) -> str:
    """Give one self-contained HTML page about the runs of a document, in whatever order they come.

    The same input gives the same text. Foreign text (title, messages, questions) is shown, never obeyed. Numbers that
    are not finite count as unknown. Curves are thinned to about 200 points; 1,000 runs make a page of a few megabytes.
    """
    ordered = sorted(runs, key=lambda history: (history.run.run_id, words.stamp(history.run.started_at)))
    facts = [facts_of(history) for history in ordered]
    content = "".join(_sections(facts)) if facts else _EMPTY
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f'<link rel="icon" href="data:,">\n<title>{words.escaped(title)} – training history</title>\n'
        f"<style>{STYLE}</style>\n<script>document.documentElement.className='has-js'</script>\n</head>\n<body>\n"
        f"{_header(facts, title)}\n<main>\n{content}\n</main>\n"
        f'<footer>Made by dlm on <time datetime="{words.stamp(generated_at)}">{words.moment(generated_at)} UTC</time>. '
        "Times are UTC, losses are nats per token.</footer>\n"
        '<p id="said" class="unseen" aria-live="polite"></p>\n'
        f'<script type="application/json" id="data">{_embedded(_data(facts))}</script>\n'
        f"<script>{RUNS_SCRIPT}{CURVES_SCRIPT}</script>\n</body>\n</html>\n"
    )


_EMPTY = (
    '<section class="empty"><h2>No runs yet</h2><p>Train the document once, then make this page again:</p>'
    "<pre>dlm train notes.dlm</pre></section>"
)


def _header(runs: Sequence[RunFacts], title: str) -> str:
    facts = [f"{len(runs):,} {'run' if len(runs) == 1 else 'runs'}{_outcomes(runs)}"]
    versions = [run.history.run.adapter_version for run in runs if run.history.run.adapter_version is not None]
    if versions:
        facts.append(f"latest version v{max(versions)}")
    if runs:
        facts.append(f"last run {words.moment(runs[-1].history.run.started_at)} UTC")
    items = "".join(f"<li>{words.escaped(fact)}</li>" for fact in facts)
    state = f'<p class="state">{_state(runs)}</p>{_failure(runs)}{_missed(runs)}' if runs else ""
    return (
        f'<header><p class="kind">Training history</p><h1>{words.isolated(title)}</h1><ul>{items}</ul>{state}</header>'
    )


def _outcomes(runs: Sequence[RunFacts]) -> str:
    found = Counter(run.status for run in runs)
    others = [f"{found[status]:,} {STATUSES[status][1]}" for status in STATUSES if status != "ok" and found[status]]
    return f" ({', '.join(others)})" if others else ""


def _last_exam(runs: Sequence[RunFacts]) -> RunFacts | None:
    return next((run for run in reversed(runs) if run.has_exam), None)


def _state(runs: Sequence[RunFacts]) -> str:
    """Give one sentence: what the model knows now, and what it cost the rest of it."""
    run = _last_exam(runs)
    if run is None:
        return "No run has taken an exam yet."
    parts = []
    if score := run.scores.get("own"):
        parts.append(f"<b>{score}</b> own questions known")
    if score := run.scores.get("kept"):
        parts.append(f"ordinary answers kept <b>{score}</b>")
    if run.drift is not None:
        parts.append(f"drift <b>{run.drift:.2f}</b> nats/token")
    sentence = ", ".join(parts) or "an exam was taken"
    return f"{sentence[0].upper()}{sentence[1:]}."


def _failure(runs: Sequence[RunFacts]) -> str:
    run = runs[-1]
    if run.status not in ("failed", "cancelled"):
        return ""
    message = words.clean(run.history.run.message or "").strip().split("\n", 1)[0][:300]
    sign, word = STATUSES[run.status]
    reason = f": {words.isolated(message)}" if message else "."
    run_id = run.history.run.run_id
    return f'<p class="failure is-{run.status}"><span aria-hidden="true">{sign}</span> Run {run_id} {word}{reason}</p>'


def _missed(runs: Sequence[RunFacts]) -> str:
    run = _last_exam(runs)
    if run is None or not run.missed:
        return ""
    items = "".join(
        f"<li>{f'<small>line {line}</small> ' if line is not None else ''}{words.isolated(text[:300])}</li>"
        for line, text in run.missed[:MAX_MISSED]
    )
    more = f"<li>and {len(run.missed) - MAX_MISSED} more</li>" if len(run.missed) > MAX_MISSED else ""
    return f"<details><summary>Not yet known: {len(run.missed)}</summary><ul>{items}{more}</ul></details>"


def _sections(runs: Sequence[RunFacts]) -> list[str]:
    shown = newest_with_curve(runs)
    return [
        _overview("knows", "What the model knows", "The exam after each run.", EXAM, runs),
        _overview("cost", "What each run changed and cost", "", (*CHANGES, *COST), runs),
        numbers_table(measured(PANELS, runs), runs),
        _curves(runs, shown),
        _runs(runs, shown),
    ]


def _overview(name: str, title: str, about: str, panels: Sequence[Panel], runs: Sequence[RunFacts]) -> str:
    figures = "".join(panel_figure(panel, runs) for panel in measured(panels, runs))
    if not figures:
        return ""
    count = len(measured(panels, runs))
    hint = '<span class="js">Point at a run, or use the arrow keys; press Enter to see its curve.</span>'
    return (
        f'<section aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>'
        f'<p class="about">{about} {hint}</p><div class="panels of-{count}">{figures}</div></section>'
    )


def _curves(runs: Sequence[RunFacts], shown: int | None) -> str:
    if shown is None:
        return ""
    cells = "".join(f"<td>{value}</td>" for value in last_values(runs[shown]))
    return (
        '<section aria-labelledby="curves-title" id="curves"><h2 id="curves-title">Inside a run</h2>'
        '<p class="about">Loss by step: how far the model is from the text it learns, in nats per token. '
        '<span class="js">Point at a step, or use the arrow keys.</span></p>'
        f'{_CONTROLS}<figure class="curve">{_KEY}{first_curve(runs[shown])}<p class="axis">optimiser step</p>'
        '<div class="scroll" role="region" aria-label="Values at the step" tabindex="0">'
        '<table id="reading"><thead><tr><th scope="col">Run</th><th scope="col">Step</th><th scope="col">Training</th>'
        '<th scope="col">Held-out</th><th scope="col">Perplexity</th><th scope="col">Removed sections</th></tr></thead>'
        f'<tbody><tr><th scope="row"><i class="swatch s0"></i>{runs[shown].history.run.run_id}</th>{cells}</tr></tbody>'
        '</table></div></figure><details class="js" id="points"><summary>All points of the runs shown</summary>'
        '<div class="scroll" role="region" aria-label="All points" tabindex="0"></div></details></section>'
    )


_CONTROLS = (
    '<div class="controls js"><label>Show <select id="metric" autocomplete="off"><option value="loss">loss</option>'
    '<option value="ppl">perplexity</option><option value="lr">learning rate</option>'
    '<option value="grad">gradient norm</option><option value="speed">tokens per second</option></select></label>'
    '<label><input type="checkbox" id="log" autocomplete="off"> Logarithmic</label>'
    '<span class="group"><button type="button" id="older">← Older</button>'
    '<button type="button" id="newer">Newer →</button></span>'
    '<label>Compare with <select id="add" autocomplete="off"><option value="">choose a run</option></select></label>'
    "</div>"
)

_KEY = (
    '<ul class="legend" id="key"><li><i class="k-train"></i>training</li><li><i class="k-val"></i>held-out rows</li>'
    '<li><i class="k-kept"></i>removed sections</li></ul>'
)


def _runs(runs: Sequence[RunFacts], shown: int | None) -> str:
    statuses = [status for status in STATUSES if any(run.status == status for run in runs)]
    options = "".join(f'<option value="{status}">{STATUSES[status][1]}</option>' for status in statuses)
    return (
        '<section aria-labelledby="runs-title"><h2 id="runs-title">All runs</h2><div class="controls js" role="search">'
        '<label>Find <input type="search" id="find" autocomplete="off" placeholder="message, phase, v12 …"></label>'
        '<label>Status <select id="status" autocomplete="off"><option value="">every</option>'
        f"{options}</select></label>"
        f'<output id="found" for="find status">{len(runs):,} runs</output></div>{runs_table(runs, shown)}</section>'
    )


def _data(runs: Sequence[RunFacts]) -> dict[str, Any]:
    panels = measured(PANELS, runs)
    return {
        "runs": [curve_record(run) for run in runs],
        "panels": {panel.key: [panel.text(run) for run in runs] for panel in panels},
        "status": [STATUSES[run.status][1] for run in runs],
        "shown": newest_with_curve(runs),
    }


def _embedded(data: dict[str, Any]) -> str:
    """Give JSON that no HTML parser can take for anything else: ``<``, ``>``, ``&`` and all but ASCII as codes."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
