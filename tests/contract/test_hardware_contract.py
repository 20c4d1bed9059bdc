"""Every hardware probe keeps the same promises."""

from __future__ import annotations

import attrs
import pytest

from dlm.adapters.hardware import TorchHardwareProbe
from dlm.ports.hardware import HardwareProbe
from dlm.testing.hardware import LAPTOP, MAC, SERVER, FakeHardware, HardwareContract, nvidia

MACHINES = {
    "laptop": LAPTOP,
    "server": SERVER,
    "mac": MAC,
    "nvidia": nvidia(),
    "bare": attrs.evolve(LAPTOP, torch_version=None, ram_gb=0.0, ram_free_gb=0.0),
}


class TestTorchHardwareProbe(HardwareContract):
    @pytest.fixture
    def probe(self) -> HardwareProbe:
        return TorchHardwareProbe()


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES.keys())
class TestFakeHardware(HardwareContract):
    @pytest.fixture
    def probe(self, machine: object) -> HardwareProbe:
        return FakeHardware(machine)  # type: ignore[arg-type]  # the parameter is a Capabilities

    @pytest.fixture(autouse=True)
    def _uses_machine(self, machine: object) -> None:
        """Name the parameter, so that each inherited test runs for each machine."""
