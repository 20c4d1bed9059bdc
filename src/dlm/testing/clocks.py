"""A clock that tests set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dlm.domain.ulid import ulid

A_MOMENT = datetime(2026, 4, 23, 18, 42, 11, tzinfo=UTC)


class FixedClock:
    """Stands at ``moment`` until told to ``advance``. Ids count up, so that they differ and come out the same again."""

    def __init__(self, moment: datetime = A_MOMENT) -> None:
        self.moment = moment
        self._ids = 0

    def now(self) -> datetime:
        """Give the moment the clock stands at."""
        return self.moment

    def advance(self, seconds: float) -> None:
        """Move on."""
        self.moment += timedelta(seconds=seconds)

    def ulid(self) -> str:
        """Give the next id."""
        self._ids += 1
        return ulid(self.moment, self._ids.to_bytes(10, "big"))
