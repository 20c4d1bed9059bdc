"""How fast packs are made and opened, against the programs tar and zstd at the same level.

Run: ``python bench/pack.py [megabytes]``. Two stores of that size are packed and unpacked: one of random bytes, which
no program makes smaller (stored data), and one of float weights as adapters hold them. The peers are ``tar | zstd -10``
and ``zstd -d | tar -x`` on one thread; beside what they do, dlm takes and checks the digest of every member and of the
pack. Seconds are those of the processor, so that other work on the machine does not count; memory is the peak of the
whole process. Exits with 1 when packing or opening stored data is slower than 300 MB per second of one core, or takes
more than 100 MB of memory. Where the disk is slower than that, the system's own work on it counts too: for both, and
``TMPDIR=/dev/shm`` leaves it out.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT_MB_PER_S, LIMIT_MB = 300, 100
STEP = 1 << 20


def fill(folder: Path, megabytes: int, kind: str) -> Path:
    """Write a file of random bytes or of 32-bit weights."""
    import numpy as np

    folder.mkdir()
    chance = np.random.default_rng(7)
    with (folder / "adapter_model.safetensors").open("wb") as file:
        for _ in range(megabytes):
            weights = (chance.standard_normal(STEP // 4) * 0.02).astype(np.float32)
            file.write(chance.bytes(STEP) if kind == "stored" else weights.tobytes())
    return folder


def ours(work: str, place: Path) -> None:
    """Pack or open in this process; print seconds and the peak of memory."""
    from dlm.adapters.packs import TarZstdPacks
    from dlm.domain.events import ignore
    from dlm.testing.packs_contract import a_job

    packs, pack = TarZstdPacks(), place / "dlm.pack"
    packs.check(packs.write(a_job(), place / "warm.pack", emit=ignore).path, emit=ignore)
    start, wall = time.process_time(), time.perf_counter()
    if work == "pack":
        name = "store/adapter/versions/v0001/weights.safetensors"
        packs.write(a_job({name: place / "store" / "adapter_model.safetensors"}), pack, emit=ignore)
    elif work == "check":
        packs.check(pack, emit=ignore)
    else:
        (place / "into").mkdir()
        packs.extract(pack, place / "into", emit=ignore)
    cpu, wall = time.process_time() - start, time.perf_counter() - wall
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu": cpu, "wall": wall, "memory": memory}))


def run_ours(work: str, place: Path) -> dict[str, float]:
    """Measure one piece of work in a process of its own."""
    done = subprocess.run([sys.executable, __file__, work, str(place)], check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def run_theirs(command: str, place: Path) -> dict[str, float]:
    """Measure a pipe of programs."""
    before, wall = os.times(), time.perf_counter()
    subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], check=True, cwd=place)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"cpu": cpu, "wall": time.perf_counter() - wall}


def told(name: str, megabytes: int, found: dict[str, float]) -> str:
    """Give one line of the table."""
    memory = f", {found['memory']:5.0f} MB of memory" if "memory" in found else ""
    size = megabytes * STEP / 1e6
    core, clock = size / found["cpu"], size / found["wall"]
    return f"  {name:24} {core:6.0f} MB/s of one core, {clock:6.0f} MB/s by the clock{memory}"


def compare(kind: str, megabytes: int) -> bool:
    """Print one table; tell whether the limits hold."""
    is_fine = True
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        place = Path(folder)
        fill(place / "store", megabytes, kind)
        (place / "out").mkdir()
        pairs = (
            ("pack", "tar -c store | zstd -q -10 -T1 -o peer.zst"),
            ("unpack", "zstd -q -dc peer.zst | tar -x -C out"),
        )
        has_peer = shutil.which("zstd") is not None and shutil.which("tar") is not None
        print(f"{kind}, {megabytes} MiB" + ("" if has_peer else " (no programs tar and zstd here to compare with)"))
        for work, command in pairs:
            mine = run_ours(work, place)
            print(told(f"dlm {work}", megabytes, mine))
            is_fine &= megabytes * STEP / 1e6 / mine["cpu"] > LIMIT_MB_PER_S and mine["memory"] < LIMIT_MB
            if has_peer:
                peer = run_theirs(command, place)
                print(told(command.split(" store")[0].split(" peer")[0] + " …", megabytes, peer))
                print(f"  ratio                    {peer['cpu'] / mine['cpu']:.2f} times as fast on one core")
        print(told("dlm check", megabytes, run_ours("check", place)))
        sizes = {
            name: (place / name).stat().st_size / (megabytes * STEP)
            for name in ("dlm.pack", "peer.zst")[: 1 + has_peer]
        }
        print("  size: " + ", ".join(f"{name} {share:.3f}" for name, share in sizes.items()))
    return is_fine


def main(megabytes: int) -> int:
    """Print both tables."""
    is_fine = compare("stored", megabytes)
    compare("weights", megabytes)
    return 0 if is_fine else 1


if __name__ == "__main__":
    if sys.argv[1:2] in (["pack"], ["unpack"], ["check"]):
        ours(sys.argv[1], Path(sys.argv[2]))
    else:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 512))
