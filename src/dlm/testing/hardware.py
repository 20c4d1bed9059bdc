"""Machines to test with, and what every hardware probe promises. Needs pytest.

class TestMyProbe(HardwareContract):
    @pytest.fixture
    def probe(self):
        return MyProbe()
"""

from __future__ import annotations

import json

import pytest

from dlm.domain.hardware import Capabilities, Device
from dlm.ports.hardware import HardwareProbe

LAPTOP = Capabilities(
    backend="cpu",
    device_name="CPU (Test Laptop)",
    cpu_cores=8,
    ram_gb=16.0,
    ram_free_gb=12.0,
    torch_version="2.13.0",
    accelerate_version="1.15.0",
    platform="Linux 6.1",
    cpu_features=("avx2",),
    mlx_missing=("a Mac with Apple silicon", "the package mlx", "the package mlx_lm"),
)
"""A CPU without bf16 instructions."""

SERVER = Capabilities(
    backend="cpu",
    device_name="CPU (Test Server)",
    cpu_cores=2,
    ram_gb=23.0,
    ram_free_gb=22.0,
    supports_bf16=True,
    torch_version="2.13.0+cpu",
    accelerate_version="1.15.0",
    platform="Linux 6.1",
    cpu_features=("amx_bf16", "avx512_bf16", "avx512", "avx2"),
    mlx_missing=("a Mac with Apple silicon", "the package mlx", "the package mlx_lm"),
)
"""A CPU with bf16 instructions."""

MAC = Capabilities(
    backend="mps",
    device_name="Apple Silicon (MPS)",
    unified_memory_gb=16.0,
    cpu_cores=8,
    ram_gb=16.0,
    ram_free_gb=9.0,
    supports_fp16=True,
    has_mlx=True,
    torch_version="2.13.0",
    platform="Darwin 24.0",
    determinism_class="best-effort",
    cpu_features=("arm_bf16",),
)


def nvidia(*, gb: float = 24.0, sm: tuple[int, int] = (8, 9), bitsandbytes: bool = True) -> Capabilities:
    """Give a machine with one NVIDIA GPU, all of its memory free."""
    return Capabilities(
        backend="cuda",
        device_name="Test GPU",
        sm=sm,
        vram_gb=gb,
        cpu_cores=16,
        ram_gb=64.0,
        ram_free_gb=60.0,
        supports_bf16=sm >= (8, 0),
        supports_fp16=True,
        has_bitsandbytes=bitsandbytes,
        has_triton=True,
        torch_version="2.13.0",
        cuda_version="12.8",
        driver_version="570.86.15",
        platform="Linux 6.1",
        determinism_class="strong",
        devices=(Device(name="Test GPU", total_gb=gb, free_gb=gb, sm=sm),),
        mlx_missing=("a Mac with Apple silicon",),
    )


class FakeHardware:
    """Answers with the machine it is given."""

    def __init__(self, capabilities: Capabilities = LAPTOP) -> None:
        self._capabilities = capabilities

    def probe(self) -> Capabilities:
        return self._capabilities


class HardwareContract:
    """What every ``HardwareProbe`` promises. Subclasses give the fixture ``probe``."""

    @pytest.fixture
    def probe(self) -> HardwareProbe:
        raise NotImplementedError("give a probe")

    def test_same_machine_same_answer(self, probe: HardwareProbe) -> None:
        first, second = probe.probe(), probe.probe()
        assert (first.backend, first.device_name, first.supports_bf16, first.cpu_features) == (
            second.backend,
            second.device_name,
            second.supports_bf16,
            second.cpu_features,
        )

    def test_counts_are_possible(self, probe: HardwareProbe) -> None:
        found = probe.probe()
        assert found.cpu_cores >= 1
        assert 0.0 <= found.ram_free_gb <= found.ram_gb
        assert found.platform
        assert found.device_name

    def test_gpu_fields_belong_to_gpus(self, probe: HardwareProbe) -> None:
        found = probe.probe()
        if found.backend == "cpu":
            assert found.vram_gb is None
            assert found.devices == ()
            assert not found.has_bitsandbytes
            assert not found.has_flash_attention
            assert not found.supports_fp16
        if found.backend == "cuda":
            assert found.devices
            assert found.vram_gb == found.devices[0].free_gb
        assert (found.unified_memory_gb is not None) == (found.backend == "mps")

    def test_bf16_on_a_cpu_is_native(self, probe: HardwareProbe) -> None:
        found = probe.probe()
        if found.backend == "cpu":
            native = {"amx_bf16", "avx512_bf16", "arm_bf16"}.intersection(found.cpu_features)
            assert found.supports_bf16 == bool(native)

    def test_mlx_says_what_is_missing(self, probe: HardwareProbe) -> None:
        found = probe.probe()
        assert found.has_mlx == (not found.mlx_missing)

    def test_determinism_follows_the_backend(self, probe: HardwareProbe) -> None:
        expected = {"cuda": "strong", "mps": "best-effort", "rocm": "best-effort", "cpu": "advisory"}
        assert probe.probe().determinism_class == expected[probe.probe().backend]

    def test_it_is_json(self, probe: HardwareProbe) -> None:
        found = probe.probe().to_json()
        assert json.loads(json.dumps(found)) == found
