"""How fast a pack is served, against Python's own web server giving out the same file.

    python bench/serve.py [--megabytes 1024] [--repeat 5] [--folder FOLDER]

Both listen on this machine, each is asked in turn by the same client: curl where it is installed, else Python. Prints
the median of each and the ratio, then the same with TLS, which Python's server does not have.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dlm.adapters.peer import HttpPeerServer
from dlm.adapters.system_clock import SystemClock
from dlm.domain.events import ignore
from dlm.ports.peer_server import PeerJob

GOAL = 300.0
"""MB/s."""

_CHUNK = 1 << 20


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench."""
    args = _arguments(argv)
    curl = shutil.which("curl")
    print(f"client: {'curl' if curl else 'Python, as curl is not installed'}")
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        pack = Path(name, "bench.dlm.pack")
        sha256 = _write(pack, args.megabytes)
        speeds: dict[str, list[float]] = {"dlm serve": [], "python -m http.server": [], "dlm serve, TLS": []}
        with _ours(pack, sha256, False) as ours, _python(pack) as python, _ours(pack, sha256, True) as tls:
            for _ in range(args.repeat):
                for title, url in zip(speeds, (ours, python, tls), strict=True):
                    if curl or not url.startswith("https"):
                        speeds[title].append(_speed(url, pack.stat().st_size, curl))
    for title, found in speeds.items():
        if found:
            print(f"{title}: {statistics.median(found):.0f} MB/s (of {len(found)}: {min(found):.0f}–{max(found):.0f})")
    mine, other = (statistics.median(speeds[title]) for title in ("dlm serve", "python -m http.server"))
    print(f"ratio {mine / other:.2f}; goal {GOAL:.0f} MB/s: {'met' if mine >= GOAL else 'missed'}")
    return 0


def _write(path: Path, megabytes: int) -> str:
    """Write random bytes, which no layer can shorten; gives their digest."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(megabytes):
            chunk = os.urandom(_CHUNK)
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


@contextmanager
def _ours(pack: Path, sha256: str, is_encrypted: bool) -> Iterator[str]:
    job = PeerJob(
        dlm_id="01ARZ3NDEKTSV4RRFFQ69G5FAV", pack=pack, sha256=sha256, rate_limit=10_000, is_encrypted=is_encrypted
    )
    with HttpPeerServer(clock=SystemClock()).bind("127.0.0.1", 0) as bound, bound.start(job, emit=ignore) as running:
        yield running.url.replace("peer", "https" if is_encrypted else "http", 1).partition("#")[0]


@contextmanager
def _python(pack: Path) -> Iterator[str]:
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(pack.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            port = server.stdout.readline().split(" port ")[1].split()[0]
            yield f"http://127.0.0.1:{port}/{pack.name}"
        finally:
            server.terminate()


def _speed(url: str, size: int, curl: str | None) -> float:
    """Give MB/s of one download that is thrown away."""
    start = time.perf_counter()
    if curl:
        got = subprocess.run(
            [curl, "-sSfk", "-o", os.devnull, "-w", "%{size_download}", url], check=True, capture_output=True, text=True
        ).stdout
    else:
        with urllib.request.urlopen(url) as answer:
            got = str(sum(len(chunk) for chunk in iter(lambda: answer.read(_CHUNK), b"")))
    seconds = time.perf_counter() - start
    if int(got) != size:
        raise RuntimeError(f"{got} bytes of {size} came from {url.partition('?')[0]}")
    return size / seconds / 1e6


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1024, help="size of the file in MiB (1024)")
    parser.add_argument("--repeat", type=int, default=5, help="times each is measured (5)")
    parser.add_argument("--folder", type=Path, help="where the file is written (a temporary folder)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
