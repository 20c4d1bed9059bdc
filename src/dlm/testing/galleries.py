"""A gallery in memory, and what every gallery promises, as tests. The contract needs pytest."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from dlm.domain.document import Document
from dlm.domain.errors import TemplateError
from dlm.domain.events import Emit, ignore
from dlm.domain.templates import TEMPLATE_NAME, RefreshResult, Template, TemplateMeta, unknown_template
from dlm.ports.gallery import GalleryPort


class MemoryGallery:
    """Holds the templates it is given. ``refresh`` answers ``refreshed`` and puts ``upcoming`` in place if it is ok."""

    def __init__(
        self,
        templates: Iterable[Template] = (),
        *,
        upcoming: Iterable[Template] = (),
        refreshed: RefreshResult | None = None,
    ) -> None:
        self._templates = {template.meta.name: template for template in templates}
        self._upcoming = {template.meta.name: template for template in upcoming}
        self._refreshed = refreshed or RefreshResult(ok=True, message="fetched")

    def entries(self, *, emit: Emit = ignore) -> tuple[TemplateMeta, ...]:
        return tuple(self._templates[name].meta for name in sorted(self._templates))

    def load(self, name: str) -> Template:
        if name not in self._templates:
            raise unknown_template(name, tuple(sorted(self._templates)))
        return self._templates[name]

    def refresh(self, *, accept_unsigned: bool = False, emit: Emit = ignore) -> RefreshResult:
        if self._refreshed.ok and not self._refreshed.warning:
            self._templates |= self._upcoming
        return self._refreshed


def a_template(name: str = "recipes", *, base: str = "smollm2-135m", title: str = "Recipes") -> Template:
    """Give a small valid template."""
    meta = TemplateMeta(
        name=name,
        title=title,
        domain_tags=("cooking",),
        recommended_base=base,
        expected_steps=100,
        expected_duration={"cpu": "5 min"},
        summary="Answers questions about a kitchen.",
        sample_prompts=("How long do I boil an egg?",),
    )
    text = (
        f"---\ndlm_id: 01ARZ3NDEKTSV4RRFFQ69G5FAV\ndlm_version: 15\nbase_model: {base}\n---\n\n# Kitchen\n\n"
        "::instruction::\n### Q\nHow long do I boil an egg?\n### A\nSeven minutes.\n"
    )
    return Template(meta=meta, document_text=text)


class GalleryContract:
    """What every gallery promises. Give a fixture ``gallery`` with at least one template."""

    def test_lists_each_name_once_and_in_order(self, gallery: GalleryPort) -> None:
        names = [entry.name for entry in gallery.entries()]
        assert names == sorted(set(names))
        assert all(TEMPLATE_NAME.fullmatch(name) for name in names)

    def test_what_is_listed_can_be_loaded_and_parsed(self, gallery: GalleryPort) -> None:
        for entry in gallery.entries():
            template = gallery.load(entry.name)
            assert template.meta == entry
            assert Document.parse(template.document_text).sections

    def test_listing_twice_gives_the_same(self, gallery: GalleryPort) -> None:
        assert gallery.entries() == gallery.entries()

    @pytest.mark.parametrize("name", ["no-such-template", "", "../changelog", "a/b", "CHANGELOG", ".", "con\0"])
    def test_an_unknown_name_is_told_with_the_known_ones(self, gallery: GalleryPort, name: str) -> None:
        with pytest.raises(TemplateError) as caught:
            gallery.load(name)
        assert caught.value.code == "templates.unknown"
        assert gallery.entries()[0].name in caught.value.message
