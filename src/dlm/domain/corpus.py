"""A document together with the files it names: everything that one training learns from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import attrs

from dlm.domain.rows import Row
from dlm.domain.settings import plain
from dlm.domain.sources import SourceFile, SourceScan, source_content

if TYPE_CHECKING:
    from dlm.domain.document import Document

_WITHOUT_EFFECT = ("cache", "sources", "sources_policy")
"""Settings under ``training`` that change no weight by themselves."""


@attrs.frozen(kw_only=True)
class Delta:
    """Section ids against those of the last successful run; an edited section is one removed and one new."""

    new: tuple[str, ...]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Corpus:
    """What there is to learn, in order: the document's own sections, then files by directive and path."""

    document: Document
    scan: SourceScan = attrs.field(factory=SourceScan)

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """All rows; those of files read their text when it is needed."""
        return (*self.document.rows(), *(_source_row(file) for file in self.scan.files))

    @cached_property
    def section_ids(self) -> tuple[str, ...]:
        """Ids of all sections in order, each once."""
        return tuple(dict.fromkeys(name for name, _ in self._names()))

    @cached_property
    def known_names(self) -> frozenset[str]:
        """Ids of all sections, those by which older stores know them included."""
        return frozenset(name for names in self._names() for name in names)

    @property
    def is_empty(self) -> bool:
        """Whether there is neither prose nor a question with an answer."""
        return not any(row.kind in ("prose", "instruction") for row in self.rows)

    def delta(self, known: Iterable[str]) -> Delta:
        """Compare with the section ids of an earlier run; older stores know a section by another id."""
        known = frozenset(known)
        is_known = {name: bool({name, legacy} & known) for name, legacy in self._names()}
        return Delta(
            new=tuple(name for name, old in is_known.items() if not old),
            unchanged=tuple(name for name, old in is_known.items() if old),
            removed=tuple(sorted(known - self.known_names)),
        )

    def digest(self, **circumstances: object) -> str:
        """Give a digest of everything that decides what a training gives, to tell whether anything changed.

        Args:
            circumstances: what comes from outside the document, such as the seed.
        """
        frontmatter = self.document.frontmatter
        settings = {name: value for name, value in plain(frontmatter.training).items() if name not in _WITHOUT_EFFECT}
        record = {
            "base_model": frontmatter.base_model,
            "system_prompt": frontmatter.system_prompt,
            "training": settings,
            "explicit": sorted(path for path in frontmatter.explicit if _decides(path)),
            "sections": [(section.section_id, section.adapter) for section in self.document.sections],
            "files": [(file.section_id, file.weight) for file in self.scan.files],
            **circumstances,
        }
        return hashlib.sha256(json.dumps(record, sort_keys=True, default=list).encode()).hexdigest()

    def _names(self) -> Iterator[tuple[str, str]]:
        for section in self.document.sections:
            yield section.section_id, section.legacy_id
        for file in self.scan.files:
            yield file.section_id, file.section_id


def _decides(path: str) -> bool:
    group, _, rest = path.partition(".")
    return group == "training" and rest.partition(".")[0].partition("[")[0] not in ("", *_WITHOUT_EFFECT)


def _source_row(file: SourceFile) -> Row:
    is_prose = file.kind == "prose"
    return Row(
        kind=file.kind,
        section_id=file.section_id,
        text="" if is_prose else (file.transcript or ""),
        source=file.path,
        size=file.size,
        read=(lambda: source_content(file.path, file.read())) if is_prose else None,
        tags=file.tags,
        weight=file.weight,
    )
