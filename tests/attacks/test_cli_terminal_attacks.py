"""Text that tries to steer the terminal."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.cli.terminal import ControlFilter, printable

HOSTILE = st.text(alphabet="ab[]m0;\\\n\t\r\x1b\x07\x08\x9b\x9c\x9d\x90\x7f(ü→P^_")


@given(text=HOSTILE | st.text())
def test_nothing_that_steers_survives(text: str) -> None:
    shown = printable(text)

    assert not [char for char in shown if char not in "\n\t" and (char < " " or "\x7f" <= char <= "\x9f")]


@given(text=HOSTILE, cuts=st.lists(st.integers(0, 40), max_size=6))
def test_pieces_are_filtered_like_the_whole(text: str, cuts: list[int]) -> None:
    marks = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in itertools.pairwise(marks)]
    pipe = ControlFilter()

    assert "".join(pipe.feed(piece) for piece in pieces) == printable(text)


@given(text=st.text())
def test_filtering_twice_is_filtering_once(text: str) -> None:
    assert printable(printable(text)) == printable(text)


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cc"])))
def test_ordinary_text_is_untouched(text: str) -> None:
    assert printable(text) == text


@given(before=HOSTILE, line=st.text(alphabet="abc [x] ü"))
def test_no_sequence_swallows_more_than_its_line(before: str, line: str) -> None:
    assert printable(f"{before}\n{line}\n").endswith(f"\n{line}\n")


@pytest.mark.parametrize(
    "sequence",
    [
        "\x1b[31m",
        "\x1b[2J",
        "\x1b]0;title\x07",
        "\x1b]52;c;ZXZpbA==\x1b\\",
        "\x1bP1$r\x1b\\",
        "\x1b(B",
        "\x1bc",
        "\x9b1;1H",
        "\x9d8;;http://evil\x9c",
        "\r",
        "\x08",
        "\x7f",
        "\x00",
    ],
)
def test_whole_sequences_vanish(sequence: str) -> None:
    assert printable(f"a{sequence}b") == "ab"
