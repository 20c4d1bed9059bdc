"""Sections: the parts of a document's body, each of one type, each with an id that follows its content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import attrs

from dlm.domain.errors import DocumentError, Fault
from dlm.domain.fences import MEDIA_ATTRIBUTES, SectionType
from dlm.domain.markers import write_marks
from dlm.domain.text import with_line_feeds


@attrs.frozen
class Pair:
    """A question with its answer. ``line`` is that of ``### Q`` in the file."""

    question: str
    answer: str
    is_probe: bool = False
    line: int = 0


@attrs.frozen
class Triple:
    """A prompt with a preferred and a rejected answer. ``line`` is that of ``### Prompt`` in the file."""

    prompt: str
    chosen: str
    rejected: str
    line: int = 0


@attrs.frozen(kw_only=True, repr=False)
class Section:
    """One part of a document.

    Args:
        content: the lines below the fence and its marks; the caption for images and sound.
        start_line: line of the fence in the file; of the first line for prose at the top without one; 0 when made.
        adapter: named adapter it is meant for, None when the fence names none.
        tags: from directives, never from the document itself.
        auto_harvest … source_section_id: what the marks below the fence say.
        media_path: relative to the folder of the document.
        media_blob_sha: digest of the media file, once it was taken in.
        pairs, triples: the parsed content of instruction and preference sections.
        is_implicit: prose at the top of the body, without a fence.
        span: where it stands in the text of the document, from its fence to the next one.
    """

    type: SectionType
    content: str = ""
    start_line: int = 0
    adapter: str | None = None
    tags: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    auto_harvest: bool = False
    harvest_source: str | None = None
    auto_mined: bool = False
    judge_name: str | None = None
    judge_score_chosen: float | None = None
    judge_score_rejected: float | None = None
    mined_at: str | None = None
    mined_run_id: int | None = None
    auto_synth: bool = False
    synth_teacher: str | None = None
    synth_strategy: str | None = None
    synth_at: str | None = None
    source_section_id: str | None = None
    media_path: str | None = None
    media_alt: str | None = None
    media_transcript: str | None = None
    media_blob_sha: str | None = None
    pairs: tuple[Pair, ...] = ()
    triples: tuple[Triple, ...] = ()
    is_implicit: bool = attrs.field(default=False, eq=False)
    span: tuple[int, int] = attrs.field(default=(0, 0), eq=False)

    @classmethod
    def instruction(cls, pairs: Iterable[Pair], *, adapter: str | None = None) -> Section:
        """Make an instruction section from questions with answers."""
        pairs = tuple(pairs)
        blocks = (
            f"### Q{' !probe' if pair.is_probe else ''}\n{pair.question.strip()}\n\n### A\n{pair.answer.strip()}"
            for pair in pairs
        )
        return cls(type="instruction", content="\n\n".join(blocks), adapter=adapter, pairs=pairs)

    @classmethod
    def preference(cls, triples: Iterable[Triple], *, adapter: str | None = None) -> Section:
        """Make a preference section from prompts with a preferred and a rejected answer."""
        triples = tuple(triples)
        blocks = (
            f"### Prompt\n{item.prompt.strip()}\n\n### Chosen\n{item.chosen.strip()}"
            f"\n\n### Rejected\n{item.rejected.strip()}"
            for item in triples
        )
        return cls(type="preference", content="\n\n".join(blocks), adapter=adapter, triples=triples)

    @property
    def is_media(self) -> bool:
        """Whether it shows a picture or plays sound."""
        return self.type in MEDIA_ATTRIBUTES

    @property
    def section_id(self) -> str:
        """16 hex digits that follow type and content; blank lines at the end do not count."""
        return self._media_id() if self.is_media else section_id(self.type, self.content.rstrip("\n"))

    @property
    def legacy_id(self) -> str:
        """The id older stores keep for this section: blank lines at the end count."""
        return self._media_id() if self.is_media else section_id(self.type, self.content)

    def __repr__(self) -> str:
        start = self.media_path if self.is_media else self.content[:40]
        suffix = f"#{self.adapter}" if self.adapter else ""
        return f"<Section {self.type}{suffix}, line {self.start_line}, {start!r}>"

    def _media_id(self) -> str:
        return media_section_id(self.type, self.media_path or "", self.media_blob_sha)

    def render(self, *, with_fence: bool = True) -> str:
        """Give the section as text for a document, ending with one line feed.

        Args:
            with_fence: False leaves the fence out, as prose at the top of a body may.

        Raises:
            DocumentError: a media attribute holds a quote or a line feed, which the format cannot spell.
        """
        lines = [self._fence(), *write_marks(self)] if with_fence else []
        content = self.content.rstrip("\n")
        return "\n".join([*lines, content] if content else lines) + "\n"

    def _fence(self) -> str:
        if not self.is_media:
            return f"::{self.type}{'#' + self.adapter if self.adapter else ''}::"
        values = {"path": self.media_path, "alt": self.media_alt, "transcript": self.media_transcript}
        written = {name: values[name] for name in MEDIA_ATTRIBUTES[self.type] if values[name]}
        for name, value in written.items():
            _check_spellable(name, value or "")
        return f"::{self.type}" + "".join(f' {name}="{value}"' for name, value in written.items()) + "::"


def section_id(section_type: str, content: str) -> str:
    """Give the first 16 hex digits of ``sha256(type LF content)``.

    One byte order mark is dropped and ``CRLF`` and ``CR`` become ``LF``; nothing else is trimmed.
    """
    text = with_line_feeds(content.removeprefix("\ufeff"))
    return _digest(f"{section_type}\n{text}")


def media_section_id(section_type: str, path: str, blob_sha256: str | None = None) -> str:
    """Give the id of an image or audio section: it follows the path and, once known, the digest of the file."""
    return _digest("\n".join(filter(None, (section_type, path, blob_sha256))))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check_spellable(name: str, value: str) -> None:
    if '"' in value or "\n" in value:
        raise DocumentError(
            [
                Fault(
                    "doc.generated",
                    f"the {name} {value[:60]!r} holds a double quote or a line end, which cannot be written there",
                    hint="Use ' instead of \" and keep it on one line.",
                )
            ]
        )
