"""Finding the files that a document names under ``training.sources``."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from dlm.domain.document import Document
from dlm.domain.events import Emit, ignore
from dlm.domain.sources import SourceScan


class SourcesPort(Protocol):
    """Walks trees and reads their settings. A document without ``training.sources`` gives an empty scan."""

    def scan(
        self, document: Document, *, memory: Path | None = None, remember: bool = True, emit: Emit = ignore
    ) -> SourceScan:
        """Find and hash every file that is to be learned.

        Args:
            memory: where digests of files are kept between scans, so that only changed files are read again. A damaged
                one is started anew.
            remember: write what was learned back to ``memory``.
            emit: told ``Progress`` with the stage ``scan``.

        Raises:
            SourceError: a path that is not there, or one that ``sources_policy: strict`` forbids.
        """
        ...
