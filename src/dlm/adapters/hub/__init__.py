"""The Hugging Face Hub: its local cache, downloads, and models looked up by name."""

from dlm.adapters.hub.cache import HubCacheSource
from dlm.adapters.hub.download import HubDownloadSource
from dlm.adapters.hub.lookup import HubModelLookup
from dlm.domain.hub_settings import HubSettings

__all__ = ["HubCacheSource", "HubDownloadSource", "HubModelLookup", "HubSettings"]
