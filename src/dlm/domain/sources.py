"""Text outside the document that is learned with it: what a scan of ``training.sources`` finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import attrs

SourceKind = Literal["prose", "image", "audio"]


def source_content(path: str, text: str) -> str:
    """Give the content of the prose section that a text file becomes."""
    return f"# source: {path}\n\n{text}"


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
        read: gives the text of a text file as it was scanned. Raises ``SourceError`` when it changed or went away.
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
    """What one entry of ``training.sources`` gave. Bytes of text files; each skip counts files."""

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
    """Everything ``training.sources`` leads to, in a fixed order: by directive, then by path."""

    files: tuple[SourceFile, ...] = ()
    directives: tuple[DirectiveCounts, ...] = ()
    configs: tuple[FoundConfig, ...] = ()
    warnings: tuple[str, ...] = ()
    weight_distribution: Mapping[str, Mapping[str, int]] | None = None
