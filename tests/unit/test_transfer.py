"""When to try again, where to follow, how to go on."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.domain.transfer import LIMITS, Hop, continues_at, follow, length_of, may_pass, origin, strong_etag, wait_before

SHARE = st.floats(0, 1)


def test_four_tries_half_a_second_one_and_two_apart() -> None:
    waits = [wait_before(attempt, jitter=0.0, limits=LIMITS) for attempt in range(1, 6)]
    assert waits == [0.5, 1.0, 2.0, None, None]


@given(st.integers(1, 3), SHARE)
def test_jitter_adds_half_a_second_at_most(attempt: int, jitter: float) -> None:
    wait_s = wait_before(attempt, jitter=jitter, limits=LIMITS)
    plain_s = wait_before(attempt, jitter=0.0, limits=LIMITS)
    assert wait_s is not None
    assert plain_s is not None
    assert plain_s <= wait_s <= plain_s + 0.5


@pytest.mark.parametrize(
    ("asked", "wait_s"),
    [("7", 7.0), ("60", 60.0), ("61", None), ("0", 0.5), (" 3 ", 3.0), ("-1", 0.5), ("Wed, 21 Oct", 0.5), ("1e9", 0.5)],
)
def test_a_server_may_ask_for_up_to_a_minute(asked: str, wait_s: float | None) -> None:
    assert wait_before(1, jitter=0.0, retry_after=asked, limits=LIMITS) == wait_s


def test_the_last_try_is_the_last_whatever_the_server_asks() -> None:
    assert wait_before(2, jitter=0.0, retry_after="1", limits=attrs.evolve(LIMITS, attempts=2)) is None


def test_what_may_pass() -> None:
    assert {status for status in range(100, 700) if may_pass(status)} == {408, 429, *range(500, 600)}


HERE = "https://a.example/dir/x?token=s"


@pytest.mark.parametrize(
    ("location", "target", "same"),
    [
        ("/y", "https://a.example/y", True),
        ("y?z=1", "https://a.example/dir/y?z=1", True),
        ("https://A.example:443/y", "https://A.example:443/y", True),
        ("https://a.example:444/y", "https://a.example:444/y", False),
        ("https://b.example/y", "https://b.example/y", False),
        ("//b.example/y#f", "https://b.example/y", False),
        ("https://me:pw@a.example/y", "https://a.example/y", True),
    ],
)
def test_redirects_that_are_followed(location: str, target: str, same: bool) -> None:
    assert follow(HERE, location) == Hop(url=target, same_origin=same)


@pytest.mark.parametrize(
    ("location", "fault"),
    [
        ("http://a.example/y", "unencrypted"),
        ("https://127.0.0.1/y", "this-machine"),
        ("https://[::ffff:127.0.0.1]/y", "this-machine"),
        ("https://localhost:8080/y", "this-machine"),
        ("file:///etc/passwd", "not-web"),
        ("ftp://a.example/", "not-web"),
        ("data:text/plain,x", "not-web"),
        ("https://a.example:x/", "not-web"),
        ("https://[::1", "not-web"),
        ("https://a..example/", "not-web"),
        ("https://" + "a" * 64 + ".example/", "not-web"),
        ("https://127.0.0.1\\@a.example/", "not-web"),
        ("https://a.example/\r\nX: y", "not-web"),
        ("", "not-web"),
    ],
)
def test_redirects_that_are_refused(location: str, fault: str) -> None:
    assert follow(HERE, location) == fault


def test_a_service_on_this_machine_may_point_to_another_one() -> None:
    assert follow("http://127.0.0.1:1/x", "http://localhost:2/y") == Hop(url="http://localhost:2/y", same_origin=False)
    assert follow("http://127.0.0.1:1/x", "https://b.example/y") == Hop(url="https://b.example/y", same_origin=False)


def test_the_usual_port_is_the_same_origin() -> None:
    assert origin("https://A.example/x") == origin("https://a.example:443/y")
    assert origin("http://a.example/x") != origin("https://a.example/x")


def test_only_strong_tags_promise_equal_bytes() -> None:
    assert strong_etag('"abc"') == '"abc"'
    for text in (None, "", "abc", 'W/"abc"', '"a"b"', '"a\r\nb"', '"' + "x" * 300 + '"'):
        assert strong_etag(text) is None


@given(st.integers(0, 10**12), st.integers(1, 10**12))
def test_a_partial_answer_says_where_it_goes_on(first: int, rest: int) -> None:
    total = first + rest
    assert continues_at(f"bytes {first}-{total - 1}/{total}") == (first, total)
    for text in (None, "", f"bytes {first}-{total}/{total}", f"bytes {first}-{total - 1}/*", f"bytes */{total}"):
        assert continues_at(text) is None


def test_lengths() -> None:
    assert [length_of(text) for text in ("0", "12", None, "-1", "1e3", "9" * 30, "٣")] == [0, 12, *[None] * 5]
