"""Bases that an earlier download, by dlm or another program, left in the Hub's local cache."""

from __future__ import annotations

from collections.abc import Mapping

from dlm.domain.base_models import BaseSpec
from dlm.domain.events import Emit, ignore
from dlm.domain.hub_settings import HubSettings
from dlm.ports.base_source import Found, Miss


class HubCacheSource:
    """Looks into the cache on disk; never goes online and imports nothing of the Hub's library.

    Only the pinned commit counts. Whether the copy is complete is for the caller to check.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._settings = HubSettings.from_environ(environ)

    def find(self, spec: BaseSpec, *, emit: Emit = ignore) -> Found | Miss | None:
        """Give the folder of the pinned commit when there is one."""
        if spec.is_local or spec.revision is None:
            return None
        where = f"the local Hub cache {self._settings.cache}"
        try:
            present = self._settings.snapshot(spec.hf_id, spec.revision).is_dir()
            other = not present and self._settings.repository(spec.hf_id).is_dir()
        except OSError as exc:
            return Miss(where=where, why=f"it cannot be read: {exc.strerror or exc}")
        if present:
            return Found(folder=self._settings.snapshot(spec.hf_id, spec.revision), origin="hub-cache")
        why = f"it has {spec.hf_id}, but not commit {spec.revision[:12]}" if other else f"it does not have {spec.hf_id}"
        return Miss(where=where, why=why)
