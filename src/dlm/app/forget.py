"""Let go for good of what is no longer in a document."""

from __future__ import annotations

from dlm.app.corpus_of import read_corpus
from dlm.domain.document import Document
from dlm.domain.events import ignore
from dlm.ports.replay import ReplayPort
from dlm.ports.sources import SourcesPort
from dlm.ports.store import StorePort


def forget(document: Document, *, store: StorePort, sources: SourcesPort, replay: ReplayPort) -> int:
    """Drop every remembered section that the document does not hold; gives how many went.

    The next training then reads them no more. Adapter versions that were trained with them stay as they are.

    Raises:
        StoreError: another process works on this document.
    """
    if store.manifest(document.dlm_id) is None:
        return 0
    corpus = read_corpus(document, sources=sources, store=store, emit=ignore)
    with store.writer(document.dlm_id):
        return replay.forget(document.dlm_id, keep=corpus.known_names)
