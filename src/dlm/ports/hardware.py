"""Looking at the machine."""

from __future__ import annotations

from typing import Protocol

from dlm.domain.hardware import Capabilities


class HardwareProbe(Protocol):
    """Reads the machine without the network and without changing anything. Never raises: what is unknown is None."""

    def probe(self) -> Capabilities: ...
