"""How long a peer server waits for others, and how many of them it bears."""

from __future__ import annotations

import attrs

from dlm.domain.peer_limits import Pace


@attrs.frozen(kw_only=True)
class PeerTiming:
    """Limits of a server.

    Args:
        read_s: seconds for a request's headers, for its body, and for the TLS handshake.
        pace: how slowly a download may go.
        finish_s: seconds that running transfers get when the server stops.
        header_bytes: of a request, all headers together.
        connections: at once. Further ones wait in the system's queue, so that nobody is turned away in a rush.
    """

    read_s: float = 10.0
    pace: Pace = attrs.field(factory=Pace)
    finish_s: float = 10.0
    header_bytes: int = 16 * 1024
    connections: int = 512
