"""Document ids: 26 characters that sort by the time they were made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Base32 without I, L, O and U, which people misread."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ulid(moment: datetime, randomness: bytes) -> str:
    """Give the ULID of ``moment`` (zone-aware, from 1970 on; milliseconds count) and 10 random bytes.

    Source: https://github.com/ulid/spec: 48 bits of time, 80 of randomness, most significant digit first.
    """
    milliseconds = (moment - _EPOCH) // timedelta(milliseconds=1)
    if not 0 <= milliseconds < 1 << 48 or len(randomness) != 10:
        raise ValueError("a ULID needs a moment from 1970 on and 10 random bytes")
    number = milliseconds << 80 | int.from_bytes(randomness, "big")
    return "".join(CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))
