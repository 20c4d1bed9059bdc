"""The document that ``init`` writes when no template is asked for."""

from __future__ import annotations

import pytest

from dlm.domain.base_rows import BASES
from dlm.domain.document import Document
from dlm.domain.scaffold import DEFAULT_MEDIA_BASES, Kind, fits, scaffold

ID = "01KPXZ0000000000000000000A"


@pytest.mark.parametrize(
    ("kind", "base", "types"),
    [
        ("text", "qwen2.5-1.5b", ["prose", "instruction"]),
        ("multimodal", "paligemma-3b-mix-224", ["prose", "image", "instruction"]),
        ("audio", "qwen2-audio-7b-instruct", ["prose", "audio", "instruction"]),
    ],
)
def test_each_kind_shows_its_sections_by_example(kind: Kind, base: str, types: list[str]) -> None:
    document = scaffold(kind, dlm_id=ID, base=BASES[base])
    assert [section.type for section in document.sections] == types
    assert 2 <= len(document.sections[-1].pairs) <= 3
    assert document.warnings == ()
    assert (document.dlm_id, document.base_model, document.file_version) == (ID, base, 15)
    assert "<!--" not in document.text
    assert document.text == Document.parse(document.text).render()


def test_the_settings_are_the_three_that_a_document_needs() -> None:
    document = scaffold("text", dlm_id=ID, base=BASES["qwen2.5-1.5b"])
    header = document.text.split("---\n")[1]
    assert header == f"dlm_id: {ID}\ndlm_version: 15\nbase_model: qwen2.5-1.5b\n"


def test_a_base_that_likes_shorter_rows_gets_them() -> None:
    document = scaffold("text", dlm_id=ID, base=BASES["smollm2-135m"])
    assert document.frontmatter.training.sequence_len == 1024
    assert document.frontmatter.is_explicit("training.sequence_len")


def test_media_files_are_placeholders_beside_the_document() -> None:
    picture = scaffold("multimodal", dlm_id=ID, base=BASES["paligemma-3b-mix-224"]).sections[1]
    sound = scaffold("audio", dlm_id=ID, base=BASES["qwen2-audio-7b-instruct"]).sections[1]
    assert picture.media_path is not None
    assert picture.media_path.startswith("figures/")
    assert picture.media_alt
    assert picture.content.strip()
    assert sound.media_path is not None
    assert sound.media_path.startswith("clips/")
    assert sound.media_transcript


@pytest.mark.parametrize("base", sorted(BASES))
def test_every_base_of_the_registry_gets_a_document_that_parses(base: str) -> None:
    for kind in ("text", *DEFAULT_MEDIA_BASES):
        assert scaffold(kind, dlm_id=ID, base=BASES[base]).base_model == base


def test_an_id_of_digits_and_an_odd_folder_name_survive() -> None:
    import attrs

    odd = attrs.evolve(BASES["smollm2-135m"], key='path:/tmp/my "models"/#1: x')
    document = scaffold("text", dlm_id="01234567890123456789012345", base=odd)
    assert (document.dlm_id, document.base_model) == ("01234567890123456789012345", odd.key)


@pytest.mark.parametrize(("kind", "base"), DEFAULT_MEDIA_BASES.items())
def test_the_default_media_bases_fit(kind: Kind, base: str) -> None:
    assert fits(kind, BASES[base].modality)
    assert not fits("text", BASES[base].modality)
    assert not fits(kind, "text")
