"""Processor and memory, as the operating system describes them. Nothing here imports torch."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")

_X86_FLAGS = {"amx_bf16": "amx_bf16", "avx512_bf16": "avx512_bf16", "avx512f": "avx512", "avx2": "avx2"}
_ARM_FLAGS = {"bf16": "arm_bf16"}
NATIVE_BF16 = frozenset({"amx_bf16", "avx512_bf16", "arm_bf16"})


@attrs.frozen(kw_only=True)
class Memory:
    """Bytes of RAM, the limits of a container respected; 0 is unknown."""

    total: int
    free: int


def cores() -> int:
    """Give the logical cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def memory(*, proc: Path = _PROC, cgroups: Path = _CGROUPS) -> Memory:
    """Give total and free RAM."""
    import psutil

    try:
        seen = psutil.virtual_memory()
    except (OSError, RuntimeError, psutil.Error):
        return Memory(total=0, free=0)
    total, free = int(seen.total), int(seen.available)
    for limit, used in container_limits(proc=proc, cgroups=cgroups):
        if limit < total:
            total = limit
        free = max(0, min(free, limit - used))
    return Memory(total=total, free=free)


def container_limits(*, proc: Path = _PROC, cgroups: Path = _CGROUPS) -> Iterator[tuple[int, int]]:
    """Give (limit, used) bytes of each control group around this process, innermost first; unlimited ones left out.

    Files kept in cache count as used by the kernel; they are subtracted, since it gives them back on demand.
    """
    for folder, names in _memory_groups(proc, cgroups):
        limit = _number(folder / names.limit)
        if limit is not None and limit < 2**60:  # version 1 writes 2^63 rounded down to a page for "no limit"
            used = _number(folder / names.used) or 0
            yield limit, max(0, used - _reclaimable(folder / "memory.stat"))


@attrs.frozen
class _Names:
    limit: str
    used: str


_V2 = _Names("memory.max", "memory.current")
_V1 = _Names("memory.limit_in_bytes", "memory.usage_in_bytes")


def _memory_groups(proc: Path, cgroups: Path) -> Iterator[tuple[Path, _Names]]:
    """Walk from this process's group up to the root, in version 2 and version 1 hierarchies."""
    for line in _lines(proc / "self" / "cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            root, names = cgroups, _V2
        elif "memory" in controllers.split(","):
            root, names = cgroups / "memory", _V1
        else:
            continue
        here = root / path.lstrip("/")
        yield here, names
        for parent in here.parents:
            if parent == root or root in parent.parents:
                yield parent, names


def _reclaimable(stat: Path) -> int:
    fields = dict(line.split(" ", 1) for line in _lines(stat) if " " in line)
    value = fields.get("total_inactive_file", fields.get("inactive_file", "0"))
    return int(value) if value.isdigit() else 0


def _number(path: Path) -> int | None:
    text = "".join(_lines(path)[:1]).strip()
    return int(text) if text.isdigit() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def processor_name(*, proc: Path = _PROC) -> str:
    """Give the processor's name, or the kind of machine when it has none."""
    named = [line.partition(":")[2].strip() for line in _lines(proc / "cpuinfo") if line.startswith("model name")]
    return (named[0] if named else "") or platform.processor() or platform.machine()


def cpu_features(*, proc: Path = _PROC) -> tuple[str, ...]:
    """Give the instructions that matter for training, by the names of ``Capabilities.cpu_features``.

    Linux lists them in a file; macOS answers a question. Elsewhere nothing is known without torch.
    """
    if sys.platform == "darwin":
        return ("arm_bf16",) if _mac_has_bf16() else ()
    words = {
        word
        for line in _lines(proc / "cpuinfo")
        if line.startswith(("flags", "Features"))
        for word in line.partition(":")[2].split()
    }
    return tuple(ours for theirs, ours in {**_X86_FLAGS, **_ARM_FLAGS}.items() if theirs in words)


def torch_features() -> tuple[str, ...]:
    """Give the same from torch, for systems that do not list them. () with a torch too old to tell."""
    try:
        import torch

        known = torch.cpu.get_capabilities()
    except (ImportError, OSError, AttributeError, RuntimeError):
        return ()
    names = {**_X86_FLAGS, "avx512_f": "avx512", **_ARM_FLAGS}
    return tuple(ours for theirs, ours in names.items() if known.get(theirs))


def _mac_has_bf16() -> bool:
    try:
        done = subprocess.run(
            ["sysctl", "-n", "hw.optional.arm.FEAT_BF16"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() == "1"
