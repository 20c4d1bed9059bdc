"""The history page is whole for any history: well formed, self-contained, the same for the same input."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlm.domain.history_page import history_page
from dlm.domain.history_page.svg import axis_to
from dlm.domain.history_page.thinning import thin
from dlm.domain.history_page.words import MISSING, duration, memory, plain, short
from dlm.domain.metrics import EvalMetrics, RunHistory, RunMetrics, StepMetrics, TokenizationMetrics
from history_cases import NOW, a_life, a_step, only_failures

VOID = {"meta", "link", "input", "br"}


class Outline(HTMLParser):
    """Checks that every element is closed in turn; keeps links, identifiers, embedded data and visible text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.data = ""
        self.text = ""
        self._in_data = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action")]
        self.ids += [named["id"] or ""] if "id" in named else []
        self._in_data = named.get("id") == "data"
        assert not any(name.startswith("on") for name in named)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        self._in_data = False
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._in_data:
            self.data += data
        elif self.open and self.open[-1] not in ("style", "script"):
            self.text += data


def page(runs: list[RunHistory], title: str = "notes.dlm") -> str:
    return history_page(runs, title=title, generated_at=NOW)


def outline(text: str) -> Outline:
    found = Outline()
    found.feed(text)
    found.close()
    assert not found.open
    assert len(set(found.ids)) == len(found.ids)
    assert all(link == "data:," for link in found.links)
    assert not re.search(r"url\(|@import|https?:", text.partition("</style>")[0])
    json.loads(found.data, parse_constant=lambda name: pytest.fail(name))
    text.encode()
    return found


def test_the_header_says_in_one_sentence_what_is_known() -> None:
    exam = {"own": {"right": 13, "asked": 14}, "kept": {"right": 7, "asked": 8}, "drift": 0.0812}
    run = RunMetrics(run_id=3, started_at=NOW, status="ok", adapter_version=2)

    text = outline(page([RunHistory(run=run, exam=exam)])).text

    assert "13 of 14 own questions known, ordinary answers kept 7 of 8, drift 0.08 nats/token." in text
    assert "1 run" in text
    assert "latest version v2" in text


def test_nothing_trained_yet_says_how_to_begin() -> None:
    assert "dlm train notes.dlm" in outline(page([])).text


def test_failed_runs_are_told_by_word_and_sign_with_their_message() -> None:
    found = outline(page(only_failures()))

    assert "✕" in found.text
    assert "Run 3 failed: out of memory" in found.text
    assert "No run has taken an exam yet." in found.text
    assert 'id="curves"' not in page(only_failures())


def test_a_life_has_every_chart_and_one_row_a_run() -> None:
    text = page(a_life(16))
    found = outline(text)
    data = json.loads(found.data)

    assert text.count('<figure class="panel"') == 13
    assert text.count('<tr class="is-') == 16
    assert data["panels"]["own"][0] == "8 of 8" or " of " in data["panels"]["own"][0]
    assert data["shown"] == 15
    assert all(len(texts) == 16 for texts in data["panels"].values())
    assert "When does the night train to Bergen leave?" in found.text


def test_the_same_history_in_any_order_gives_the_same_page() -> None:
    runs = a_life(9)

    assert page(runs) == page(runs) == page(list(reversed(runs)))


def test_a_record_from_before_a_score_leaves_its_chart_out() -> None:
    exam = {"own": {"right": 1, "asked": 2}, "prose": {"right": 0, "asked": 0}}

    text = page([RunHistory(run=RunMetrics(run_id=1, started_at=NOW), exam=exam)])

    assert 'data-panel="own"' in text
    assert 'data-panel="prose"' not in text
    assert 'data-panel="drift"' not in text


def test_losses_that_are_no_numbers_are_counted_not_drawn() -> None:
    steps = (a_step(1, 2.0), a_step(2, math.nan), a_step(3, math.inf), a_step(4, None), a_step(5, 1.0))

    data = json.loads(outline(page([RunHistory(run=RunMetrics(run_id=1, started_at=NOW), steps=steps)])).data)

    assert data["runs"][0]["loss"] == [[1, 4], [2, 1]]
    assert data["runs"][0]["bad"] == 2


