"""Scanning what a document names under ``training.sources``."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from dlm.adapters.sources.directive import DirectiveScan
from dlm.adapters.sources.memory import ScanMemory
from dlm.adapters.sources.run import ScanRun
from dlm.domain.document import Document
from dlm.domain.events import Emit, ignore
from dlm.domain.sources import FoundConfig, SourceScan, anchor_of


class FileSources:
    """Sources on an ordinary disk.

    Args:
        now_ns: the time, in nanoseconds since 1970, by the clock that stamps files.
    """

    def __init__(self, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns

    def scan(
        self, document: Document, *, memory: Path | None = None, remember: bool = True, emit: Emit = ignore
    ) -> SourceScan:
        """Find and hash every file that is to be learned. See :class:`dlm.ports.sources.SourcesPort`."""
        directives = document.frontmatter.training.sources or ()
        if not directives:
            return SourceScan()
        known = ScanMemory(memory, self._now_ns())
        run = ScanRun(
            document=document,
            anchor=anchor_of(document.path),
            memory=known,
            memory_path=memory if remember else None,
            emit=emit,
        )
        scans = [DirectiveScan(run, index, directive) for index, directive in enumerate(directives)]
        counts = tuple(scan.counts() for scan in scans)
        run.progress.finish()
        if remember and (problem := known.save()) is not None:
            run.warnings.add("memory", problem)
        return SourceScan(
            files=tuple(run.files),
            directives=counts,
            configs=_distinct([config for scan in scans for config in scan.configs]),
            warnings=run.warnings.all(),
            weight_distribution=_distribution(scans),
        )


def _distinct(configs: list[tuple[str, FoundConfig]]) -> tuple[FoundConfig, ...]:
    return tuple(dict(configs).values())


def _distribution(scans: list[DirectiveScan]) -> Mapping[str, Mapping[str, int]] | None:
    if not any(scan.has_weights for scan in scans):
        return None
    total: dict[str, Counter[str]] = {}
    for scan in scans:
        for tag, value in scan.weighted:
            total.setdefault(tag, Counter())[value] += 1
    return {tag: dict(sorted(values.items())) for tag, values in sorted(total.items())}
