"""The importance matrix of an export: measured over what the document says and once said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from dlm.app.corpus_of import read_corpus
from dlm.domain.base_models import ResolvedBase
from dlm.domain.corpus import Corpus
from dlm.domain.document import Document
from dlm.domain.errors import SourceError
from dlm.domain.events import Emit, Note
from dlm.domain.importance import (
    MIN_CHUNKS,
    ImportanceKey,
    calibration_text,
    is_surely_too_short,
    text_sha256,
    too_little_text,
)
from dlm.domain.replay import SNAPSHOT_TYPES
from dlm.domain.sources import source_content
from dlm.ports.imatrix import ImatrixPort
from dlm.ports.importance_cache import ImportanceCachePort, KeptImportance
from dlm.ports.replay import ReplayPort
from dlm.ports.sources import SourcesPort
from dlm.ports.store import StorePort

MAX_RECALLED = 1024
"""Removed sections that are read: a paragraph each fills all the text there can be."""

_ANY_TIME = datetime(1970, 1, 1, tzinfo=UTC)
"""Before every section's last sight, so that none counts as older than another: the same corpus gives the same text
on every day."""


def importance_of(
    document: Document,
    base: ResolvedBase,
    *,
    sources: SourcesPort,
    store: StorePort,
    replay: ReplayPort,
    imatrix: ImatrixPort,
    cache: ImportanceCachePort,
    ordinary: Iterable[str] = (),
    emit: Emit,
) -> KeptImportance | None:
    """Give the importance matrix of a base over a document's text, measured when it is not kept yet.

    Args:
        ordinary: texts of no document, read after the document's own: most documents are too short to tell which
            inputs matter.

    Returns:
        None when there is too little text; a note says so, and the export is quantised statically.

    Raises:
        ExportError: the base cannot be measured.
        SourceError: a path among the sources is not there or not allowed.
        DiskError: no room for the matrix.
    """
    corpus = read_corpus(document, sources=sources, store=store, emit=emit)
    text = calibration_text(chain(_contents(corpus, replay, emit), ordinary))
    if is_surely_too_short(text):
        emit(_without(0))
        return None
    key = ImportanceKey(base_sha256=_digest_of(base), corpus_sha256=text_sha256(text))
    found = MIN_CHUNKS

    def build(into: Path) -> int:
        nonlocal found
        found = imatrix.collect(base, [text], into, chunks=key.chunks, chunk_size=key.chunk_size, emit=emit)
        return found

    kept = cache.get(key, build)
    if kept is None:
        emit(_without(found))
    return kept


def _without(chunks: int) -> Note:
    return Note(subject="importance", message=too_little_text(chunks))


def _digest_of(base: ResolvedBase) -> str:
    if base.sha256 is None:
        raise ValueError(f"{base.spec.key} was found without a digest, so nothing can be kept for it")
    return base.sha256


def _contents(corpus: Corpus, replay: ReplayPort, emit: Emit) -> Iterator[str]:
    """Give what the document says, in its order, then what it once said, in the order of ids. What it says now comes
    first, as the text is cut at its end."""
    for section in corpus.document.sections:
        if section.type in SNAPSHOT_TYPES:
            yield section.content
    yield from _files(corpus, emit)
    yield from _removed(corpus, replay, emit)


def _files(corpus: Corpus, emit: Emit) -> Iterator[str]:
    for file in corpus.scan.files:
        if file.kind != "prose":
            continue
        try:
            text = file.read()
        except SourceError as exc:
            message = f"{file.path} is left out of the importance matrix: {exc}"
            emit(Note(subject="importance", message=message, severity="warning"))
            continue
        yield source_content(file.path, text)


def _removed(corpus: Corpus, replay: ReplayPort, emit: Emit) -> Iterator[str]:
    dlm_id, current = corpus.document.dlm_id, corpus.known_names
    for snapshot in replay.sample(dlm_id, current=current, count=MAX_RECALLED, seed=0, now=_ANY_TIME):
        yield snapshot.content
    for problem in replay.problems(dlm_id):
        emit(Note(subject="replay", message=str(problem), severity="warning"))
