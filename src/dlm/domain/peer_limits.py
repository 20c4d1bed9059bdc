"""How much of a peer server anybody may use, as values. Time comes in as seconds of a clock that never goes back."""

from __future__ import annotations

import ipaddress
import math
import re
from collections import OrderedDict, deque
from typing import Literal

import attrs

from dlm.domain.choice import Choice

WINDOW_S = 60.0
UNKNOWN_PER_WINDOW = 60
"""Requests without a valid token that one address may make in a window."""

LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"  # noqa: S104  # only behind both flags of bind_host

_ADDRESSES = 1024
_BUSY_RETRY_S = 1
_RANGE = re.compile(r"bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.IGNORECASE)
_DIGITS = 18
"""Digits of the largest offset that is read as a number; longer ones lie behind the end of any file."""


@attrs.frozen(kw_only=True)
class Admit:
    """The request goes on. ``key``: whose slot it holds until it is released."""

    key: bytes


@attrs.frozen
class Refuse:
    """The request ends with an HTTP status. ``retry_after_s``: whole seconds after which it may go through."""

    status: int
    retry_after_s: int | None = None


def bind_host(public: bool, acknowledged: bool) -> Choice[str]:
    """Decide who can reach the server: this machine alone, unless both flags are given."""
    if public and acknowledged:
        return Choice(EVERYWHERE, "--public with --i-know-this-is-public: everybody on the network can reach it")
    if public:
        return Choice(LOOPBACK, "--public needs --i-know-this-is-public too; only this machine can reach it")
    return Choice(LOOPBACK, "only this machine can reach it")


class SlidingWindow:
    """Counts the starts of the last 60 s, at most ``limit`` of them; one that is exactly 60 s old has left."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._starts: deque[float] = deque()

    def wait_s(self, now: float) -> int | None:
        """Give the whole seconds until there is room for another start; None when there is."""
        while self._starts and now - self._starts[0] >= WINDOW_S:
            self._starts.popleft()
        if len(self._starts) < self._limit:
            return None
        return max(1, math.ceil(self._starts[0] + WINDOW_S - now))

    def record(self, now: float) -> None:
        """Count a start."""
        self._starts.append(now)


class TokenLimits:
    """Requests by token: so many starts in 60 s, so many at once. Refused requests do not count.

    Keys are nonces of valid tokens, so there are as many as tokens were issued.
    """

    def __init__(self, *, max_concurrency: int, rate_limit: int) -> None:
        self._max_concurrency = max_concurrency
        self._rate_limit = rate_limit
        self._windows: dict[bytes, SlidingWindow] = {}
        self._active: dict[bytes, int] = {}

    def admit(self, key: bytes, now: float) -> Admit | Refuse:
        """Take a slot, which ``release`` gives back, or refuse with 429."""
        window = self._windows.setdefault(key, SlidingWindow(self._rate_limit))
        wait_s = window.wait_s(now)
        if wait_s is not None:
            return Refuse(429, wait_s)
        active = self._active.get(key, 0)
        if active >= self._max_concurrency:
            return Refuse(429, _BUSY_RETRY_S)
        window.record(now)
        self._active[key] = active + 1
        return Admit(key=key)

    def release(self, admitted: Admit) -> None:
        """Give a slot back."""
        self._active[admitted.key] -= 1

    def active(self) -> int:
        """Give the number of slots that are taken."""
        return sum(self._active.values())


class AddressLimits:
    """Requests without a valid token, by address. Remembers the 1,024 addresses that came last.

    IPv6 addresses count by their network of 64 bits, which one machine owns as a whole.
    """

    def __init__(self, *, per_window: int = UNKNOWN_PER_WINDOW, addresses: int = _ADDRESSES) -> None:
        self._per_window = per_window
        self._addresses = addresses
        self._windows: OrderedDict[str, SlidingWindow] = OrderedDict()

    def admit(self, address: str, now: float) -> Refuse | None:
        """Count a request, or refuse it with 429."""
        key = _network(address)
        window = self._windows.setdefault(key, SlidingWindow(self._per_window))
        self._windows.move_to_end(key)
        if len(self._windows) > self._addresses:
            self._windows.popitem(last=False)
        wait_s = window.wait_s(now)
        if wait_s is not None:
            return Refuse(429, wait_s)
        window.record(now)
        return None


@attrs.frozen(kw_only=True)
class Pace:
    """How slowly a reader may read.

    Args:
        write_s: seconds without any progress.
        grace_s: seconds from the start in which the mean speed does not matter.
        min_bytes_per_s: the mean speed from then on.
    """

    write_s: float = 10.0
    grace_s: float = 10.0
    min_bytes_per_s: float = 64 * 1024

    def patience_s(self, sent_bytes: int, elapsed_s: float) -> float:
        """Give how long to wait for the next piece to leave; zero or less: the reader is too slow."""
        return min(self.write_s, self.grace_s + sent_bytes / self.min_bytes_per_s - elapsed_s)


@attrs.frozen
class ByteRange:
    """Bytes ``first`` to ``last``, both included."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.last - self.first + 1


def parse_range(header: str | None, size: int) -> ByteRange | Literal["unsatisfiable"] | None:
    """Give the one range of a ``Range`` header; None for the whole file.

    Several ranges, other units and what is no range at all are passed over, as RFC 9110 (14.2) allows.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.groups() == ("", ""):
        return None
    first, last = (_offset(digits) for digits in match.groups())
    if first is None:
        count = min(last or 0, size)
        return ByteRange(size - count, size - 1) if count else "unsatisfiable"
    if last is not None and last < first:
        return None
    return ByteRange(first, min(size - 1 if last is None else last, size - 1)) if first < size else "unsatisfiable"


def _offset(digits: str) -> int | None:
    if not digits:
        return None
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= _DIGITS else 10**_DIGITS


def _network(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if ip.version == 4:
        return str(ip)
    return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
