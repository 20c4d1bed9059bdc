"""Time and fresh ids, so that tests can fix both."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """``now`` is UTC and zone-aware; ``ulid`` gives 26 characters of upper-case Crockford base32, unique per call."""

    def now(self) -> datetime: ...

    def ulid(self) -> str: ...
