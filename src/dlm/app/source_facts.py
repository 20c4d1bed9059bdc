"""What ``show`` tells about the files a document names and about what changed since it was last trained."""

from __future__ import annotations

from typing import Any

import attrs

from dlm.app.corpus_of import scan_memory
from dlm.domain.corpus import Corpus, Delta
from dlm.domain.document import Document
from dlm.domain.errors import DlmError
from dlm.domain.manifest import Manifest
from dlm.domain.settings import plain
from dlm.domain.sources import DirectiveCounts, SourceScan
from dlm.ports.sources import SourcesPort
from dlm.ports.store import StorePort


@attrs.frozen(kw_only=True)
class SourceFacts:
    """What a look at the files found.

    Args:
        scan: None when the files could not be looked at; ``problem`` says why.
        delta: sections against the last training; None before the first one.
    """

    document: Document
    scan: SourceScan | None
    problem: str | None = None
    delta: Delta | None = None

    @property
    def known_names(self) -> frozenset[str]:
        """Ids of the sections that are there."""
        return Corpus(document=self.document, scan=self.scan or SourceScan()).known_names

    def to_json(self) -> dict[str, Any]:
        """Give the keys of ``show --json`` that only documents with ``training.sources`` have."""
        directives = self.document.frontmatter.training.sources
        if not directives or self.scan is None:
            return {"training_sources_problem": self.problem} if self.problem else {}
        return {
            "training_sources": [
                {**plain(directive), **_counts(counts)}
                for directive, counts in zip(directives, self.scan.directives, strict=True)
            ],
            "discovered_training_configs": [attrs.asdict(config) for config in self.scan.configs],
        }

    def lines(self) -> list[tuple[str, str]]:
        """Give lines for a person."""
        rows = []
        if self.problem:
            rows.append(("sources", self.problem))
        elif self.scan is not None and self.scan.directives:
            rows.append(("sources", _summary(self.scan)))
        if self.delta is not None:
            rows.append(("changes", _changes(self.delta)))
        return rows


def source_facts(document: Document, manifest: Manifest | None, sources: SourcesPort, store: StorePort) -> SourceFacts:
    """Look at the files; nothing is written. What is wrong with them is part of what is told."""
    try:
        scan = sources.scan(document, memory=scan_memory(store, document.dlm_id), remember=False)
    except DlmError as exc:
        return SourceFacts(document=document, scan=None, problem=str(exc))
    is_trained = manifest is not None and manifest.last_committed is not None
    delta = Corpus(document=document, scan=scan).delta(manifest.content_hashes) if manifest and is_trained else None
    return SourceFacts(document=document, scan=scan, delta=delta)


def _counts(counts: DirectiveCounts) -> dict[str, int]:
    wanted = ("file_count", "total_bytes", "skipped_binary", "skipped_encoding", "skipped_over_size")
    return {name: getattr(counts, name) for name in wanted}


def _summary(scan: SourceScan) -> str:
    files = sum(counts.file_count for counts in scan.directives)
    size = sum(counts.total_bytes for counts in scan.directives)
    media = sum(counts.image_count + counts.audio_count for counts in scan.directives)
    parts = [f"{files:,} text files, {size / 2**20:.1f} MiB"]
    parts += [f"{media:,} pictures and recordings"] if media else []
    parts += [f"{len(scan.configs)} folders with settings of their own"] if scan.configs else []
    return "; ".join(parts)


def _changes(delta: Delta) -> str:
    if not delta.new and not delta.removed:
        return "none since the last training"
    return f"{len(delta.new)} sections new, {len(delta.removed)} gone since the last training"
