"""Reading a document with the files it names."""

from __future__ import annotations

from pathlib import Path

from dlm.domain.corpus import Corpus
from dlm.domain.document import Document
from dlm.domain.events import Emit, Note
from dlm.domain.foreign_sources import refuse_foreign_sources
from dlm.ports.sources import SourcesPort
from dlm.ports.store import StorePort


def scan_memory(store: StorePort, dlm_id: str) -> Path:
    """Give where digests of a document's files are kept between scans."""
    return store.home / "cache" / "sources" / dlm_id


def read_corpus(document: Document, *, sources: SourcesPort, store: StorePort, emit: Emit) -> Corpus:
    """Scan ``training.sources``; digests of unchanged files are kept in the home, so a second scan reads few of them.

    Raises:
        SourceError: a path that is not there or not allowed; or one outside the folder of a document from a pack.
    """
    if not document.frontmatter.training.sources:
        return Corpus(document=document)
    refuse_foreign_sources(document, store.manifest(document.dlm_id))
    scan = sources.scan(document, memory=scan_memory(store, document.dlm_id), emit=emit)
    for message in scan.warnings:
        emit(Note(subject="sources", message=message, severity="warning"))
    return Corpus(document=document, scan=scan)
