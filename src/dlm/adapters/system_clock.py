"""The real clock."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from dlm.domain.ulid import ulid


class SystemClock:
    """The machine's time, and ids made from it and from the system's randomness."""

    def now(self) -> datetime:
        """Give the present moment in UTC."""
        return datetime.now(UTC)

    def ulid(self) -> str:
        """Give a fresh id; two in one millisecond differ in 80 random bits."""
        return ulid(self.now(), secrets.token_bytes(10))
