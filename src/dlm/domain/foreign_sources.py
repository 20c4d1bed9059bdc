"""Documents that came in a pack may not read files of this machine before somebody here allowed it.

A stranger's ``training.sources`` could name private folders; their text would be learned, and travel on with the next
pack.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath, PureWindowsPath

from dlm.domain.document import Document
from dlm.domain.errors import SourceError
from dlm.domain.manifest import Manifest


def refuse_foreign_sources(document: Document, manifest: Manifest | None) -> None:
    """Refuse a document from a pack that reads outside its own folder, unless its sources are trusted here.

    Raises:
        SourceError: ``sources.foreign``, naming the first such path.
    """
    if manifest is None or manifest.installed_from is None or manifest.trusts_sources:
        return
    outside = next(paths_outside(document), None)
    if outside is not None:
        raise SourceError(
            "sources.foreign",
            f"this document came in a pack and wants to read {outside[:200]!r}, outside of its own folder",
            hint="Look at training.sources. If you want it to read that, run dlm train once with --trust-sources.",
        )


def paths_outside(document: Document) -> Iterator[str]:
    """Give the paths of ``training.sources`` that lead out of the document's folder, read as Posix or as Windows
    paths."""
    for source in document.frontmatter.training.sources or ():
        if _leads_out(source.path):
            yield source.path


def _leads_out(path: str) -> bool:
    windows = PureWindowsPath(path)
    if path.startswith("~") or PurePosixPath(path).is_absolute() or windows.drive or windows.root:
        return True
    depth = 0
    for part in path.replace("\\", "/").split("/"):
        if part == "..":
            depth -= 1
        elif part not in ("", "."):
            depth += 1
        if depth < 0:
            return True
    return False
