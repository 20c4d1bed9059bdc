"""Sources in memory: trees of text files, without links, settings files or media."""

from __future__ import annotations

import hashlib
from collections import Counter
from functools import partial
from pathlib import Path

from dlm.domain.document import Document
from dlm.domain.errors import SourceError
from dlm.domain.events import Emit, Progress, ignore
from dlm.domain.frontmatter import SourceConfig
from dlm.domain.source_rules import Scope, is_learned_from
from dlm.domain.sources import (
    BINARY_HEAD_BYTES,
    DirectiveCounts,
    SourceFile,
    SourceScan,
    changed,
    source_section_id,
    source_text,
)

Tree = dict[str, bytes]


class MemorySources:
    """Keeps :class:`dlm.ports.sources.SourcesPort`'s contract for plain text.

    Args:
        trees: path as a directive writes it → relative path → bytes. May be changed at any time.
    """

    def __init__(self, trees: dict[str, Tree] | None = None) -> None:
        self.trees = {} if trees is None else trees

    def scan(
        self, document: Document, *, memory: Path | None = None, remember: bool = True, emit: Emit = ignore
    ) -> SourceScan:
        del memory, remember
        directives = document.frontmatter.training.sources or ()
        files: dict[str, SourceFile] = {}
        warnings: list[str] = []
        counts = tuple(self._scan(directive, files, warnings) for directive in directives)
        if directives:
            emit(Progress(stage="scan", done=len(files), total=len(files), unit="files"))
        return SourceScan(files=tuple(files.values()), directives=counts, warnings=tuple(warnings))

    def _scan(self, directive: SourceConfig, files: dict[str, SourceFile], warnings: list[str]) -> DirectiveCounts:
        if directive.path not in self.trees:
            raise SourceError("sources.missing", f"there is no {directive.path!r}", hint="Correct the path.")
        tree, scope = self.trees[directive.path], Scope.of_directive(directive.include, directive.exclude)
        counts: Counter[str] = Counter()
        for path in sorted(tree, key=lambda path: path.split("/")):
            if directive.max_files is not None and counts["file_count"] >= directive.max_files:
                break
            skipped = _reason_to_skip(path, tree[path], scope, directive.max_bytes_per_file)
            if skipped is not None:
                counts[skipped] += 1
                warnings += [f"{path} is not UTF-8 text and is left out"] if skipped == "skipped_encoding" else []
                continue
            file = self._file(directive.path, path)
            if files.setdefault(file.section_id, file) is file:
                counts["file_count"] += 1
                counts["total_bytes"] += file.size
        return DirectiveCounts(path=directive.path, **counts)

    def _file(self, root: str, path: str) -> SourceFile:
        data = self.trees[root][path]
        return SourceFile(
            kind="prose",
            path=path,
            location=Path(root, path),
            size=len(data),
            section_id=source_section_id(path, source_text(data)),
            sha256=hashlib.sha256(data).hexdigest(),
            read=partial(self._read, root, path, data),
        )

    def _read(self, root: str, path: str, scanned: bytes) -> str:
        if self.trees.get(root, {}).get(path) != scanned:
            raise changed(Path(root, path))
        return source_text(scanned)


def _reason_to_skip(path: str, data: bytes, scope: Scope, limit: int | None) -> str | None:
    if not is_learned_from(path, scope):
        return "skipped_by_descent"
    if limit is not None and len(data) > limit:
        return "skipped_over_size"
    if b"\0" in data[:BINARY_HEAD_BYTES]:
        return "skipped_binary"
    try:
        data.decode()
    except UnicodeDecodeError:
        return "skipped_encoding"
    return None
