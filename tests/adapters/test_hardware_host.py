"""The operating system's word on processor and memory, with made-up systems."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from dlm.adapters.hardware import host, packages

XEON = "processor\t: 0\nmodel name\t: Intel(R) Xeon(R)\nflags\t\t: fpu avx2 avx512f avx512_bf16 amx_bf16 amx_tile\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd i8mm bf16\n"
OLD = "processor\t: 0\nmodel name\t: Old\nflags\t\t: fpu sse2 avx2\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    return tmp_path / "proc"


@pytest.fixture
def cgroups(tmp_path: Path) -> Path:
    (tmp_path / "cgroup").mkdir()
    return tmp_path / "cgroup"


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS answers without the file")
@pytest.mark.parametrize(
    ("text", "features"),
    [(XEON, ("amx_bf16", "avx512_bf16", "avx512", "avx2")), (ARM, ("arm_bf16",)), (OLD, ("avx2",)), ("", ())],
)
def test_cpu_features(proc: Path, text: str, features: tuple[str, ...]) -> None:
    (proc / "cpuinfo").write_text(text)
    assert host.cpu_features(proc=proc) == features


def test_bf16_in_the_name_is_no_feature(proc: Path) -> None:
    (proc / "cpuinfo").write_text("model name\t: bf16 avx512_bf16\nflags\t\t: fpu\n")
    assert host.cpu_features(proc=proc) == ()
    assert host.processor_name(proc=proc) == "bf16 avx512_bf16"


def test_a_system_without_proc_has_a_name_all_the_same(tmp_path: Path) -> None:
    assert host.processor_name(proc=tmp_path)


def test_version_2_limit_counts_the_cache_as_free(proc: Path, cgroups: Path) -> None:
    (proc / "self" / "cgroup").write_text("0::/user/app\n")
    here = cgroups / "user" / "app"
    here.mkdir(parents=True)
    (here / "memory.max").write_text("4000000000\n")
    (here / "memory.current").write_text("3000000000\n")
    (here / "memory.stat").write_text("anon 1\ninactive_file 2500000000\n")
    (cgroups / "user" / "memory.max").write_text("max\n")
    assert list(host.container_limits(proc=proc, cgroups=cgroups)) == [(4_000_000_000, 500_000_000)]


def test_version_1_limit_and_no_limit(proc: Path, cgroups: Path) -> None:
    (proc / "self" / "cgroup").write_text("4:memory,hugetlb:/job\n3:cpuset:/other\n")
    here = cgroups / "memory" / "job"
    here.mkdir(parents=True)
    (here / "memory.limit_in_bytes").write_text("2000000000\n")
    (here / "memory.usage_in_bytes").write_text("1500000000\n")
    (cgroups / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert list(host.container_limits(proc=proc, cgroups=cgroups)) == [(2_000_000_000, 1_500_000_000)]


@pytest.mark.parametrize("text", ["", "garbage", "::::", "0::/../../../etc\n", "\x00"])
def test_odd_cgroup_files_are_survived(proc: Path, cgroups: Path, text: str) -> None:
    (proc / "self" / "cgroup").write_text(text)
    assert list(host.container_limits(proc=proc, cgroups=cgroups)) == []


def test_the_tightest_limit_wins(proc: Path, cgroups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=8_000, available=6_000))
    (proc / "self" / "cgroup").write_text("0::/a/b\n")
    (cgroups / "a" / "b").mkdir(parents=True)
    for folder, limit, used in ((cgroups / "a", 5_000, 1_000), (cgroups / "a" / "b", 7_000, 6_500)):
        (folder / "memory.max").write_text(str(limit))
        (folder / "memory.current").write_text(str(used))
    assert host.memory(proc=proc, cgroups=cgroups) == host.Memory(total=5_000, free=500)


def test_unreadable_memory_is_unknown(proc: Path, cgroups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise OSError("no /proc/meminfo")

    monkeypatch.setattr(psutil, "virtual_memory", broken)
    assert host.memory(proc=proc, cgroups=cgroups) == host.Memory(total=0, free=0)


@pytest.mark.parametrize(("answer", "features"), [("1\n", ("arm_bf16",)), ("0\n", ()), ("", ())])
def test_a_mac_is_asked(monkeypatch: pytest.MonkeyPatch, answer: str, features: tuple[str, ...]) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=answer))
    assert host.cpu_features() == features


def test_a_mac_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: Any, **__: Any) -> Any:
        raise subprocess.TimeoutExpired("sysctl", 5)

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(subprocess, "run", silent)
    assert host.cpu_features() == ()


def test_packages_are_found_without_importing() -> None:
    assert packages.findable("this_is_here") is False
    assert packages.findable("turtledemo") is True
    assert "turtledemo" not in sys.modules
    assert packages.version("no-such-distribution") is None
    assert packages.version("attrs")


def test_what_mlx_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "findable", lambda name: name == "mlx")
    assert packages.missing_for_mlx("Darwin", "arm64") == ("the package mlx_lm",)
    assert packages.missing_for_mlx("Linux", "x86_64")[0] == "a Mac with Apple silicon"


def test_a_cpu_build_is_probed_without_importing_torch() -> None:
    code = (
        "import sys, importlib.metadata as m; from dlm.adapters.hardware import TorchHardwareProbe as P; P().probe();"
        "print(not m.version('torch').endswith('+cpu') or 'torch' not in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
