"""The token cache of a document: used by training, shown, pruned, cleared."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import attrs

from dlm.app.cache_facts import CacheFacts, cache_facts
from dlm.domain.document import Document
from dlm.domain.events import Emit
from dlm.domain.numbers import human_size
from dlm.ports.metrics import MetricsPort
from dlm.ports.store import StorePort
from dlm.ports.token_cache import CacheSize, TokenCachePort, TokenStore

CacheStatus = Literal["used", "unused", "disabled"]

_STATUS: dict[CacheStatus, str] = {
    "used": "used by each training",
    "unused": "not used: the document names no training.sources, and what stands in it is tokenised in a moment",
    "disabled": "turned off: training.cache.enabled is false",
}


@attrs.frozen(kw_only=True)
class CacheReport:
    """What ``dlm cache show`` tells."""

    document: Document
    facts: CacheFacts

    @property
    def status(self) -> CacheStatus:
        """Whether trainings of this document use the cache."""
        return cache_status(self.document)

    def to_json(self) -> dict[str, Any]:
        """Give one object."""
        facts = self.facts.to_json()
        return {"dlm_id": self.document.dlm_id, "cache_path": facts.pop("path"), **facts, "cache_status": self.status}

    def to_text(self) -> str:
        """Give a few lines for a person."""
        rows = {
            "cache": str(self.facts.path),
            "status": _STATUS[self.status],
            "entries": f"{self.facts.size.entries:,}",
            "size": human_size(self.facts.size.bytes_on_disk),
            "last run": self.facts.last_run_line(),
        }
        return "\n".join(f"{name + ':':<9} {value}" for name, value in rows.items())


def cache_status(document: Document) -> CacheStatus:
    """Say whether trainings of a document use its cache: it serves text outside the document."""
    training = document.frontmatter.training
    if not training.cache.enabled:
        return "disabled"
    return "used" if training.sources else "unused"


def run_tokens(
    document: Document, token_cache: TokenCachePort | None, use_cache: bool, emit: Emit
) -> AbstractContextManager[TokenStore | None]:
    """Give the token store of a run: the document's cache; one that is gone afterwards when the cache is turned off;
    None, so that rows stay in memory, for a document that is all there is to read."""
    training = document.frontmatter.training
    if token_cache is None or not training.sources:
        return nullcontext()
    is_on = use_cache and cache_status(document) == "used"
    return token_cache.open(document.dlm_id if is_on else None, max_bytes=training.cache.max_bytes, emit=emit)


def show_cache(
    path: Path, *, store: StorePort, token_cache: TokenCachePort, metrics: MetricsPort | None = None
) -> CacheReport:
    """Look at a document's cache; creates nothing.

    Raises:
        DocumentError: the document cannot be read.
        StoreError: the cache cannot be read.
    """
    document = Document.load(path)
    return CacheReport(document=document, facts=cache_facts(document.dlm_id, store, token_cache, metrics))


def prune_cache(path: Path, older_than: timedelta | None, *, token_cache: TokenCachePort) -> int:
    """Drop what was not used for so long; ``training.cache.prune_older_than_days`` of the document when None.

    Raises:
        DocumentError: the document cannot be read.
        StoreError: a training is using the cache.
        DiskError: it cannot be written.
    """
    document = Document.load(path)
    if older_than is None:
        older_than = timedelta(days=document.frontmatter.training.cache.prune_older_than_days)
    return token_cache.prune(document.dlm_id, older_than=older_than)


def clear_cache(path: Path, confirm: Callable[[CacheSize], bool], *, token_cache: TokenCachePort) -> int | None:
    """Drop everything; gives how many rows went, None when ``confirm``, asked if there are any, said no.

    Raises:
        as ``prune_cache``.
    """
    dlm_id = Document.load(path).dlm_id
    size = token_cache.size(dlm_id)
    return token_cache.clear(dlm_id) if not size.entries or confirm(size) else None
