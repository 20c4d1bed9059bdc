"""How fast trees of files are found and hashed, against pathspec with hashlib on the same trees in the same run.

Run: ``python bench/source_scan.py [folder …]``; without folders, the standard library and site-packages. Files are in
the system's cache: each tree is walked once before it is timed. Each figure is the best of three, in processor time, so
that other work on the machine counts for little. Exits with 1 when a
tree is scanned at less than 5000 files a second without memory, or 10 000 unchanged files would take half a second.

The peer does the least that an ignore-aware tool does: walk, match the same default patterns, read, sha256. The scan
does more for each file: verdict of text or binary, id of the section, tags and weight.
"""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dlm.adapters.sources import FileSources
from dlm.domain.document import Document
from dlm.domain.source_rules import DEFAULT_EXCLUDES
from dlm.domain.sources import SourceScan

LEAST_FILES_PER_S = 5000
MOST_S_FOR_10000_UNCHANGED = 0.5


def best(call: Callable[[], object], rounds: int = 3) -> float:
    """Give the shortest of several runs, in seconds of processor time, the system's part included."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def peer(folder: Path) -> int:
    """Walk, match and hash with pathspec and hashlib; gives the number of files."""
    from pathspec import GitIgnoreSpec

    spec = GitIgnoreSpec.from_lines(DEFAULT_EXCLUDES)
    count = 0
    for path in spec.match_tree_files(folder, negate=True, follow_links=False):
        location = os.path.join(folder, path)  # noqa: PTH118
        if os.path.isfile(location):  # noqa: PTH113
            with open(location, "rb") as file:  # noqa: PTH123
                hashlib.sha256(file.read()).hexdigest()
            count += 1
    return count


def measured(folder: Path, memory: Path) -> bool:
    """Print the figures of one tree; tells whether they are good enough."""
    document = Document.new("01KPXZ0000000000000000000A", "tiny", "Prose.", sources=[{"path": str(folder)}])
    # An hour ahead: what an installer wrote a moment ago is then old enough to be remembered.
    sources = FileSources(now_ns=lambda: time.time_ns() + 3600 * 10**9)

    def scan(memory: Path | None = None) -> SourceScan:
        return sources.scan(document, memory=memory)

    found = scan(memory)
    counts = found.directives[0]
    files = counts.file_count + counts.skipped_binary + counts.skipped_encoding + counts.image_count
    fresh, known, theirs = best(scan), best(lambda: scan(memory)), best(lambda: peer(folder))
    print(
        f"{folder}: {files} files, {counts.total_bytes / 1e6:.0f} MB of text in {counts.file_count}\n"
        f"  without memory {fresh:6.3f} s  {files / fresh:7.0f} files/s\n"
        f"  with memory    {known:6.3f} s  {files / known:7.0f} files/s, {known / files * 1e7:.0f} ms for 10000\n"
        f"  pathspec+sha   {theirs:6.3f} s  {peer(folder) / theirs:7.0f} files/s  "
        f"(ratio of time: {theirs / fresh:.1f} without memory, {theirs / known:.1f} with)"
    )
    return files / fresh >= LEAST_FILES_PER_S and known / files * 10_000 < MOST_S_FOR_10000_UNCHANGED


def main() -> int:
    """Measure each tree."""
    paths = sysconfig.get_paths()
    folders = [Path(name) for name in sys.argv[1:] or (paths["stdlib"], paths["purelib"])]
    with tempfile.TemporaryDirectory() as temporary:
        good = [measured(folder.resolve(), Path(temporary, str(number))) for number, folder in enumerate(folders)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
