"""Serves the file it is given until Ctrl-C, as a program of its own: prints the address, ends with status 130."""

from __future__ import annotations

import sys
from pathlib import Path

from dlm.adapters.peer import HttpPeerServer
from dlm.adapters.system_clock import SystemClock
from dlm.domain.events import ignore
from dlm.ports.peer_server import PeerJob


def main() -> int:
    job = PeerJob(dlm_id="01ARZ3NDEKTSV4RRFFQ69G5FAV", pack=Path(sys.argv[1]), sha256="0" * 64)
    try:
        with (
            HttpPeerServer(clock=SystemClock()).bind("127.0.0.1", 0) as bound,
            bound.start(job, emit=ignore) as running,
        ):
            print(running.url, flush=True)
            running.wait()
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
