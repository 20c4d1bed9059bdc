"""Scanning one entry of ``training.sources``."""

from __future__ import annotations

import os
import stat
from collections import Counter
from functools import partial
from pathlib import Path
from typing import NamedTuple

from dlm.adapters.sources.reading import (
    Look,
    NotOrdinaryError,
    TooLargeError,
    digest_of,
    look_at_text,
    media_again,
    read_bytes,
    text_again,
)
from dlm.adapters.sources.run import ScanRun, is_below
from dlm.adapters.sources.walk import Folder, Walk
from dlm.domain.errors import Place, SourceError
from dlm.domain.frontmatter import SourceConfig
from dlm.domain.globs import BadPatternError
from dlm.domain.sections import media_section_id
from dlm.domain.source_rules import ROOT, Scope, is_learned, is_worth_entering, judge_folder
from dlm.domain.sources import (
    AUDIO_SUFFIXES,
    IMAGE_SUFFIXES,
    MAX_TEXT_BYTES,
    DirectiveCounts,
    FoundConfig,
    SourceFile,
    directive_place,
    printable_path,
    source_text,
)


class Candidate(NamedTuple):
    """A file that passed the patterns: ``path`` as learned, ``location`` without links, ``status`` before reading."""

    path: str
    name: str
    location: str
    status: os.stat_result
    folder: Folder
    is_link: bool = False


