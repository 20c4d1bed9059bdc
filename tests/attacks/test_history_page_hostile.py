"""Attacks on the history page: text in messages, titles, questions and phases that would be markup or script.

Ideas tried: closing the script or style element, event handlers, comments and CDATA, entities, line separators of
JavaScript, control characters and halves of characters, marks that turn the direction of writing, very long text.
"""

from __future__ import annotations

import json

import pytest

from dlm.domain.history_page import history_page
from history_cases import HOSTILE, NOW, a_life, hostile_runs
from unit.test_history_page import outline  # type: ignore[import-not-found,unused-ignore]


def tags(text: str) -> list[str]:
    found: list[str] = outline(text).tags
    return found


@pytest.mark.parametrize("title", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_title_adds_no_element(title: str) -> None:
    runs = a_life(2, 8)

    assert tags(history_page(runs, title=title, generated_at=NOW)) == tags(
        history_page(runs, title="notes.dlm", generated_at=NOW)
    )


def test_hostile_texts_of_runs_are_only_shown() -> None:
    text = history_page(hostile_runs(), title="notes.dlm", generated_at=NOW)
    found = outline(text)

    assert found.tags.count("script") == 3
    assert found.tags.count("style") == 1
    assert "img" not in found.tags
    assert HOSTILE[0] in found.text
    assert "\x00" not in text
    assert "\u2028" not in found.data


def test_the_embedded_data_cannot_end_its_element() -> None:
    data = outline(history_page(hostile_runs(), title=HOSTILE[0], generated_at=NOW)).data

    assert not set("<>&\u2028\u2029") & set(data)
    assert json.loads(data)["runs"][0]["id"] == 1


def test_long_messages_are_cut() -> None:
    text = history_page(hostile_runs(), title="x", generated_at=NOW)

    assert "x" * 2001 not in text
    assert "8,000 more characters" in text
