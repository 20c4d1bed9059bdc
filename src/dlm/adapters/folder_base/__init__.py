"""Bases that are folders of the user's own: ``path:<folder>``."""

from __future__ import annotations

from dlm.domain.base_files import local_folder
from dlm.domain.base_models import BaseSpec
from dlm.domain.events import Emit, ignore
from dlm.ports.base_source import Found, Miss


class FolderBaseSource:
    """Serves ``path:`` bases where they lie; nothing is copied or changed."""

    def find(self, spec: BaseSpec, *, emit: Emit = ignore) -> Found | Miss | None:
        """Give the folder the key names; relative names count from the working directory."""
        if not spec.is_local:
            return None
        folder = local_folder(spec.key)
        if not folder.is_dir():
            return Miss(where=str(folder), why="there is no such folder")
        return Found(folder=folder, origin="folder")
