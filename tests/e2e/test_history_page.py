"""The history page in a real browser: it draws, selects, compares, stays quiet and loads fast."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from dlm.domain.history_page import history_page
from dlm.domain.metrics import RunHistory
from history_cases import NOW, a_life, hostile_runs, only_failures

CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="the program chromium is not on PATH")

LOAD_S = 5.0
"""For the page of 1,000 runs to be ready, by the browser's own clock. About a second was measured on two busy cores;
the limit is for a slower machine."""

CLOCK = (
    "<script>addEventListener('load',()=>document.documentElement.dataset.ms=Math.round(performance.now()))</script>"
)


def written(folder: Path, runs: list[RunHistory], *, script: str = "") -> Path:
    """Write the page; ``script`` runs after its own, in the place of a reader's hand."""
    path = folder / "history.html"
    text = history_page(runs, title="notes.dlm", generated_at=NOW)
    path.write_text(text.replace("</body>", f"{script}</body>"), encoding="utf-8")
    return path


def browse(page: Path, *options: str) -> tuple[str, str]:
    """Open a page; give the browser's output and its log."""
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--enable-logging=stderr",
    ]
    done = subprocess.run(
        [*command, f"--user-data-dir={page.parent / 'profile'}", *options, page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout, done.stderr


def dom(folder: Path, runs: list[RunHistory], script: str = "") -> str:
    """Give the page as the browser holds it once scripts have run; the console stays empty."""
    found, log = browse(written(folder, runs, script=script), "--dump-dom")
    assert "CONSOLE" not in log, log
    return found


def test_the_newest_run_is_selected(tmp_path: Path) -> None:
    assert 'data-selected="16" data-ready="true"' in dom(tmp_path, a_life(16))


def test_a_reader_compares_sorts_filters_and_points(tmp_path: Path) -> None:
    script = """<script>
      const click = (query) => document.querySelector(query).click();
      click("#runs input[value='12']"); click("#log"); click("#runs th.loss button");
      const find = document.getElementById("find");
      find.value = "Ctrl-C"; find.dispatchEvent(new Event("input"));
      const area = document.querySelector(".panel .area");
      area.focus(); area.dispatchEvent(new KeyboardEvent("keydown", {key: "Home"}));
    </script>"""
    found = dom(tmp_path, a_life(16), script)

    assert 'data-selected="16,13"' in found
    assert 'aria-sort="descending"' in found
    assert ">1 of 16 runs</output>" in found
    assert 'aria-valuetext="run 1, succeeded:' in found


@pytest.mark.parametrize(
    "runs", [[], a_life(1), only_failures(), hostile_runs()], ids=["none", "one", "failed", "hostile"]
)
def test_odd_histories_raise_no_error_in_the_browser(tmp_path: Path, runs: list[RunHistory]) -> None:
    found = dom(tmp_path, runs)

    assert 'data-ready="true"' in found
    assert "<title>notes.dlm – training history</title>" in found


@pytest.mark.parametrize(
    ("width", "options"),
    [(1280, ()), (1280, ("--blink-settings=preferredColorScheme=0",)), (500, ())],
    ids=["light", "dark", "narrow"],
)
def test_it_can_be_pictured(tmp_path: Path, width: int, options: tuple[str, ...]) -> None:
    picture = tmp_path / "page.png"

    browse(written(tmp_path, a_life(16)), f"--screenshot={picture}", f"--window-size={width},2000", *options)

    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 50_000


def test_a_thousand_runs_load_and_select_in_time(tmp_path: Path) -> None:
    started = time.perf_counter()
    found = dom(tmp_path, a_life(1000, 300), CLOCK)
    took = time.perf_counter() - started

    measured = re.search(r'data-ms="(\d+)"', found)
    assert measured is not None, took
    assert int(measured[1]) < LOAD_S * 1000
    assert 'data-selected="1000"' in found
