"""Text outside the document that is learned with it: what a scan of ``training.sources`` finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import attrs

from dlm.domain.errors import Place, SourceError
from dlm.domain.sections import section_id
from dlm.domain.text import with_line_feeds

if TYPE_CHECKING:
    from dlm.domain.document import Document

SourceKind = Literal["prose", "image", "audio"]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tiff"})
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg"})

BINARY_HEAD_BYTES = 1024
"""A NUL among the first so many bytes makes a file binary."""

MAX_TEXT_BYTES = 512 * 2**20
"""Largest text file read, as for a document."""


_SOURCE = "# source: "


def source_content(path: str, text: str) -> str:
    """Give the content of the prose section that a text file becomes."""
    return f"{_SOURCE}{path}\n\n{text}"


def source_text(data: bytes) -> str:
    """Give the text of a file: without byte order mark, with line feeds only.

    Raises:
        UnicodeDecodeError: it is not UTF-8.
    """
    return with_line_feeds(data.decode().removeprefix("\ufeff"))


def source_path(content: str) -> str | None:
    """Give the path of the file that a section's content was made from; None for a section of a document."""
    first = content.partition("\n")[0]
    return first.removeprefix(_SOURCE) if first.startswith(_SOURCE) else None


def source_section_id(path: str, text: str) -> str:
    """Give the id of the prose section that a text file becomes."""
    return section_id("prose", source_content(path, text).rstrip("\n"))


def printable_path(path: str) -> str:
    """Give a path as text: bytes of a file name that are no characters are written ``\\udcff``."""
    return path if path.isascii() else path.encode("utf-8", "backslashreplace").decode()


def changed(location: Path) -> SourceError:
    """Say that a file is not what was scanned."""
    return SourceError(
        "sources.changed",
        f"{location} changed while training was being prepared",
        hint="Train again; the file is then read anew.",
        place=Place(printable_path(str(location))),
    )


def anchor_of(path: Path | None) -> Path:
    """Give the folder that relative paths of a document's sources start from.

    It is the document's own folder, or the folder above when that one is named ``.dlm``; the working folder for a
    document without a file.
    """
    if path is None:
        return Path.cwd()
    folder = path.absolute().parent
    return folder.parent if folder.name == ".dlm" else folder


def directive_place(document: Document, index: int) -> Place:
    """Give the line and column of the path of one entry of ``training.sources``."""
    from dlm.domain.frontmatter_edits import read_header
    from dlm.domain.yaml_text import ListNode, MapNode, Node

    path = str(document.path) if document.path is not None else None
    node: Node | None = read_header(document.text).root
    for key in ("training", "sources", index, "path"):
        if isinstance(node, MapNode):
            entry = node.get(str(key))
            node = entry.value if entry is not None else None
        elif isinstance(node, ListNode) and isinstance(key, int):
            node = node.items[key]
    return Place(path, node.line, node.col) if node is not None else Place(path)


@attrs.frozen(kw_only=True)
class SourceFile:
    """One file that is learned.

    Args:
        path: relative to the directive's root, with ``/``; the file's own name when the directive names a file.
        location: where it is on this machine.
        size: bytes.
        section_id: of the section it becomes.
        sha256: of its bytes.
        tags: merged ``metadata`` of the ``.dlm/training.yaml`` files above it.
        weight: product of the weights its tags have on its own path; how often its rows count. Above 0.
        transcript: of sound.
        read: gives the text of a text file as it was scanned, the transcript of sound, nothing for an image. Raises
            ``SourceError`` when the file changed or went away since.
    """

    kind: SourceKind
    path: str
    location: Path
    size: int
    section_id: str
    sha256: str
    tags: Mapping[str, str] = attrs.field(factory=dict)
    weight: float = 1.0
    transcript: str | None = None
    read: Callable[[], str] = attrs.field(eq=False, repr=False)


@attrs.frozen(kw_only=True)
class DirectiveCounts:
    """What one entry of ``training.sources`` gave. Bytes of text files; each skip counts files.

    A folder that is left out as a whole is not looked into, so its files are not counted. A folder that cannot be
    opened counts as one unreadable file. A file that an earlier entry gave already is in no count.
    """

    path: str
    file_count: int = 0
    total_bytes: int = 0
    image_count: int = 0
    image_bytes: int = 0
    audio_count: int = 0
    audio_bytes: int = 0
    skipped_binary: int = 0
    skipped_encoding: int = 0
    skipped_over_size: int = 0
    skipped_by_descent: int = 0
    skipped_unreadable: int = 0
    skipped_audio_no_transcript: int = 0


@attrs.frozen(kw_only=True)
class FoundConfig:
    """One ``.dlm`` folder with settings for the tree around it. ``anchor`` is that tree, relative to the root."""

    anchor: str
    has_training_yaml: bool
    has_ignore: bool
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    exclude_defaults: bool = True
    metadata: Mapping[str, str] = attrs.field(factory=dict)
    ignore_rules: int = 0


@attrs.frozen(kw_only=True)
class SourceScan:
    """Everything ``training.sources`` leads to, in a fixed order: by directive, then by path, part by part.

    Args:
        weight_distribution: tag → value → learned files with it, for tags that have weights; None without weights.
    """

    files: tuple[SourceFile, ...] = ()
    directives: tuple[DirectiveCounts, ...] = ()
    configs: tuple[FoundConfig, ...] = ()
    warnings: tuple[str, ...] = ()
    weight_distribution: Mapping[str, Mapping[str, int]] | None = None