def test_a_thousand_runs_stay_a_few_megabytes() -> None:
    assert len(page(a_life(300, 300)).encode()) < 2_000_000


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (plain(None), MISSING), (plain(0.08123), "0.0812"), (plain(12345.0), "12,345"), (plain(2e-5), "2.00e-5"),
        (duration(4.23), "4.2 s"), (duration(185), "3 min 05 s"), (duration(7800), "2 h 10 min"),
        (duration(59.9), "1 min"),
        (memory(812), "812 MB"), (memory(3400), "3.4 GB"), (short(12345), "12.3 k"), (short(950), "950"),
    ],
)  # fmt: skip
def test_numbers_read_well(written: str, wanted: str) -> None:
    assert written == wanted


@given(st.lists(st.floats(-1e6, 1e6), max_size=700), st.integers(3, 200))
def test_thinning_keeps_the_ends_the_extremes_and_the_order(heights: list[float], count: int) -> None:
    points = [(float(index), height) for index, height in enumerate(heights)]

    kept = thin(points, count)

    assert len(kept) <= max(count + 2, 0)
    assert kept == sorted(kept)
    assert set(kept) <= set(points)
    if points:
        assert {points[0], points[-1]} <= set(kept)
        assert min(heights) == min(y for _, y in kept)
        assert max(heights) == max(y for _, y in kept)


@given(st.floats(0, 1e12))
def test_an_axis_holds_its_data_in_few_steps(top: float) -> None:
    axis = axis_to(top)

    assert axis.high >= top * (1 - 1e-6)
    assert 2 <= len(axis.ticks) <= 7
    assert axis.low == axis.ticks[0] == 0


NUMBERS = st.none() | st.floats() | st.integers() | st.just(10**400)
TIMES = st.datetimes(timezones=st.none() | st.timezones() | st.just(UTC))
TEXTS = st.none() | st.text(st.characters(exclude_categories=()), max_size=200)
JSON: Any = st.recursive(
    NUMBERS | TEXTS | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
SCORE = st.fixed_dictionaries({"right": NUMBERS, "asked": NUMBERS}) | JSON
EXAMS = st.none() | st.dictionaries(
    st.sampled_from(["own", "reworded", "prose", "kept", "older", "removed", "leaks", "probes", "drift", "missed"]),
    SCORE | st.lists(st.fixed_dictionaries({"question": TEXTS, "line": NUMBERS})),
)
STEPS: Any = st.builds(
    StepMetrics, step=st.integers(), at=TIMES, loss=NUMBERS, lr=NUMBERS, grad_norm=NUMBERS, tokens_per_sec=NUMBERS
)
EVALS: Any = st.builds(
    EvalMetrics, step=st.integers(), at=TIMES, val_loss=NUMBERS, perplexity=NUMBERS, retention=NUMBERS
)
RUNS: Any = st.builds(
    RunMetrics,
    run_id=st.integers(-(10**12), 10**12), started_at=TIMES,
    status=st.sampled_from(["ok", "failed", "running", None, "odd"]),
    phase=TEXTS, adapter_version=st.none() | st.integers(0, 99), steps=NUMBERS, seconds=NUMBERS, anchor_seconds=NUMBERS,
    tokens=NUMBERS, peak_memory_mb=NUMBERS, final_train_loss=NUMBERS, final_val_loss=NUMBERS, new=NUMBERS,
    unchanged=NUMBERS, removed=NUMBERS, stopped=TEXTS, message=TEXTS,
)  # fmt: skip
CACHES: Any = st.builds(
    TokenizationMetrics, total_sections=st.integers(), cache_hits=st.integers(), cache_misses=st.integers(),
    total_tokenize_seconds=st.floats(), cache_bytes_after=st.integers(), at=TIMES,
)  # fmt: skip
HISTORIES: Any = st.builds(
    RunHistory,
    run=RUNS,
    steps=st.lists(STEPS, max_size=5).map(tuple),
    evals=st.lists(EVALS, max_size=4).map(tuple),
    tokenization=st.none() | CACHES,
    exam=EXAMS,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(runs=st.lists(HISTORIES, max_size=4), title=st.text(st.characters(exclude_categories=())))
def test_any_history_gives_a_whole_page(runs: list[RunHistory], title: str) -> None:
    outline(history_page(runs, title=title, generated_at=NOW))
