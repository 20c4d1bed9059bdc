"""What is known about a document's token cache."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs

from dlm.domain.errors import MetricsError
from dlm.domain.metrics import RunFilter
from dlm.domain.store_layout import ROW_CACHE
from dlm.ports.metrics import MetricsPort
from dlm.ports.store import StorePort
from dlm.ports.token_cache import CacheSize, TokenCachePort


@attrs.frozen(kw_only=True)
class CacheFacts:
    """Where a cache is, how much it holds, and what the last run that asked it got.

    Args:
        hit_rate: share of rows that were there, 0 to 1; None when no run asked.
        run_id: of that run.
    """

    path: Path
    size: CacheSize
    hit_rate: float | None = None
    run_id: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the object that ``show --json`` holds."""
        return {
            "path": str(self.path),
            "entry_count": self.size.entries,
            "bytes": self.size.bytes_on_disk,
            "last_run_hit_rate": self.hit_rate,
            "last_run_id": self.run_id,
        }

    def last_run_line(self) -> str:
        """Say what the last run got."""
        if self.hit_rate is None:
            return "no run has asked the cache yet"
        return f"{self.hit_rate:.1%} of the rows of run {self.run_id} came from it"


def cache_facts(dlm_id: str, store: StorePort, token_cache: TokenCachePort, metrics: MetricsPort | None) -> CacheFacts:
    """Read them. Metrics that cannot be read are left out: ``dlm metrics`` is the place to complain."""
    hit_rate, run_id = None, None
    if metrics is not None:
        with suppress(MetricsError):
            hit_rate, run_id = _last_use(dlm_id, metrics)
    return CacheFacts(
        path=store.location(dlm_id) / ROW_CACHE, size=token_cache.size(dlm_id), hit_rate=hit_rate, run_id=run_id
    )


def _last_use(dlm_id: str, metrics: MetricsPort) -> tuple[float | None, int | None]:
    for run in metrics.runs(dlm_id, RunFilter()):
        tokenization = metrics.tokenization(dlm_id, run.run_id)
        if tokenization is not None and tokenization.hit_rate is not None:
            return tokenization.hit_rate, run.run_id
    return None, None
