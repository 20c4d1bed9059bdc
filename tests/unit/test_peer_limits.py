"""Limits of a peer server: windows, slots, addresses, ranges and pace, with time as a number."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.domain.peer_gate import PeerGate, PeerRequest
from dlm.domain.peer_limits import (
    AddressLimits,
    Admit,
    ByteRange,
    Pace,
    Refuse,
    TokenLimits,
    bind_host,
    parse_range,
)
from dlm.domain.peer_token import issue_token

DLM_ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
NOW = datetime(2026, 4, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("public", "acknowledged", "host"),
    [(False, False, "127.0.0.1"), (False, True, "127.0.0.1"), (True, False, "127.0.0.1"), (True, True, "0.0.0.0")],
)
def test_only_both_flags_open_it_to_the_network(public: bool, acknowledged: bool, host: str) -> None:
    choice = bind_host(public, acknowledged)
    assert choice.value == host
    assert ("--i-know-this-is-public" in choice.reason) == public


def test_the_window_slides() -> None:
    limits = TokenLimits(max_concurrency=9, rate_limit=2)
    assert [limits.admit(b"a", at) for at in (0.0, 30.0)] == [Admit(key=b"a")] * 2
    assert limits.admit(b"a", 30.5) == Refuse(429, 30)
    assert limits.admit(b"a", 59.999) == Refuse(429, 1)
    assert limits.admit(b"b", 59.999) == Admit(key=b"b")
    assert limits.admit(b"a", 60.0) == Admit(key=b"a")
    assert limits.admit(b"a", 89.9) == Refuse(429, 1)
    assert limits.admit(b"a", 90.0) == Admit(key=b"a")


@given(st.lists(st.floats(0, 300), max_size=60).map(sorted), st.integers(1, 5))
def test_no_window_ever_holds_more_and_who_waits_gets_in(times: list[float], limit: int) -> None:
    limits = TokenLimits(max_concurrency=1000, rate_limit=limit)
    admitted: list[float] = []
    for at in times:
        decision = limits.admit(b"a", at)
        recent = [start for start in admitted if at - start < 60]
        assert isinstance(decision, Admit) == (len(recent) < limit)
        if isinstance(decision, Admit):
            admitted.append(at)
        else:
            assert decision.retry_after_s is not None
            assert len([s for s in admitted if at + decision.retry_after_s + 1e-6 - s < 60]) < limit


def test_slots_come_back() -> None:
    limits = TokenLimits(max_concurrency=2, rate_limit=9)
    first, second = limits.admit(b"a", 0), limits.admit(b"a", 0)
    assert isinstance(first, Admit)
    assert isinstance(second, Admit)
    assert limits.admit(b"a", 0) == Refuse(429, 1)
    assert isinstance(limits.admit(b"b", 0), Admit)
    limits.release(first)
    assert isinstance(limits.admit(b"a", 0), Admit)
    assert limits.active() == 3


def test_refused_requests_do_not_count() -> None:
    limits = TokenLimits(max_concurrency=1, rate_limit=2)
    admitted = limits.admit(b"a", 0)
    assert isinstance(admitted, Admit)
    assert all(limits.admit(b"a", 0) == Refuse(429, 1) for _ in range(5))
    limits.release(admitted)
    assert isinstance(limits.admit(b"a", 0), Admit)


def test_addresses_are_limited_each() -> None:
    limits = AddressLimits(per_window=2)
    assert [limits.admit("10.0.0.1", at) for at in (0, 10, 20, 60)] == [None, None, Refuse(429, 40), None]
    assert limits.admit("10.0.0.2", 20) is None


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ("fe80::1", "fe80::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::9", True),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("", "", True),
    ],
)
def test_networks_of_one_machine_are_one_address(first: str, second: str, is_same: bool) -> None:
    limits = AddressLimits(per_window=1)
    assert limits.admit(first, 0) is None
    assert (limits.admit(second, 0) is not None) == is_same


def test_a_crowd_of_addresses_takes_no_memory() -> None:
    limits = AddressLimits(per_window=1, addresses=3)
    for number in range(100):
        assert limits.admit(f"10.0.0.{number}", 0) is None
    assert len(limits._windows) == 3
    assert limits.admit("10.0.0.99", 0) == Refuse(429, 60)


@pytest.mark.parametrize(
    ("header", "size", "expected"),
    [
        (None, 10, None),
        ("bytes=0-9", 10, ByteRange(0, 9)),
        ("bytes=3-", 10, ByteRange(3, 9)),
        ("bytes=3-3", 10, ByteRange(3, 3)),
        ("bytes=3-99", 10, ByteRange(3, 9)),
        ("bytes=-4", 10, ByteRange(6, 9)),
        ("bytes=-99", 10, ByteRange(0, 9)),
        (" Bytes= 0-0 ", 10, ByteRange(0, 0)),
        ("bytes=10-", 10, "unsatisfiable"),
        ("bytes=-0", 10, "unsatisfiable"),
        ("bytes=0-", 0, "unsatisfiable"),
        ("bytes=" + "9" * 5000 + "-", 10, "unsatisfiable"),
        ("bytes=0-" + "9" * 5000, 10, ByteRange(0, 9)),
        ("bytes=" + "0" * 5000 + "-1", 10, ByteRange(0, 1)),
        ("bytes=5-3", 10, None),
        ("bytes=-", 10, None),
        ("bytes=0-1,3-4", 10, None),
        ("bytes=a-b", 10, None),
        ("bytes=+1-2", 10, None),
        ("bytes=\u0661-2", 10, None),
        ("lines=0-1", 10, None),
        ("bytes 0-1", 10, None),
    ],
)
def test_ranges(header: str | None, size: int, expected: object) -> None:
    assert parse_range(header, size) == expected


@given(st.text(alphabet="bytes=0123456789-, ", max_size=30), st.integers(0, 50))
def test_ranges_never_leave_the_file(header: str, size: int) -> None:
    part = parse_range(header, size)
    if isinstance(part, ByteRange):
        assert 0 <= part.first <= part.last < size
        assert part.length == part.last - part.first + 1


def test_pace() -> None:
    pace = Pace(write_s=10, grace_s=20, min_bytes_per_s=100)
    assert pace.patience_s(0, 0) == 10
    assert pace.patience_s(0, 15) == 5
    assert pace.patience_s(1000, 29) == 1
    assert pace.patience_s(1000, 30) == 0
    assert pace.patience_s(10**9, 30) == 10


def gate(*, rate_limit: int = 500) -> tuple[PeerGate, str]:
    secret = bytes(32)
    token = issue_token(DLM_ID, secret=secret, nonce=bytes(12), expires=NOW + timedelta(minutes=1))
    return PeerGate(DLM_ID, secret=secret, is_signed=False, max_concurrency=1, rate_limit=rate_limit), token


def decide(gate: PeerGate, path: str, query: str, *, method: str = "GET", tick: float = 0) -> Admit | Refuse:
    asked = PeerRequest(method=method, path=path, query=query, client="10.0.0.1")
    return gate.decide(asked, now=NOW, tick=tick, is_withdrawn=lambda: False)


def test_strangers_are_limited_and_those_with_a_token_are_not_held_up_by_them() -> None:
    opened, token = gate()
    answers = [decide(opened, f"/{DLM_ID}", "token=x") for _ in range(61)]
    assert answers == [Refuse(403)] * 60 + [Refuse(429, 60)]
    assert decide(opened, "/", "") == Refuse(429, 60)
    assert isinstance(decide(opened, f"/{DLM_ID}", f"token={token}"), Admit)
    assert decide(opened, "/", "", tick=60) == Refuse(404)


def test_a_missing_signature_is_asked_for_as_often_as_one_likes_with_a_token() -> None:
    opened, token = gate()
    answers = {decide(opened, f"/{DLM_ID}.minisig", f"token={token}") for _ in range(100)}
    assert answers == {Refuse(404)}


def test_after_the_end_no_token_holds() -> None:
    opened, token = gate()
    opened.close()
    assert decide(opened, "/", f"token={token}") == Refuse(404)
    assert decide(opened, f"/{DLM_ID}", f"token={token}", method="POST") == Refuse(405)
    assert decide(opened, f"/{DLM_ID}", "") == Refuse(401)
    assert {decide(opened, f"/{DLM_ID}", f"token={token}") for _ in range(100)} == {Refuse(410)}
    assert decide(opened, f"/{DLM_ID}", "token=forged") == Refuse(410)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (f"/{DLM_ID}.minisig", f"/{DLM_ID}.minisig"),
        (f"/{DLM_ID}%3Ftoken=abc", f"/{DLM_ID}…"),
        ("/\x1b[31m", "/…"),
        ("/" + "a" * 500, "/" + "a" * 63 + "…"),
        ("", ""),
    ],
)
def test_paths_are_shown_without_what_they_may_hide(path: str, shown: str) -> None:
    asked = PeerRequest(method="GET", path=path, query="token=secret", client="10.0.0.1")
    assert asked.shown == shown
    assert "secret" not in repr(asked)
