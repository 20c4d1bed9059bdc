"""How long it takes to draw from a million removed sections, and how much memory, against reading the index whole.

Run: ``python bench/replay.py [sections]``. The peer does what the format suggests at first sight: it reads
``index.json`` with ``json.load``, draws with ``random.Random`` and reads the frames drawn. Both draw the same sections;
each runs in a process of its own. Exits with 1 when a draw takes over a second
or when the two draw different sections.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

COUNT, SEED, LIMIT_S = 1000, 7, 1.0
NOW = datetime(2026, 6, 1, tzinfo=UTC)
ID = "01HQ8Z0000000000000000000A"


def fill(home: Path, sections: int) -> float:
    """Record that many sections in twelve runs, a month apart; gives the seconds."""
    from dlm.adapters.replay import FileReplay
    from dlm.domain.replay import snapshots
    from dlm.domain.sections import Section

    replay, start = FileReplay(lambda dlm_id: home / dlm_id), time.perf_counter()
    for run_id in range(1, 13):
        numbers = range(run_id - 1, sections, 12)
        made = (Section(type="prose", content=f"Note {number}.\n" + "It says what it says. " * 5) for number in numbers)
        now = NOW - timedelta(days=30 * (13 - run_id))
        replay.record(ID, snapshots(made, run_id=run_id, now=now), run_id=run_id, now=now)
    return time.perf_counter() - start


def ours(home: Path) -> list[str]:
    """Draw as dlm does."""
    from dlm.adapters.replay import FileReplay

    replay = FileReplay(lambda dlm_id: home / dlm_id)
    return [item.section_id for item in replay.sample(ID, current=(), count=COUNT, seed=SEED, now=NOW)]


def theirs(home: Path) -> list[str]:
    """Draw from the whole index in memory."""
    from dlm.adapters.replay.frames import read_at
    from dlm.domain.json_record import in_utc
    from dlm.domain.replay import Remembered, draw

    folder = home / ID / "replay"
    index = {entry["section_id"]: entry for entry in json.loads((folder / "index.json").read_text())}
    corpus = [
        Remembered(key, in_utc(datetime.fromisoformat(entry["added_at"])), entry["weight"])
        for key, entry in index.items()
    ]
    drawn = draw(corpus, count=COUNT, seed=SEED, now=NOW)
    with (folder / "corpus.zst").open("rb") as file:
        size = file.seek(0, 2)
        places = [(index[key]["byte_offset"], index[key]["length"], key) for key in drawn]
        return [read_at(file, size, *place)[1].section_id for place in places]


def child(who: str, home: Path) -> None:
    """Draw four times; print the best time of three, the peak of memory in the fourth and a digest of what was drawn.

    Memory is followed in a draw of its own, since following slows it down; numpy's is counted, imports are not.
    """
    draw = {"ours": ours, "theirs": theirs}[who]
    seconds, drawn = [], []
    for _ in range(3):
        start = time.perf_counter()
        drawn = draw(home)
        seconds.append(time.perf_counter() - start)
    tracemalloc.start()
    draw(home)
    peak = tracemalloc.get_traced_memory()[1]
    digest = hashlib.sha256(" ".join(drawn).encode()).hexdigest()
    print(json.dumps({"seconds": min(seconds), "bytes": peak, "drawn": digest}))


def run(who: str, home: Path) -> dict[str, float]:
    """Measure one of the two in a process of its own."""
    done = subprocess.run([sys.executable, __file__, who, str(home)], check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main(sections: int) -> int:
    """Print both and their ratios."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        print(f"{sections} sections recorded in {fill(home, sections):.1f} s")
        print(f"on disk: {sum(path.stat().st_size for path in home.rglob('*') if path.is_file()) / 1e6:.0f} MB")
        mine, other = run("ours", home), run("theirs", home)
    for name, found in (("dlm", mine), ("json.load and random.Random", other)):
        print(f"{name:28} draws {COUNT} in {found['seconds']:6.3f} s, {found['bytes'] / 2**20:7.1f} MiB at the peak")
    time_ratio, memory_ratio = other["seconds"] / mine["seconds"], other["bytes"] / mine["bytes"]
    print(f"ratio: {time_ratio:.0f} times as fast, {memory_ratio:.0f} times less memory")
    is_same = mine["drawn"] == other["drawn"]
    print("both drew the same sections" if is_same else "THEY DREW DIFFERENT SECTIONS")
    return 0 if is_same and mine["seconds"] < LIMIT_S else 1


if __name__ == "__main__":
    if sys.argv[1:2] in (["ours"], ["theirs"]):
        child(sys.argv[1], Path(sys.argv[2]))
    else:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
