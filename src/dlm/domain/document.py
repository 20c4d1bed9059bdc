"""The document: one text file that holds settings and the sections to learn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from dlm.domain.body import scan_body
from dlm.domain.errors import DocumentError, Fault, UsageError
from dlm.domain.frame import Frame, find_frame
from dlm.domain.frontmatter import Frontmatter, read_frontmatter
from dlm.domain.migrations import migrate_nodes
from dlm.domain.sections import Section
from dlm.domain.text import FaultList, decode_document, read_document_bytes, suggestion
from dlm.domain.yaml_text import read_mapping

if TYPE_CHECKING:
    from dlm.domain.rows import Row

SINGLE_ADAPTER = "default"
"""Implied adapter of a document without ``training.adapters``; its sections may name it."""


@attrs.frozen(kw_only=True)
class Document:
    """A parsed document. It never changes; ``edit`` gives a new one.

    Args:
        text: the whole text, with line feeds only and without byte order mark. Offsets and lines refer to it.
        frontmatter: the settings, brought up to the current version.
        sections: in the order of the file.
        path: the file it was read from or saved to.
        warnings: what was read and is probably not meant so.
        file_version: the version written in the text, 1 to 15.
        body_start: offset of the body in ``text``.
    """

    text: str = attrs.field(repr=False)
    frontmatter: Frontmatter
    sections: tuple[Section, ...]
    path: Path | None = None
    warnings: tuple[Fault, ...] = ()
    file_version: int
    body_start: int

    @classmethod
    def parse(cls, text: str | bytes, *, path: Path | str | None = None) -> Document:
        """Read a document of any version from 1 to 15.

        Args:
            path: where it comes from, for messages and for files named in it.

        Raises:
            DocumentError: with every fault of the text at once.
        """
        return _parse(text, Path(path) if path is not None else None)

    @classmethod
    def load(cls, path: Path | str) -> Document:
        """Read a document from a file of at most 512 MiB.

        Raises:
            DocumentError: missing, unreadable, or with faults.
        """
        path = Path(path)
        return cls.parse(read_document_bytes(path), path=path)

    @classmethod
    def new(cls, dlm_id: str, base_model: str, body: str, **training: Any) -> Document:
        """Make a document in canonical form from its parts.

        Args:
            body: the text below the settings.
            training: settings of the key ``training``, nested ones as mappings; those equal to their default are left
                out.

        Raises:
            DocumentError: a value that a document cannot hold.
        """
        from dlm.domain.edits import new_text

        return cls.parse(new_text(dlm_id, base_model, body, training))

    @property
    def dlm_id(self) -> str:
        """Identity of the document."""
        return self.frontmatter.dlm_id

    @property
    def base_model(self) -> str:
        """The base model as the document names it."""
        return self.frontmatter.base_model

    def render(self) -> str:
        """Give the text: exactly what was parsed, with line feeds only."""
        return self.text

    def save(self, path: Path | str | None = None) -> Document:
        """Write the text to ``path``, or back to where it came from, in one atomic step.

        Returns:
            This document, with the path it was written to.

        Raises:
            UsageError: neither the document nor the call has a path.
            DiskError: no room, read-only, no permission.
        """
        from dlm.domain.text_files import write_atomic

        target = Path(path) if path is not None else self.path
        if target is None:
            raise UsageError(
                "doc.no-path", "this document has no file yet", hint='Give one: document.save("notes.dlm")'
            )
        write_atomic(target.resolve() if target.is_symlink() else target, self.text.encode())
        return attrs.evolve(self, path=target)

    def edit(
        self,
        *,
        set: Mapping[str, Any] | None = None,  # noqa: A002  the word a caller looks for
        replace: Mapping[str, Section | str] | None = None,
        remove: Callable[[Section], bool] | Iterable[str] | None = None,
        append: Iterable[Section] = (),
    ) -> Document:
        """Give a new document with only these changes; all other bytes stay as they are.

        Args:
            set: settings by dotted path, such as ``{"training.seed": 7}``. A document of an older version is brought up
                to date first.
            replace: section id → the section or its text that takes its place.
            remove: ids, or a function that tells for each section whether to drop it.
            append: sections to add at the end, each below a blank line.

        Raises:
            DocumentError: no section has such an id; a text would open or end other sections than its own; the result
                would have faults.
        """
        from dlm.domain.edits import edited_text

        text = edited_text(self, changes=set or {}, replace=replace or {}, remove=remove, append=tuple(append))
        return self if text == self.text else Document.parse(text, path=self.path)

    def rows(self) -> tuple[Row, ...]:
        """Give all training rows, in the order of the file."""
        from dlm.domain.document_rows import document_rows

        return document_rows(self)

    def __repr__(self) -> str:
        where = f"{str(self.path)!r}, " if self.path else ""
        return f"<Document {where}{self.dlm_id}, {self.base_model}, {_summary(self.sections)}>"

    def _repr_html_(self) -> str:
        import html

        title = html.escape(self.path.name if self.path else self.dlm_id)
        facts = html.escape(f"{self.base_model} · {_summary(self.sections)}")
        warnings = f" · {len(self.warnings)} warnings" if self.warnings else ""
        return f"<p><b>{title}</b><br>{facts}{warnings}</p>"


def _summary(sections: tuple[Section, ...]) -> str:
    if not sections:
        return "no sections"
    counts = Counter(section.type for section in sections)
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def _parse(data: str | bytes, path: Path | None) -> Document:
    name = str(path) if path else None
    decoded = decode_document(data, path=name)
    text = decoded.text
    faults = FaultList()
    frame = find_frame(text, faults)
    if frame is None:
        raise DocumentError(faults.in_file_order(), path=name)
    frontmatter, version = _read_header(text, frame, faults)
    body = scan_body(text, frame.body_start, text.count("\n", 0, frame.body_start) + 1, faults)
    if frontmatter is not None:
        _check_routes(frontmatter, body.sections, faults)
    if frontmatter is None or version is None or faults:
        raise DocumentError(faults.in_file_order(), path=name)
    return Document(
        text=text,
        frontmatter=frontmatter,
        sections=body.sections,
        path=path,
        warnings=decoded.warnings + body.warnings,
        file_version=version,
        body_start=frame.body_start,
    )


def _read_header(text: str, frame: Frame, faults: FaultList) -> tuple[Frontmatter | None, int | None]:
    root = read_mapping(text, frame.yaml_start, frame.yaml_end, faults)
    if root is None:
        return None, None
    root, version = migrate_nodes(root, faults)
    return read_frontmatter(root, faults), version


def _check_routes(frontmatter: Frontmatter, sections: tuple[Section, ...], faults: FaultList) -> None:
    declared = frontmatter.training.adapters
    known = tuple(declared) if declared is not None else (SINGLE_ADAPTER,)
    for section in sections:
        if section.adapter is None or section.adapter in known:
            continue
        col = len(f"::{section.type}") + 2
        if declared is None:
            message = f"'#{section.adapter}' names an adapter, but the document declares none"
            hint = f"Declare it under training.adapters, or write ::{section.type}:: without the suffix."
        else:
            near = suggestion(section.adapter, known)
            message = f"there is no adapter '{section.adapter}'; declared are {', '.join(known)}"
            hint = f"Did you mean '{near}'?" if near else f"Add it under training.adapters: {section.adapter}: {{}}"
        faults.add("doc.route", message, section.start_line, col, hint)
