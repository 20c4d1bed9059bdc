"""The store on an ordinary disk."""

from dlm.adapters.filesystem.exports import FileExports
from dlm.adapters.filesystem.store import FileStore

__all__ = ["FileExports", "FileStore"]
