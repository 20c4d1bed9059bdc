"""The store on an ordinary disk."""

from dlm.adapters.filesystem.exports import FileExports
from dlm.adapters.filesystem.installer import FileInstaller
from dlm.adapters.filesystem.store import FileStore

__all__ = ["FileExports", "FileInstaller", "FileStore"]
