"""The rules of sending and fetching over the network: limits, repeated attempts, redirects, resuming."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urljoin, urlsplit

import attrs

from dlm.domain.share import host_and_port, is_loopback

CHUNK_BYTES = 1 << 20
"""Read and written at a time."""


@attrs.frozen(kw_only=True)
class TransferLimits:
    """How much, how long, how often.

    Args:
        pack_bytes: largest pack that is fetched.
        signature_bytes: largest signature; one without an essay for a comment has some 300.
        connect_s: seconds to wait for a connection.
        read_s: seconds to wait for the next bytes.
        pool_s: seconds to wait for a free connection.
        slow_s, slow_bytes: a transfer that brings fewer bytes in so many seconds has stalled.
        attempts: tries of one GET that get no further, the first one included.
        redirects: followed in one request.
    """

    pack_bytes: int = 64 << 30
    signature_bytes: int = 8 << 10
    connect_s: float = 10.0
    read_s: float = 60.0
    pool_s: float = 10.0
    slow_s: float = 60.0
    slow_bytes: int = 60 << 10
    attempts: int = 4
    redirects: int = 5


LIMITS = TransferLimits()

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 60.0
"""A server that asks for more patience than this is given up on."""


def may_pass(status: int) -> bool:
    """Whether an answer means trouble that may be over soon: 408, 429 and everything from 500 on."""
    return status in (408, 429) or 500 <= status <= 599


def wait_before(attempt: int, *, jitter: float, retry_after: str | None = None, limits: TransferLimits) -> float | None:
    """Give the seconds to wait before the next try, or None to give up.

    ``0.5·2ⁿ⁻¹ s + jitter · 0.5 s`` after the n-th try, and no less than what the server asked for.

    Args:
        attempt: tries made so far, from 1.
        jitter: from 0 to 1, so that many clients do not come back at once.
        retry_after: the header's text; a date counts as not given.
    """
    if attempt >= limits.attempts:
        return None
    wait_s = _FIRST_WAIT_S * (1 << attempt - 1) + jitter * _FIRST_WAIT_S
    asked = (retry_after or "").strip()
    if not re.fullmatch(r"[0-9]{1,9}", asked):
        return wait_s
    return max(wait_s, float(asked)) if float(asked) <= _LONGEST_WAIT_S else None


RedirectFault = Literal["not-web", "unencrypted", "this-machine"]


@attrs.frozen(kw_only=True)
class Hop:
    """Where a redirect leads.

    Args:
        same_origin: scheme, host and port stayed the same, so credentials may go along.
    """

    url: str = attrs.field(repr=False)
    same_origin: bool


def follow(url: str, location: str) -> Hop | RedirectFault:
    """Judge a redirect from ``url`` to the ``Location`` header's text.

    Refused: another scheme than http and https; from https to http; from outside to a service on this machine.
    User and password inside the new address are dropped.
    """
    target = _target(url, location)
    if target is None:
        return "not-web"
    old, new = urlsplit(url), urlsplit(target)
    if old.scheme == "https" and new.scheme == "http":
        return "unencrypted"
    if is_loopback(new.hostname or "") and not is_loopback(old.hostname or ""):
        return "this-machine"
    return Hop(url=target, same_origin=origin(url) == origin(target))


def _target(url: str, location: str) -> str | None:
    if not re.fullmatch(r"[!-~]+", location) or "\\" in location:
        return None
    try:
        parts = urlsplit(urljoin(url, location))
        host_and_port(parts.geturl())
    except ValueError:
        return None
    if parts.scheme not in ("http", "https"):
        return None
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=place, fragment="").geturl()


def origin(url: str) -> tuple[str, str, int | None]:
    """Give scheme, host and port of a web address, the usual port filled in."""
    parts = urlsplit(url)
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or usual


REDIRECT_FAULTS: Mapping[RedirectFault, str] = {
    "not-web": "to something that is no web address",
    "unencrypted": "from an encrypted address to an unencrypted one",
    "this-machine": "to a service on this machine",
}


def strong_etag(text: str | None) -> str | None:
    """Give an ETag that promises equal bytes; None for a weak or malformed one."""
    if text is not None and re.fullmatch(r'"[!#-~]{1,200}"', text.strip()):
        return text.strip()
    return None


_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")


def continues_at(content_range: str | None) -> tuple[int, int] | None:
    """Give where a partial answer begins and the size of the whole, in bytes, from a ``Content-Range`` that goes up to
    the end; None for any other."""
    match = _RANGE.fullmatch((content_range or "").strip())
    if match is None:
        return None
    first, last, total = map(int, match.groups())
    return (first, total) if first <= last == total - 1 else None


def length_of(text: str | None) -> int | None:
    """Read a ``Content-Length``; None when it is missing or no number."""
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,18}", text) else None
