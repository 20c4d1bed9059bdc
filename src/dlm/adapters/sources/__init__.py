"""Files and folders of an ordinary disk as sources."""

from dlm.adapters.sources.scan import FileSources

__all__ = ["FileSources"]
