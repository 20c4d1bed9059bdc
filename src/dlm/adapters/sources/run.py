"""What the directives of one scan share."""

from __future__ import annotations

import os
import time
from pathlib import Path

import attrs

from dlm.adapters.sources.memory import ScanMemory
from dlm.adapters.sources.warnings import Warnings
from dlm.domain.document import Document
from dlm.domain.events import Emit, Progress
from dlm.domain.sources import SourceFile

_TELL_EVERY_S = 0.1
_LOOK_AT_CLOCK_EVERY = 128


class ScanProgress:
    """Tells how many files were looked at, about ten times a second."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._done = 0
        self._told_s = time.monotonic()

    def step(self) -> None:
        """Count one file."""
        self._done += 1
        if self._done % _LOOK_AT_CLOCK_EVERY == 0 and time.monotonic() - self._told_s >= _TELL_EVERY_S:
            self._told_s = time.monotonic()
            self._emit(Progress(stage="scan", done=self._done, total=None, unit="files"))

    def finish(self) -> None:
        """Tell the final number."""
        self._emit(Progress(stage="scan", done=self._done, total=self._done, unit="files"))


@attrs.define(kw_only=True)
class ScanRun:
    """One scan under way.

    Args:
        memory_path: the memory's file, to be removed when it turns out wrong; None leaves it alone.
        seen: real paths of files that are in ``files``.
        section_ids: of the sections of those.
    """

    document: Document
    anchor: Path
    memory: ScanMemory
    memory_path: Path | None
    emit: Emit
    files: list[SourceFile] = attrs.field(factory=list)
    seen: set[str] = attrs.field(factory=set)
    section_ids: set[str] = attrs.field(factory=set)
    warnings: Warnings = attrs.field(factory=Warnings)
    progress: ScanProgress = attrs.field(init=False)
    real_anchor: str = attrs.field(init=False)
    real_document: str | None = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        path = self.document.path
        self.progress = ScanProgress(self.emit)
        self.real_anchor = os.path.realpath(self.anchor)
        self.real_document = None if path is None else os.path.realpath(path)

    @property
    def is_strict(self) -> bool:
        """Whether nothing outside the anchor may be learned."""
        return self.document.frontmatter.training.sources_policy == "strict"

    def is_inside(self, real: str) -> bool:
        """Tell whether a real path is the anchor or below it."""
        return is_below(real, self.real_anchor)


def is_below(real: str, folder: str) -> bool:
    """Tell whether a real path is ``folder`` or below it."""
    return real == folder or real.startswith(folder.rstrip(os.sep) + os.sep)
