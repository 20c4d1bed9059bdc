"""Editing the text of a document: settings, whole sections, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from dlm.domain.body import Body, scan_body
from dlm.domain.errors import DocumentError, Fault
from dlm.domain.frontmatter import CURRENT_VERSION
from dlm.domain.frontmatter_edits import set_keys
from dlm.domain.frontmatter_text import canonical_frontmatter, value_text
from dlm.domain.migrations import migrate_text
from dlm.domain.sections import Section
from dlm.domain.text import decode_document, with_line_feeds

if TYPE_CHECKING:
    from dlm.domain.document import Document

Remove = Callable[[Section], bool] | Iterable[str] | None


def new_text(dlm_id: str, base_model: str, body: str, training: Mapping[str, Any]) -> str:
    """Give the canonical text of a new document."""
    from dlm.domain.document import Document

    settings: dict[str, Any] = {"dlm_id": dlm_id, "dlm_version": CURRENT_VERSION, "base_model": base_model}
    if training:
        settings["training"] = dict(training)
    lines = "".join(f"{name}: {value_text(value)}\n" for name, value in settings.items())
    written = Document.parse(f"---\n{lines}---\n")
    text = body.strip("\n")
    return canonical_frontmatter(written.frontmatter) + (f"\n{text}\n" if text else "")


def edited_text(
    document: Document,
    *,
    changes: Mapping[str, Any],
    replace: Mapping[str, Section | str],
    remove: Remove,
    append: tuple[Section, ...],
) -> str:
    """Give the text of ``document`` with the changes made. See ``Document.edit``."""
    dropped = _removed(document, remove)
    texts = _replacements(document, replace)
    text = _without(document.text, _merged(document, dropped, texts))
    for section in append:
        text = _appended(text, _checked(section))
    if changes:
        text = set_keys(migrate_text(text, _name(document)).text, changes)
    return text


@attrs.frozen
class _Splice:
    start: int
    end: int
    new: str


def _removed(document: Document, remove: Remove) -> set[int]:
    """Give the indices of the sections to drop."""
    if remove is None:
        return set()
    if callable(remove):
        return {index for index, section in enumerate(document.sections) if remove(section)}
    wanted = {remove} if isinstance(remove, str) else set(remove)
    return _indices(document, wanted)


def _indices(document: Document, wanted: set[str]) -> set[int]:
    ids = [section.section_id for section in document.sections]
    unknown = sorted(wanted.difference(ids))
    if unknown:
        raise _refused(
            "doc.edit",
            f"no section of the document has the id {', '.join(unknown)}",
            "Read the document again: the id follows the content, so an edit in between changes it.",
            document,
        )
    return {index for index, section_id in enumerate(ids) if section_id in wanted}


def _replacements(document: Document, replace: Mapping[str, Section | str]) -> dict[int, str]:
    found: dict[int, str] = {}
    for section_id, new in replace.items():
        for index in _indices(document, {section_id}):
            old = document.sections[index]
            found[index] = _replacement(new, old)
    return found


def _replacement(new: Section | str, old: Section) -> str:
    if isinstance(new, Section):
        bare = old.is_implicit and new.type == "prose" and new.adapter is None and new.content.strip() != ""
        return _checked(new, with_fence=not bare).rstrip("\n")
    body = scan_body("\n" + new)
    if body.faults:
        raise _refused_text(body.faults[0])
    if len(body.sections) != 1 or (body.sections[0].is_implicit and not old.is_implicit):
        raise _refused(
            "doc.generated",
            f"the new text is {len(body.sections)} sections without a line such as ::prose:: at its top",
            "Give the text of one section, beginning with its ::type:: line.",
        )
    return new.strip("\n")


def _merged(document: Document, dropped: set[int], texts: Mapping[int, str]) -> list[_Splice]:
    splices = [_replace_splice(document, index, text) for index, text in texts.items() if index not in dropped]
    splices += [_Splice(*document.sections[index].span, "") for index in dropped]
    splices.sort(key=lambda item: item.start)
    return _with_tail(document.text, splices)


def _replace_splice(document: Document, index: int, text: str) -> _Splice:
    """Keep the blank lines between the section and the next one."""
    start, end = document.sections[index].span
    old = document.text[start:end]
    return _Splice(start, start + len(old.rstrip("\n")), text)


def _with_tail(text: str, splices: list[_Splice]) -> list[_Splice]:
    """Let a removal that reaches the end of the text take the blank line above it along.

    The text keeps its way of ending, with a line feed or without, so that removing what was appended gives the text
    back.
    """
    kept = list(splices)
    start = end = len(text)
    while kept and kept[-1].end == start and not kept[-1].new:
        start = kept.pop().start
    if start == end:
        return splices
    separators = 1 if text.endswith("\n") else 2
    while separators and text[:start].endswith("\n\n" if text.endswith("\n") else "\n"):
        start, separators = start - 1, separators - 1
    return [*kept, _Splice(start, end, "")]


def _without(text: str, splices: list[_Splice]) -> str:
    parts: list[str] = []
    at = 0
    for item in splices:
        parts += (text[at : item.start], item.new)
        at = item.end
    return "".join([*parts, text[at:]])


def _appended(text: str, section: str) -> str:
    return f"{text}\n{section}" if text.endswith("\n") else f"{text}\n\n{section.removesuffix(chr(10))}"


def _checked(section: Section, *, with_fence: bool = True) -> str:
    """Give the text of a made section after reading it back: it must be that one section and nothing else."""
    text = decode_document(section.render(with_fence=with_fence)).text
    body = scan_body("\n" + text)
    if body.faults:
        raise _refused_text(body.faults[0])
    if len(body.sections) != 1 or _identity(body.sections[0]) != _identity(section) or not _same_words(body, section):
        raise _refused(
            "doc.generated",
            f"the content of this {section.type} section holds lines that would start something else in the document",
            "Indent lines such as '### A' or '::prose::' by four blanks, or put them in a code block.",
        )
    return text


def _identity(section: Section) -> Section:
    """Give what must survive writing and reading: not the place, nor what is drawn from the content."""
    return attrs.evolve(
        section,
        content=with_line_feeds(section.content).rstrip("\n"),
        start_line=0,
        tags={},
        pairs=(),
        triples=(),
        media_alt=section.media_alt or None,
        media_blob_sha=None,
        harvest_source=section.harvest_source or None,
    )


def _same_words(read: Body, made: Section) -> bool:
    """Compare questions and answers, where the section was made from such."""
    return not (made.pairs or made.triples) or _words(read.sections[0]) == _words(made)


def _words(section: Section) -> list[tuple[str, ...]]:
    texts = [(pair.question, pair.answer, "probe" if pair.is_probe else "") for pair in section.pairs]
    texts += [(item.prompt, item.chosen, item.rejected) for item in section.triples]
    return [tuple(with_line_feeds(text).strip() for text in group) for group in texts]


def _refused_text(fault: Fault) -> DocumentError:
    line = (fault.line or 2) - 1
    return _refused("doc.generated", f"line {line} of the new section: {fault.message}", fault.hint or "")


def _refused(code: str, message: str, hint: str, document: Document | None = None) -> DocumentError:
    return DocumentError([Fault(code, message, hint=hint)], path=_name(document) if document else None)


def _name(document: Document) -> str | None:
    return str(document.path) if document.path else None
