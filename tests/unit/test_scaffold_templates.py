"""Descriptions of templates: strict, trimmed, and safe to print."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.app.templates import list_templates, refresh_templates
from dlm.domain.document import Document
from dlm.domain.errors import TemplateError
from dlm.domain.templates import apply_template, parse_meta, parse_template
from dlm.testing.galleries import MemoryGallery, a_template

META = """name: tea
title: '  Tea  '
domain_tags: [food, ' drink ']
recommended_base: smollm2-135m
expected_steps: 3
expected_duration: {cpu: 5 min}
summary: >-
  Two
  lines.
sample_prompts:
  - How long?
"""
DOCUMENT = a_template().document_text


def changed(old: str, new: str) -> bytes:
    assert old in META
    return META.replace(old, new).encode()


def test_text_is_trimmed() -> None:
    meta = parse_meta("tea", META.encode(), "bundled")
    assert (meta.title, meta.domain_tags, meta.summary) == ("Tea", ("food", "drink"), "Two lines.")
    assert meta.to_json()["domain_tags"] == ["food", "drink"]


def test_the_number_of_steps_may_be_unknown() -> None:
    assert parse_meta("tea", changed("expected_steps: 3", "expected_steps: null"), "cache").expected_steps is None
    assert parse_meta("tea", changed("expected_steps: 3", "expected_steps:"), "cache").expected_steps is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: tea", "name: coffee"),
        ("name: tea", "name: Tea"),
        ("name: tea", "name: 'tea\n\n  x'"),
        ("title: '  Tea  '", "title: ' '"),
        ("title: '  Tea  '", "title: 5"),
        ("title: '  Tea  '", "title: yes: no"),
        ("title: '  Tea  '", 'title: "\\e[31mred"'),
        ("title: '  Tea  '", 'title: "\\u202Eaet"'),
        ("title: '  Tea  '\n", ""),
        ("title: '  Tea  '", "title: a\ntitle: b"),
        ("title: '  Tea  '", "title: &a x\nsummary2: *a"),
        ("title: '  Tea  '", "title: !!python/object:os.system x"),
        ("expected_steps: 3", "expected_steps: 0"),
        ("expected_steps: 3", "expected_steps: '3'"),
        ("expected_steps: 3", "expected_steps: true"),
        ("expected_steps: 3", "expected_steps: 3.5"),
        ("{cpu: 5 min}", "[5 min]"),
        ("{cpu: 5 min}", "{cpu: 5}"),
        ("[food, ' drink ']", "food"),
        ("[food, ' drink ']", "[food, 3]"),
        ("name: tea", "name: tea\nsource: bundled"),
        ("name: tea", "name: tea\nextra: 1"),
        ("name: tea", "name: tea\n\tx"),
    ],
)
def test_anything_else_is_refused(old: str, new: str) -> None:
    with pytest.raises(TemplateError) as caught:
        parse_meta("tea", changed(old, new), "bundled")
    assert caught.value.code == "templates.invalid"
    assert "tea.meta.yaml" in caught.value.message


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode(errors="replace")))
def test_rubbish_is_a_template_error(data: bytes) -> None:
    with pytest.raises(TemplateError):
        parse_meta("tea", data, "bundled")


def test_too_large_files_are_refused() -> None:
    with pytest.raises(TemplateError, match="larger"):
        parse_meta("tea", META.encode() + b"#" * (256 << 10), "bundled")
    with pytest.raises(TemplateError, match="larger"):
        parse_template("tea", document=DOCUMENT.encode() + b"x" * (256 << 10), meta=META.encode(), source="cache")


def test_the_body_is_checked_too_and_the_place_is_named() -> None:
    broken = DOCUMENT.replace("### A\n", "")
    with pytest.raises(TemplateError, match=r"tea\.dlm:\d+"):
        parse_template("tea", document=broken.encode(), meta=META.encode(), source="cache")


def test_applying_writes_the_id_and_the_recommended_base_and_keeps_the_rest() -> None:
    template = a_template(base="smollm2-360m")
    document = apply_template(template, "01KPXZ0000000000000000000A")
    assert (document.dlm_id, document.base_model) == ("01KPXZ0000000000000000000A", "smollm2-360m")
    former = Document.parse(template.document_text)
    assert document.text[document.body_start :] == former.text[former.body_start :]


def test_an_old_document_is_brought_up_to_date() -> None:
    template = parse_template(
        "tea",
        document=DOCUMENT.replace("dlm_version: 15", "dlm_version: 3").encode(),
        meta=META.encode(),
        source="cache",
    )
    assert apply_template(template, "01KPXZ0000000000000000000A").file_version == 15


def test_the_use_cases_pass_the_gallery_on() -> None:
    gallery = MemoryGallery([a_template("b"), a_template("a")], upcoming=[a_template("c")])
    assert [meta.name for meta in list_templates(gallery=gallery)] == ["a", "b"]
    assert refresh_templates(gallery=gallery).ok
    assert [meta.name for meta in list_templates(gallery=gallery)] == ["a", "b", "c"]
