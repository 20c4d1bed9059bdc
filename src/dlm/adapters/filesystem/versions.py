"""Adapter versions: staged, committed, pointed to."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import suppress
from pathlib import Path

from dlm.adapters.filesystem.checkpoints import FileCheckpoints
from dlm.adapters.filesystem.faults import read_text, reading, writing
from dlm.adapters.filesystem.folders import new_staging_folder, sync_tree
from dlm.adapters.filesystem.writer_lock import HeldLock
from dlm.domain.errors import StoreError
from dlm.domain.store_layout import (
    POINTER,
    adapter_folder,
    committed_versions,
    leaves_store,
    next_version,
    pointed_version,
    pointer_to,
    version_name,
)
from dlm.domain.text_files import sync_folder, write_atomic
from dlm.ports.store import AdapterRef


def current_version(root: Path, adapter: str | None) -> AdapterRef | None:
    """Give the version that ``current.txt`` points to; None when there is no pointer.

    Raises:
        StoreError: the pointer leads out of the store, is not a pointer, or its folder is gone.
    """
    pointer_file = root / adapter_folder(adapter) / POINTER
    text = read_text(pointer_file)
    if text is None:
        return None
    pointer = text.rstrip("\r\n")
    with reading(pointer_file):
        version = _checked_version(root, adapter, pointer, pointer_file)
    return AdapterRef(version=version, folder=root / pointer)


def _checked_version(root: Path, adapter: str | None, pointer: str, pointer_file: Path) -> int:
    if leaves_store(pointer) or not _stays_inside(root, pointer):
        raise StoreError(
            "store.pointer-escape",
            f"{pointer_file} points outside its store: {pointer[:200]!r}",
            hint=f"It was damaged or tampered with. {_way_back(root, adapter)}",
        )
    version = pointed_version(pointer, adapter)
    if version is None or not (root / pointer).is_dir():
        what = "does not name an adapter version" if version is None else "names a folder that is not there"
        raise StoreError(
            "store.pointer-broken",
            f"{pointer_file} {what}: {pointer[:200]!r}",
            hint=_way_back(root, adapter),
        )
    return version


class FileStagedVersion:
    """A folder beside the versions, on its way to become one."""

    def __init__(self, root: Path, adapter: str | None, held: HeldLock, checkpoints: FileCheckpoints) -> None:
        self._root = root
        self._adapter = adapter
        self._held = held
        self._checkpoints = checkpoints
        self._versions = root / adapter_folder(adapter) / "versions"
        self._ended = False
        with writing(self._versions):
            self.folder = new_staging_folder(self._versions)

    def commit(self) -> AdapterRef:
        """Flush the folder, rename it to the next version, move the pointer."""
        self._begin_end()
        with writing(self._versions):
            if not any(self.folder.iterdir()):
                raise StoreError(
                    "store.version-empty",
                    f"nothing was written into {self.folder}, so there is no adapter to keep",
                    hint="This is a fault of the trainer; run again with -v and report it.",
                )
            sync_tree(self.folder)
            digests = [_sha256(self.folder / name) for name in ("adapter_model.safetensors", "adapter_config.json")]
            version = self._next()
            target = self._move_to(version_name(version))
            self._point_to(version, target)
        return AdapterRef(version=version, folder=target, sha256=digests[0], config_sha256=digests[1])

    def reject(self) -> Path:
        """Keep the folder as ``vNNNN-rejected``."""
        self._begin_end()
        with writing(self._versions):
            sync_tree(self.folder)
            # The number is unused, rejected folders included, so this name is free.
            target = self._move_to(version_name(self._next()) + "-rejected")
            sync_folder(self._versions)
        return target

    def keep_as_checkpoint(self) -> None:
        """Make the folder the store's checkpoint."""
        self._begin_end()
        self._checkpoints.adopt(self.folder)
        self._ended = True

    def close(self) -> None:
        """Remove the folder unless one of the three ended it. What cannot be removed now, the next writer sweeps."""
        if not self._ended:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _begin_end(self) -> None:
        if self._ended:
            raise RuntimeError("this version was committed, rejected or kept before")
        self._held.check()

    def _next(self) -> int:
        # The pointer counts too: a folder that somebody deleted by hand must not lend its number to other weights.
        pointer = read_text(self._versions.parent / POINTER) or ""
        return next_version([*(entry.name for entry in self._versions.iterdir()), pointer.strip().rsplit("/", 1)[-1]])

    def _move_to(self, name: str) -> Path:
        target = self._versions / name
        self.folder.rename(target)
        self._ended = True
        self.folder = target
        return target

    def _point_to(self, version: int, target: Path) -> None:
        pointer_file = self._versions.parent / POINTER
        line = pointer_to(self._adapter, version)
        try:
            sync_folder(self._versions)
            write_atomic(pointer_file, f"{line}\n".encode())
        except (StoreError, OSError):
            # A pointer that moved and could not be flushed stays: its version is whole. Otherwise the folder is marked
            # as failed; where even that is impossible it stays unreferenced, which hurts nobody.
            if (read_text(pointer_file) or "").strip() != line:
                with suppress(OSError):
                    self.folder = target.rename(target.with_name(target.name + "-failed"))
            raise


def has_versions(root: Path) -> bool:
    """Tell whether any adapter of the store ever made a version, rejected and failed ones included."""
    patterns = ("adapter/versions/v*", "adapter/*/versions/v*")
    with reading(root):
        return any(next(root.glob(pattern), None) is not None for pattern in patterns)


def _stays_inside(root: Path, pointer: str) -> bool:
    try:
        return (root / pointer).resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError):
        return False  # a loop of links, or a name no file system takes


def _way_back(root: Path, adapter: str | None) -> str:
    folder = root / adapter_folder(adapter)
    with reading(folder):
        versions = committed_versions(
            entry.name for entry in (folder / "versions").glob("v*") if entry.is_dir() and not entry.is_symlink()
        )
    if not versions:
        return f"There is no adapter version to go back to: delete {folder / POINTER} and train again."
    line = pointer_to(adapter, versions[-1])
    return f"The last good version is {version_name(versions[-1])}: put the line {line} into {folder / POINTER}."


def _sha256(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
