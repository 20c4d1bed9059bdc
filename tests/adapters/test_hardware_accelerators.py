"""GPUs, through a stand-in for torch: what cannot be plugged in here can still be answered for."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from dlm.adapters.hardware import accelerators, host, probe
from dlm.adapters.hardware.accelerators import Accelerator, find_accelerator

GIB = 2**30


class Torch(SimpleNamespace):
    """As much of torch as the probe asks."""


def fake_torch(
    *, gpus: int = 0, sm: tuple[int, int] = (8, 9), hip: str | None = None, mps: bool = False, arch: str = ""
) -> Torch:
    properties = SimpleNamespace(name="Card", major=sm[0], minor=sm[1], total_memory=24 * GIB, gcnArchName=arch)
    return Torch(
        cuda=SimpleNamespace(
            is_available=lambda: gpus > 0,
            device_count=lambda: gpus,
            get_device_properties=lambda _: properties,
            mem_get_info=lambda index: ((20 - index) * GIB, 24 * GIB),
        ),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: mps, is_built=lambda: mps)),
        version=SimpleNamespace(hip=hip, cuda=None if hip else "12.8"),
    )


@pytest.fixture(autouse=True)
def _no_driver_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerators, "_nvidia_driver", lambda: "570.86.15")


def find(monkeypatch: pytest.MonkeyPatch, torch: Any, version: str = "2.13.0") -> Accelerator:
    monkeypatch.setitem(sys.modules, "torch", torch)
    return find_accelerator(version)


def test_nvidia(monkeypatch: pytest.MonkeyPatch) -> None:
    found = find(monkeypatch, fake_torch(gpus=2))
    assert (found.backend, found.sm, found.free_gb, found.cuda_version) == ("cuda", (8, 9), 20.0, "12.8")
    assert [device.free_gb for device in found.devices] == [20.0, 19.0]
    assert found.driver_version == "570.86.15"
    assert found.is_modern
    assert not find(monkeypatch, fake_torch(gpus=1, sm=(7, 5))).is_modern


@pytest.mark.parametrize(("arch", "modern"), [("gfx90a:sramecc+:xnack-", True), ("gfx1030", False), ("", False)])
def test_amd(monkeypatch: pytest.MonkeyPatch, arch: str, modern: bool) -> None:
    found = find(monkeypatch, fake_torch(gpus=1, hip="6.4", arch=arch))
    assert (found.backend, found.rocm_version, found.cuda_version) == ("rocm", "6.4", None)
    assert found.rocm_arch == (arch.split(":")[0] or None)
    assert found.is_modern is modern


def test_apple(monkeypatch: pytest.MonkeyPatch) -> None:
    found = find(monkeypatch, fake_torch(mps=True))
    assert (found.backend, found.name, found.free_gb) == ("mps", "Apple Silicon (MPS)", None)


def test_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find(monkeypatch, fake_torch()) == Accelerator()


@pytest.mark.parametrize("version", [None, "2.13.0+cpu"])
def test_builds_without_gpu_support_are_not_asked(monkeypatch: pytest.MonkeyPatch, version: Any) -> None:
    assert find(monkeypatch, fake_torch(gpus=1), version) == Accelerator()


@pytest.mark.parametrize("error", accelerators.FAULTS)
def test_a_broken_driver_means_cpu(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def broken() -> bool:
        raise error("driver")

    torch = fake_torch(gpus=1)
    torch.cuda.is_available = broken
    assert find(monkeypatch, torch) == Accelerator()


def test_a_busy_card_is_reported_with_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(_: int) -> Any:
        raise RuntimeError("out of memory")

    torch = fake_torch(gpus=1)
    torch.cuda.mem_get_info = busy
    assert find(monkeypatch, torch).free_gb == 24.0


def test_the_probe_puts_a_gpu_machine_together(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = find(monkeypatch, fake_torch(gpus=1))
    monkeypatch.setattr(probe, "find_accelerator", lambda _: gpu)
    monkeypatch.setattr(probe, "findable", lambda name: name in ("flash_attn", "bitsandbytes"))
    found = probe.TorchHardwareProbe().probe()
    assert (found.backend, found.vram_gb, found.supports_bf16) == ("cuda", 20.0, True)
    assert found.has_flash_attention
    assert found.has_bitsandbytes
    assert not found.has_triton


def test_the_probe_puts_a_mac_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "find_accelerator", lambda _: Accelerator(backend="mps", name="Apple Silicon (MPS)"))
    monkeypatch.setattr(probe, "missing_for_mlx", lambda *_: ())
    monkeypatch.setattr(host, "memory", lambda: host.Memory(total=16 * GIB, free=8 * GIB))
    found = probe.TorchHardwareProbe().probe()
    assert (found.unified_memory_gb, found.ram_gb, found.has_mlx, found.supports_bf16) == (16.0, 16.0, True, False)


def test_mlx_needs_a_metal_gpu_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "find_accelerator", lambda _: Accelerator())
    monkeypatch.setattr(probe, "missing_for_mlx", lambda *_: ())
    found = probe.TorchHardwareProbe().probe()
    assert found.has_mlx is False
    assert found.mlx_missing == ("a working Metal GPU",)


def test_windows_asks_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = Torch(cpu=SimpleNamespace(get_capabilities=lambda: {"avx512_f": True, "amx_bf16": True, "avx2": False}))
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert host.torch_features() == ("amx_bf16", "avx512")
    monkeypatch.setitem(sys.modules, "torch", Torch(cpu=SimpleNamespace()))
    assert host.torch_features() == ()
