"""Tokens of peers: the published vector, what is refused, and the address."""

from __future__ import annotations

import base64
import hmac
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.domain.peer_token import PeerToken, issue_token, peer_url, read_token

DLM_ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
SECRET, NONCE = bytes(32), bytes(12)
EXPIRES = datetime(2030, 1, 1, tzinfo=UTC)
BEFORE = EXPIRES - timedelta(seconds=1)
VECTOR = "AAAAAAAAAAAAAAAAABkyMDMwLTAxLTAxVDAwOjAwOjAwKzAwOjAwPI0Imjlq2Kh7BQ_5GgeT7UsQbpe1erdCOYC1FoRivws"
TOKEN = issue_token(DLM_ID, secret=SECRET, nonce=NONCE, expires=EXPIRES)

moments = st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # hypothesis wants it so


def read(text: str, *, now: datetime = BEFORE, dlm_id: str = DLM_ID, secret: bytes = SECRET) -> object:
    return read_token(text, dlm_id, secret=secret, now=now)


def made(expiry: bytes, *, length: int | None = None, tail: bytes = b"") -> str:
    """Give a token with a right MAC around any expiry."""
    mac = hmac.digest(SECRET, DLM_ID.encode() + b"\0" + expiry + b"\0" + NONCE, "sha256")
    size = len(expiry) if length is None else length
    return base64.urlsafe_b64encode(NONCE + size.to_bytes(2, "big") + expiry + mac + tail).rstrip(b"=").decode()


def test_the_published_vector() -> None:
    assert TOKEN == VECTOR
    assert read(VECTOR) == PeerToken(nonce=NONCE, expires=EXPIRES)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=12, max_size=12), moments, st.text(max_size=30))
def test_what_was_issued_is_read_back(secret: bytes, nonce: bytes, expires: datetime, dlm_id: str) -> None:
    token = issue_token(dlm_id, secret=secret, nonce=nonce, expires=expires)
    whole = expires.replace(microsecond=0)
    before = whole - timedelta(seconds=1)
    assert read(token, now=before, dlm_id=dlm_id, secret=secret) == PeerToken(nonce=nonce, expires=whole)
    assert read(token, now=whole, dlm_id=dlm_id, secret=secret) == "expired"
    assert read(token, now=before, dlm_id=dlm_id + "x", secret=secret) == "forged"


@given(st.integers(0, len(VECTOR) - 1), st.characters())
def test_no_other_spelling_holds(at: int, sign: str) -> None:
    changed = VECTOR[:at] + sign + VECTOR[at + 1 :]
    assert (read(changed) in ("malformed", "forged")) == (changed != VECTOR)


@given(st.one_of(st.text(max_size=200), st.binary(max_size=90).map(lambda raw: base64.urlsafe_b64encode(raw).decode())))
def test_anything_else_is_refused(text: str) -> None:
    assert read(text) in ("malformed", "forged")


@pytest.mark.parametrize(
    "text",
    ["", VECTOR + "=", VECTOR + "A", VECTOR[:-1], VECTOR + "\n", " " + VECTOR, VECTOR.replace("_", "/"), VECTOR * 2],
)
def test_forms_that_lenient_decoders_take(text: str) -> None:
    assert read(text) == "malformed"


def test_trailing_bytes_are_refused() -> None:
    assert read(made(b"2030-01-01T00:00:00+00:00")) == PeerToken(nonce=NONCE, expires=EXPIRES)
    assert read(made(b"2030-01-01T00:00:00+00:00", tail=b"x")) == "malformed"
    assert read(made(b"2030-01-01T00:00:00+00:00", length=24)) == "malformed"


@pytest.mark.parametrize(
    "expiry", [b"", b"2030-01-01T00:00:00", b"soon", "2030-01-01T00:00:00+00:0٠".encode(), b"\xff"]
)
def test_expiries_that_are_no_moment_are_refused_though_the_mac_fits(expiry: bytes) -> None:
    assert read(made(expiry)) == "malformed"


def test_an_expired_forgery_is_told_as_a_forgery() -> None:
    after = EXPIRES + timedelta(days=1)
    assert read(VECTOR, now=after) == "expired"
    assert read(VECTOR, now=after, secret=b"\1" * 32) == "forged"


def test_an_expiry_in_another_zone_is_the_same_moment() -> None:
    there = EXPIRES.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert issue_token(DLM_ID, secret=SECRET, nonce=NONCE, expires=there) == VECTOR


def test_the_mac_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append((a, b)) or real(a, b))
    read(VECTOR)
    assert [(len(a), len(b)) for a, b in compared] == [(32, 32)]


def test_addresses() -> None:
    assert peer_url("10.0.0.2", 7337, DLM_ID, "t") == f"peer://10.0.0.2:7337/{DLM_ID}?token=t"
    full = urlsplit(peer_url("::1", 80, DLM_ID, "t", sha256="ab" * 32, tls="cd" * 32))
    assert (full.hostname, full.port, full.fragment) == ("::1", 80, f"sha256={'ab' * 32}")
    assert full.query == f"token=t&tls={'cd' * 32}"
