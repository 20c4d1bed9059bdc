"""Walking a tree: folders in order, none entered that cannot hold anything to learn, no link to a folder followed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import attrs

from dlm.adapters.sources.config_folder import ConfigFolder, read_config_folder
from dlm.adapters.sources.warnings import Warnings
from dlm.domain.source_rules import CONFIG_FOLDER, ROOT, FolderVerdict, Scope, is_worth_entering, judge_folder
from dlm.domain.sources import AUDIO_SUFFIXES, printable_path


@attrs.define
class Folder:
    """One folder that was entered.

    Args:
        path: on this machine; ``location`` is the same, kept because making one for each file would cost more than the
            rest of the walk.
        prefix: relative to the root; empty, or ending in ``/``.
        sounds: stem → names of the sound files in it.
    """

    path: str
    prefix: str
    verdict: FolderVerdict
    scope: Scope
    entries: list[os.DirEntry[str]] = attrs.field(factory=list)
    sounds: dict[str, list[str]] = attrs.field(factory=dict)
    location: Path = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.location = Path(self.path)


@attrs.define
class Walk:
    """What a walk meets beside files. ``unreadable`` counts folders that could not be opened."""

    root: str
    warnings: Warnings
    configs: list[ConfigFolder] = attrs.field(factory=list)
    unreadable: int = 0

    def files(self, scope: Scope) -> Iterator[tuple[Folder, os.DirEntry[str]]]:
        """Give everything that is not a folder, by path, part by part."""
        top = self._entered(Folder(self.root, "", ROOT, scope))
        pending = [(top, iter(top.entries))]
        while pending:
            folder, entries = pending[-1]
            for entry in entries:
                if not _is_folder(entry):
                    yield folder, entry
                    continue
                below = self._below(folder, entry)
                if below is not None:
                    pending.append((below, iter(below.entries)))
                    break
            else:
                pending.pop()

    def _below(self, above: Folder, entry: os.DirEntry[str]) -> Folder | None:
        if entry.name == CONFIG_FOLDER:
            return None  # settings and documents, not text to learn, whatever brings the default list back
        path = above.prefix + entry.name
        verdict = judge_folder(path, entry.name, above.verdict, above.scope)
        folder = Folder(entry.path, path + "/", verdict, above.scope)
        if verdict.decided is True:
            return None
        if not is_worth_entering(path, verdict, above.scope):
            # Settings inside the folder may still bring its content back.
            config = self._config_of(folder)
            if config is None or not is_worth_entering(path, verdict, config.applied_to(above.scope)):
                return None
        return self._entered(folder)

    def _config_of(self, folder: Folder) -> ConfigFolder | None:
        inside = Path(folder.path, CONFIG_FOLDER)
        return read_config_folder(self.root, folder.prefix.rstrip("/")) if inside.is_dir() else None

    def _entered(self, folder: Folder) -> Folder:
        try:
            with os.scandir(folder.path) as found:
                folder.entries = sorted(found, key=_name)
        except OSError as exc:
            self.unreadable += 1
            self.warnings.add("folder", f"{printable_path(folder.path)} cannot be opened: {exc.strerror or exc}")
            return folder
        for entry in folder.entries:
            stem, suffix = os.path.splitext(entry.name)  # noqa: PTH122 - a tree holds many names
            if suffix.lower() in AUDIO_SUFFIXES:
                folder.sounds.setdefault(stem, []).append(entry.name)
        self._apply_config(folder)
        return folder

    def _apply_config(self, folder: Folder) -> None:
        if any(entry.name == CONFIG_FOLDER for entry in folder.entries):
            config = self._config_of(folder)
            if config is not None:
                folder.scope = config.applied_to(folder.scope)
                self.configs.append(config)
                for warning in config.warnings:
                    self.warnings.add("config", warning)


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False  # it went away: met again, and reported, as a file
