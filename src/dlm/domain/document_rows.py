"""From sections to training rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dlm.domain.rows import Row, Turn
from dlm.domain.sections import Section

if TYPE_CHECKING:
    from dlm.domain.document import Document


def document_rows(document: Document) -> tuple[Row, ...]:
    """Give the rows of all sections in the order of the file; see ``section_rows``."""
    return tuple([row for section in document.sections for row in section_rows(section)])


def section_rows(section: Section) -> Iterator[Row]:
    """Give the rows of one section.

    Prose is one row of trimmed text; an instruction section one row per question, a preference section one per prompt;
    a picture one row with its caption, sound one with its transcript. The base model's placeholder for the medium is
    put in later.
    """
    from dlm.domain.document import SINGLE_ADAPTER

    section_id = section.section_id
    adapter = None if section.adapter == SINGLE_ADAPTER else section.adapter
    tags = section.tags
    for sub, pair in enumerate(section.pairs):
        turns = (Turn("user", pair.question), Turn("assistant", pair.answer))
        yield Row(
            kind="instruction",
            section_id=section_id,
            sub=sub,
            line=pair.line,
            turns=turns,
            is_probe=pair.is_probe,
            adapter=adapter,
            tags=tags,
        )
    for sub, item in enumerate(section.triples):
        yield Row(
            kind="preference",
            section_id=section_id,
            sub=sub,
            line=item.line,
            prompt=item.prompt,
            chosen=item.chosen,
            rejected=item.rejected,
            adapter=adapter,
            tags=tags,
        )
    if section.type in ("prose", "image", "audio"):
        text = (section.media_transcript or "") if section.type == "audio" else section.content
        yield Row(
            kind=section.type,
            section_id=section_id,
            line=section.start_line,
            text=text.strip(),
            adapter=adapter,
            tags=tags,
        )
