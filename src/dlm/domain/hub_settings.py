"""Where the Hub and its local cache are, from the environment variables the Hub's own library documents."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs

_TRUE = ("1", "on", "yes", "true")

OFFLINE_WHY = "going online is switched off (HF_HUB_OFFLINE)"
OFFLINE_REMEDY = "unset HF_HUB_OFFLINE"

REQUEST_TIMEOUT_S = 8.0
"""Seconds to wait for a first answer: long enough for a slow line, short enough to be told soon that there is none."""


@attrs.frozen(kw_only=True)
class HubSettings:
    """How to reach the Hub.

    Args:
        cache: folder of downloaded repositories.
        endpoint: address of the Hub or a mirror; None for the Hub.
        token: access token; None leaves it to the login stored on this machine.
        offline: the person forbade going online.
    """

    cache: Path
    endpoint: str | None = None
    token: str | None = attrs.field(default=None, repr=False)
    offline: bool = False

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> HubSettings:
        """Read ``HF_HUB_CACHE``, ``HF_HOME``, ``HF_ENDPOINT``, ``HF_TOKEN`` and ``HF_HUB_OFFLINE``."""
        offline = environ.get("HF_HUB_OFFLINE") or environ.get("TRANSFORMERS_OFFLINE") or ""
        return cls(
            cache=_cache_folder(environ),
            endpoint=(environ.get("HF_ENDPOINT") or "").rstrip("/") or None,
            token=environ.get("HF_TOKEN") or environ.get("HUGGING_FACE_HUB_TOKEN") or None,
            offline=offline.strip().lower() in _TRUE,
        )

    @property
    def where(self) -> str:
        """Name the Hub or the mirror, for messages."""
        return self.endpoint or "the Hugging Face Hub"

    def repository(self, hf_id: str) -> Path:
        """Give the cache folder of one repository."""
        return self.cache / f"models--{hf_id.replace('/', '--')}"

    def snapshot(self, hf_id: str, revision: str) -> Path:
        """Give the folder of one commit of a repository; it exists once something of it was fetched."""
        return self.repository(hf_id) / "snapshots" / revision


def _cache_folder(environ: Mapping[str, str]) -> Path:
    given = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE")
    if given:
        return Path(given).expanduser()
    if environ.get("HF_HOME"):
        return Path(environ["HF_HOME"]).expanduser() / "hub"
    return Path(environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "huggingface" / "hub"