class DirectiveScan:
    """Walks what one directive names and adds its files to the run.

    Raises:
        SourceError: the path is missing, forbidden or no file or folder; a pattern cannot be read; a link leads out.
    """

    def __init__(self, run: ScanRun, index: int, directive: SourceConfig) -> None:
        self._run = run
        self._index = index
        self._directive = directive
        self._counts: Counter[str] = Counter()
        self._limit = min(directive.max_bytes_per_file or MAX_TEXT_BYTES, MAX_TEXT_BYTES)
        self._has_warned_of_links = False
        self._linked_folders = 0
        self.configs: list[tuple[str, FoundConfig]] = []
        self.weighted: list[tuple[str, str]] = []
        self.has_weights = False
        root = self._found_root()
        self._root = str(root)
        self._memory = run.memory.root(self._root)
        if root.is_dir():
            self._walk()
        else:
            self._take_alone(root)

    def counts(self) -> DirectiveCounts:
        """Give what the directive gave and skipped."""
        return DirectiveCounts(path=self._directive.path, **self._counts)

    def _found_root(self) -> Path:
        """Give the real path of the file or folder the directive names."""
        named = self._directive.path
        try:
            path = self._run.anchor / Path(named).expanduser()
            real = path.resolve(strict=True)
            status = real.stat()
        except FileNotFoundError as exc:
            raise self._refusal(
                "sources.missing",
                f"there is no file or folder {named!r} in {self._run.anchor}",
                "Correct the path; it counts from the folder of the document.",
            ) from exc
        except (OSError, RuntimeError, ValueError) as exc:  # a loop of links; no home folder; a NUL in the path
            raise self._refusal(
                "sources.unreadable", f"{named!r} cannot be opened: {exc}", "Check the path and its permissions."
            ) from exc
        if not (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)):
            raise self._refusal(
                "sources.not-a-file", f"{named!r} is neither a file nor a folder", "Name a text file or a folder."
            )
        self._check_root(str(real))
        return real

    def _check_root(self, real: str) -> None:
        run = self._run
        if run.is_inside(real):
            return
        if run.is_strict:
            raise self._refusal(
                "sources.outside",
                f"{self._directive.path!r} lies outside {run.anchor}, which sources_policy: strict forbids",
                "Move it there, or set training.sources_policy: permissive.",
            )
        if run.is_inside(os.path.abspath(run.anchor / Path(self._directive.path).expanduser())):  # noqa: PTH100 - links kept
            self._warn_of_link(self._directive.path, real)

    def _refusal(self, code: str, message: str, hint: str) -> SourceError:
        return SourceError(code, message, hint=hint, place=directive_place(self._run.document, self._index))

    def _scope(self) -> Scope:
        try:
            return Scope.of_directive(self._directive.include, self._directive.exclude)
        except BadPatternError as exc:
            raise self._refusal("sources.pattern", f"a pattern of {self._directive.path!r} {exc}", _SIMPLER) from exc

    def _take_alone(self, file: Path) -> None:
        folder = Folder(str(file.parent), "", ROOT, Scope.of_directive((), ()))
        try:
            self._take(Candidate(file.name, file.name, str(file), file.stat(), folder))
        except OSError as exc:
            self._unreadable(str(file), exc)

    def _walk(self) -> None:
        walk = Walk(self._root, self._run.warnings)
        limit = self._directive.max_files
        for folder, entry in walk.files(self._scope()):
            if limit is not None and self._emitted() >= limit:
                break
            self._run.progress.step()
            self._meet(folder, entry)
        self._counts["skipped_unreadable"] += walk.unreadable
        for config in walk.configs:
            self.configs.append((str(Path(self._root, config.anchor)), config.found))
            self.has_weights = self.has_weights or bool(config.settings and config.settings.weights)
        if self._linked_folders:
            self._run.warnings.add("linked-folder", self._about_linked_folders())

    def _emitted(self) -> int:
        return sum(self._counts[name] for name in ("file_count", "image_count", "audio_count"))

    def _about_linked_folders(self) -> str:
        count = self._linked_folders
        what = "1 link to a folder is" if count == 1 else f"{count} links to folders are"
        return f"{printable_path(self._root)}: {what} not followed; to learn it, name the folder under training.sources"

    def _meet(self, folder: Folder, entry: os.DirEntry[str]) -> None:
        path = folder.prefix + entry.name
        if not is_learned(path, entry.name, folder.verdict, folder.scope) or folder.scope.weight <= 0:
            self._counts["skipped_by_descent"] += 1
            return
        try:
            status = entry.stat(follow_symlinks=False)
            location = entry_path = entry.path
            if stat.S_ISLNK(status.st_mode):
                location = os.path.realpath(entry.path, strict=True)
                status = os.stat(location)  # noqa: PTH116
                if stat.S_ISDIR(status.st_mode):
                    self._meet_linked_folder(folder, path, entry.name)
                    return
                self._check_link(entry.path, location)
            if not stat.S_ISREG(status.st_mode):
                raise NotOrdinaryError(f"{entry.path} is not an ordinary file")
            self._take(Candidate(path, entry.name, location, status, folder, location is not entry_path))
        except OSError as exc:
            self._unreadable(entry.path, exc)

    def _meet_linked_folder(self, folder: Folder, path: str, name: str) -> None:
        verdict = judge_folder(path, name, folder.verdict, folder.scope)
        self._linked_folders += is_worth_entering(path, verdict, folder.scope)

    def _check_link(self, link: str, real: str) -> None:
        # A permitted root outside the anchor is not left by a link that stays inside it.
        if self._run.is_inside(real) or is_below(real, self._root):
            return
        if self._run.is_strict:
            raise SourceError(
                "sources.link-outside",
                f"this link leads to {printable_path(real)}, outside {self._run.anchor}, which sources_policy: strict "
                "forbids",
                hint="Exclude it, or set training.sources_policy: permissive.",
                place=Place(printable_path(link)),
            )
        self._warn_of_link(link, real)

    def _warn_of_link(self, link: str, real: str) -> None:
        if not self._has_warned_of_links:
            self._has_warned_of_links = True
            self._run.warnings.add(
                "link",
                f"{printable_path(link)} is a link that leads out of {self._run.anchor}, to {printable_path(real)}",
            )

    def _unreadable(self, location: str, exc: OSError) -> None:
        self._counts["skipped_unreadable"] += 1
        why = (
            "is not an ordinary file" if isinstance(exc, NotOrdinaryError) else f"cannot be read: {exc.strerror or exc}"
        )
        self._run.warnings.add("unreadable", f"{printable_path(location)} {why}")

    def _take(self, file: Candidate) -> None:
        """Read a file, unless it was learned already, and add what it gives."""
        run = self._run
        if file.location in run.seen or file.location == run.real_document:
            return
        suffix = os.path.splitext(file.name)[1].lower()  # noqa: PTH122
        if self._is_over_size(file):
            return
        if suffix in IMAGE_SUFFIXES:
            self._take_media(file, "image", "")
        elif suffix in AUDIO_SUFFIXES:
            transcript = self._transcript(file.folder, file.name)
            if transcript is None:
                self._counts["skipped_audio_no_transcript"] += 1
            else:
                self._take_media(file, "audio", transcript)
        elif suffix != ".txt" or not self._is_transcript(file):
            self._take_text(file)

    def _is_over_size(self, file: Candidate) -> bool:
        limit = self._directive.max_bytes_per_file
        if limit is None or file.status.st_size <= limit:
            return False
        self._counts["skipped_over_size"] += 1
        return True

    def _take_text(self, file: Candidate) -> None:
        path = printable_path(file.path)
        look = self._memory.recall(file.path, file.status)
        if look is None or look.kind not in ("text", "binary", "not-utf8"):
            try:
                look = look_at_text(file.location, path, self._limit)
            except TooLargeError:
                self._too_large(file)
                return
            self._memory.note(file.path, file.status, look)
        if look.kind == "binary":
            self._counts["skipped_binary"] += 1
        elif look.kind == "not-utf8":
            self._counts["skipped_encoding"] += 1
            self._run.warnings.add("encoding", f"{printable_path(file.location)} is not UTF-8 text and is left out")
        elif self._add(file, look, "prose", partial(text_again, file.location, look.sha256, look.size), None):
            self._counts["file_count"] += 1
            self._counts["total_bytes"] += look.size

    def _too_large(self, file: Candidate) -> None:
        self._counts["skipped_over_size"] += 1
        if self._directive.max_bytes_per_file is None:
            self._run.warnings.add(
                "too-large", f"{printable_path(file.location)} has more than {MAX_TEXT_BYTES} bytes and is left out"
            )

    def _take_media(self, file: Candidate, kind: str, transcript: str) -> None:
        look = self._memory.recall(file.path, file.status)
        if look is None or look.kind != kind:
            size, sha256 = digest_of(file.location)
            section_id = media_section_id(kind, printable_path(file.path), sha256)
            look = Look("image" if kind == "image" else "audio", size, sha256, section_id)
            self._memory.note(file.path, file.status, look)
        again = partial(media_again, file.location, look.sha256, transcript)
        if self._add(file, look, kind, again, transcript if kind == "audio" else None):
            self._counts[f"{kind}_count"] += 1
            self._counts[f"{kind}_bytes"] += look.size

    def _add(self, file: Candidate, look: Look, kind: str, again: partial[str], transcript: str | None) -> bool:
        """Add a file to the run, unless it or one with the same content and path is there already."""
        run = self._run
        if look.section_id in run.section_ids:
            return False
        run.section_ids.add(look.section_id)
        run.seen.add(file.location)
        scope, folder = file.folder.scope, file.folder
        run.files.append(
            SourceFile(
                kind=kind,  # type: ignore[arg-type]
                path=printable_path(file.path),
                location=Path(file.location) if file.is_link else folder.location / file.name,
                size=look.size,
                section_id=look.section_id,
                sha256=look.sha256,
                tags=scope.tags,
                weight=scope.weight,
                transcript=transcript,
                read=partial(again, run.memory_path),
            )
        )
        self.weighted += [pair for pair in scope.tags.items() if pair[0] in scope.weights]
        return True

    def _transcript(self, folder: Folder, name: str) -> str | None:
        """Give the trimmed text beside a sound file; None when there is none, or nothing in it."""
        path = os.path.join(folder.path, os.path.splitext(name)[0] + ".txt")  # noqa: PTH118, PTH122
        try:
            real = os.path.realpath(path, strict=True)
            if os.path.islink(path):  # noqa: PTH114
                self._check_link(path, real)
            return source_text(read_bytes(real, MAX_TEXT_BYTES) or b"").strip() or None
        except (OSError, UnicodeDecodeError, TooLargeError):
            return None

    def _is_transcript(self, file: Candidate) -> bool:
        """Tell whether a text file is learned as the words of a sound beside it."""
        folder = file.folder
        sounds = folder.sounds.get(file.name[: -len(".txt")], ()) if file.name.endswith(".txt") else ()
        return any(self._is_heard(folder, name) and self._transcript(folder, name) is not None for name in sounds)

    def _is_heard(self, folder: Folder, name: str) -> bool:
        if not is_learned(folder.prefix + name, name, folder.verdict, folder.scope):
            return False
        try:
            size = Path(folder.path, name).stat().st_size
        except OSError:
            return False
        return self._directive.max_bytes_per_file is None or size <= self._directive.max_bytes_per_file


_SIMPLER = "Write it shorter, or as several patterns."
