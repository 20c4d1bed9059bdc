"""Editing documents: only the bytes that must change do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from dlm.domain.document import Document
from dlm.domain.errors import ConfigError, DocumentError, StoreError, UsageError
from dlm.domain.frontmatter import NamedAdapterConfig
from dlm.domain.sections import Pair, Section, Triple

ID = "01HQ8Z0000000000000000000A"
HEAD = f"""---
# who am I
dlm_id: {ID}   # keep
dlm_version: 15
base_model: 'smollm2-135m'  # small
training:
    # not too fast
    seed: 3
    target_modules:   # these
      - q_proj
      - v_proj        # and this

    # the end
system_prompt: |
  You are kind.

---
"""
BODY = """
Intro.

::instruction::
### Q
a
### A
b

::prose::
Middle.


::prose::
End.
"""
QA = Section.instruction([Pair("Why?", "Because.")])


@pytest.fixture
def document() -> Document:
    return Document.parse(HEAD + BODY)


@pytest.mark.parametrize(
    ("path", "value", "old", "new"),
    [
        ("training.seed", 7, "seed: 3", "seed: 7"),
        ("base_model", "other", "'smollm2-135m'", "other"),
        ("base_model", "hf:a/b", "'smollm2-135m'", '"hf:a/b"'),
        ("training.target_modules", "auto", "   # these\n      - q_proj\n      - v_proj ", " auto "),
        ("system_prompt", None, "|\n  You are kind.\n", "null\n"),
        ("system_prompt", "A\nB\n", "|\n  You are kind.\n", "|\n  A\n  B\n"),
        ("system_prompt", "A\n B", "|\n  You are kind.\n", "|-\n  A\n   B\n"),
        ("system_prompt", " A\nB\n\n", "|\n  You are kind.\n", '" A\\nB\\n\\n"\n'),
        ("training.lora_r", 4, "training:\n", "training:\n    lora_r: 4\n"),
        ("training.num_epochs", 4, "- v_proj        # and this\n", "- v_proj        # and this\n    num_epochs: 4\n"),
        ("training.learning_rate", 5e-6, "# and this\n", "# and this\n    learning_rate: 5.0e-06\n"),
        ("training.preference.enabled", False, "# and this\n", "# and this\n    preference:\n      enabled: false\n"),
        ("export.default_top_p", 0.5, "# the end\n", "# the end\nexport:\n  default_top_p: 0.5\n"),
    ],
)
def test_setting_a_key_touches_only_that_key(document: Document, path: str, value: Any, old: str, new: str) -> None:
    edited = document.edit(set={path: value})
    target: Any = edited.frontmatter
    for part in path.split("."):
        target = getattr(target, part)
    assert target == value
    assert edited.frontmatter.is_explicit(path)
    assert edited.text == HEAD.replace(old, new, 1) + BODY


def test_new_keys_keep_all_comments(document: Document) -> None:
    edited = document.edit(set={"training.lora_r": 4, "training.cache.enabled": False, "export.default_quant": "Q8_0"})
    for line in HEAD.splitlines():
        assert line in edited.text.splitlines()


def test_setting_many_kinds_of_values_reads_back(document: Document) -> None:
    values: dict[str, Any] = {
        "training.sources": [{"path": "2024", "include": ["a,b", "*.py", "x: y"]}, {"path": "~/src", "max_files": 3}],
        "training.adapters": {"a": {}, "b": {"lora_r": 4}},
        "system_prompt": ' "quoted" \\ and\ttab\n\n  indented\n',
        "training.precision": None,
        "training.target_modules": "auto",
    }
    frontmatter = document.edit(set=values).frontmatter
    assert frontmatter.system_prompt == values["system_prompt"]
    assert frontmatter.training.adapters == {"a": NamedAdapterConfig(), "b": NamedAdapterConfig(lora_r=4)}
    sources = frontmatter.training.sources or ()
    assert [source.path for source in sources] == ["2024", "~/src"]
    assert sources[0].include == ("a,b", "*.py", "x: y")


def test_a_header_in_braces_can_be_edited() -> None:
    document = Document.parse(
        f"---\n{{dlm_id: {ID}, dlm_version: 15, base_model: b, training: {{}}, export: {{}}}}\n---\nx\n"
    )
    edited = document.edit(set={"training.seed": 7, "training.preference.enabled": True, "system_prompt": "a\nb, {c}"})
    assert edited.frontmatter.training.seed == 7
    assert edited.frontmatter.training.preference.enabled is True
    assert edited.frontmatter.system_prompt == "a\nb, {c}"


def test_editing_an_older_document_brings_it_up_to_date() -> None:
    old = Document.parse(f"---\ndlm_id: {ID}\nbase_model: b\ntraining:\n  dpo:\n    beta: 0.3\n---\nx\n")
    new = old.edit(set={"training.preference.enabled": False})
    assert (old.file_version, new.file_version) == (1, 15)
    assert new.frontmatter.training.preference.hyperparams.beta == 0.3
    assert new.frontmatter.training.preference.enabled is False


@pytest.mark.parametrize(
    "change", [{"training.seed": "x"}, {"training.sed": 1}, {"nothing": 1}, {"base_model.x": 1}, {"training": 5}]
)
def test_a_bad_setting_is_refused(document: Document, change: dict[str, Any]) -> None:
    with pytest.raises(DocumentError):
        document.edit(set=change)


def test_a_value_yaml_cannot_hold_is_refused(document: Document) -> None:
    with pytest.raises(ConfigError, match="cannot hold"):
        document.edit(set={"training.seed": object()})


def test_append_then_remove_gives_the_text_back() -> None:
    for body in (BODY, BODY.rstrip("\n"), BODY + "\n\n", "", "\n", "x", "::prose::", "::prose::\n \n"):
        for head in (HEAD, HEAD.removesuffix("\n"))[: 1 if body else 2]:
            before = Document.parse(head + body)
            after = before.edit(append=[QA, Section(type="prose", content="Tail.\n\n")])
            assert [s.section_id for s in after.sections[: len(before.sections)]] == [
                s.section_id for s in before.sections
            ]
            assert after.text.startswith(before.text)
            assert after.edit(remove=[s.section_id for s in after.sections[-2:]]).text == before.text


def test_appended_sections_stand_below_one_blank_line(document: Document) -> None:
    after = document.edit(append=[QA])
    assert after.text == document.text + "\n::instruction::\n### Q\nWhy?\n\n### A\nBecause.\n"


def test_removing_in_the_middle_takes_exactly_the_section(document: Document) -> None:
    after = document.edit(remove=lambda section: section.type == "instruction")
    assert after.text == document.text.replace("::instruction::\n### Q\na\n### A\nb\n\n", "")


def test_removing_everything_leaves_the_settings(document: Document) -> None:
    assert document.edit(remove=lambda _: True).text == HEAD


def test_replacing_keeps_the_neighbours(document: Document) -> None:
    target = document.sections[2]
    for new in (Section(type="prose", content="New."), "::prose::\nNew.", "\n::prose::\nNew.\n\n"):
        after = document.edit(replace={target.section_id: new})
        assert after.text == document.text.replace("Middle.", "New.")
    intro = document.sections[0]
    assert document.edit(replace={intro.section_id: "Hello."}).text == document.text.replace("Intro.", "Hello.")
    after = document.edit(replace={intro.section_id: Section(type="prose", content="Hello.")})
    assert after.text == document.text.replace("Intro.", "Hello.")


def test_everything_at_once(document: Document) -> None:
    after = document.edit(
        set={"training.seed": 9},
        replace={document.sections[0].section_id: "Hello."},
        remove=[document.sections[2].section_id],
        append=[QA],
    )
    assert [s.content.strip().split("\n")[0] for s in after.sections] == ["Hello.", "### Q", "End.", "### Q"]
    assert after.frontmatter.training.seed == 9


def test_unknown_ids_are_refused(document: Document) -> None:
    for call in ({"remove": ["0" * 16]}, {"replace": {"0" * 16: "x"}}):
        with pytest.raises(DocumentError, match="0000000000000000"):
            document.edit(**call)


@pytest.mark.parametrize(
    "section",
    [
        Section.instruction([Pair("a", "b\n### A\nc")]),
        Section.instruction([Pair("a", "b\n### Q\nc\n### A\nd")]),
        Section.instruction([Pair("a", "b\n\n::prose::\nc")]),
        Section.instruction([Pair("a", "b\r::prose::\rc")]),
        Section.instruction([Pair("a", "```\nb")]),
        Section.instruction([Pair("", "b")]),
        Section.instruction([]),
        Section.instruction([Pair("a", "b")], adapter="Bad"),
        Section.instruction([Pair("a", "b")], adapter="unknown"),
        Section.instruction([Pair("a", "b\0c")]),
        Section.instruction([Pair("a", "\ud800")]),
        Section.preference([Triple("a", "b\n### Rejected\nc", "d")]),
        Section(type="prose", content=" \n"),
        Section(type="prose", content="::foo::"),
        Section(type="image", media_path='a"b'),
        Section(type="image", media_path="a\nb"),
        Section(type="image"),
        Section(type="audio", media_path="a", media_transcript=""),
    ],
)
def test_generated_text_never_changes_the_structure(document: Document, section: Section) -> None:
    with pytest.raises(DocumentError):
        document.edit(append=[section])
    with pytest.raises(DocumentError):
        document.edit(replace={document.sections[2].section_id: section})


@pytest.mark.parametrize("text", ["", "x", "::prose::\na\n::prose::\nb", "::instruction::\nx", "::foo::\n", "```\n"])
def test_a_replacement_text_is_exactly_one_section(document: Document, text: str) -> None:
    with pytest.raises(DocumentError):
        document.edit(replace={document.sections[2].section_id: text})


def test_marks_are_written_and_read_back(document: Document) -> None:
    harvested = attrs.evolve(QA, auto_harvest=True, harvest_source='run "1" 50%\n--> end')
    synth = attrs.evolve(
        Section.instruction([Pair("x", "y", True)]),
        auto_synth=True,
        synth_teacher="hf:a/b",
        synth_strategy="expansion",
        synth_at="2026-01-31T12:00:00Z",
        source_section_id="0123456789abcdef",
    )
    mined = attrs.evolve(
        Section.preference([Triple("p", "c", "r")]),
        auto_mined=True,
        judge_name="sway",
        judge_score_chosen=0.5,
        judge_score_rejected=-1e-07,
        mined_at="2026-01-31T12:00:00Z",
        mined_run_id=4,
        auto_harvest=True,
        harvest_source="",
    )
    after = document.edit(append=[harvested, synth, mined])
    for made, read in zip((harvested, synth, mined), after.sections[-3:], strict=True):
        assert attrs.evolve(read, start_line=0, pairs=(), triples=(), content="") == attrs.evolve(
            made, pairs=(), triples=(), content=""
        )
        assert read.section_id == made.section_id
    incomplete = attrs.evolve(QA, auto_synth=True)
    with pytest.raises(DocumentError, match="is empty"):
        document.edit(append=[incomplete])


def test_saving_and_loading(document: Document, tmp_path: Path) -> None:
    path = tmp_path / "ä b.dlm"
    saved = document.save(path)
    assert saved.path == path
    assert path.read_bytes() == document.text.encode()
    assert Document.load(path) == saved
    edited = Document.load(str(path)).edit(append=[QA]).save()
    assert path.read_text(encoding="utf-8") == edited.text
    assert [item.name for item in tmp_path.iterdir()] == [path.name]
    with pytest.raises(UsageError):
        document.save()
    with pytest.raises(StoreError, match="missing"):
        document.save(tmp_path / "missing" / "x.dlm")


def test_saving_through_a_link_keeps_the_link(document: Document, tmp_path: Path) -> None:
    real, link = tmp_path / "real.dlm", tmp_path / "link.dlm"
    real.write_text("old")
    link.symlink_to(real)
    document.save(link)
    assert link.is_symlink()
    assert real.read_text(encoding="utf-8") == document.text


def test_new_documents_are_canonical() -> None:
    document = Document.new(ID, "hf:a/b", "\n# Title\n\nText.\n\n", num_epochs=3, seed=7, preference={"enabled": False})
    assert document.text == (
        f'---\ndlm_id: {ID}\ndlm_version: 15\nbase_model: "hf:a/b"\ntraining:\n  seed: 7\n'
        "  preference:\n    enabled: false\n---\n\n# Title\n\nText.\n"
    )
    assert Document.new(ID, "b", "").sections == ()
    with pytest.raises(DocumentError, match="dlm_id"):
        Document.new("short", "b", "")
    with pytest.raises(DocumentError, match="lora_r"):
        Document.new(ID, "b", "", lora_r=0)


def test_an_edit_that_changes_nothing_gives_the_same_document(document: Document) -> None:
    assert document.edit() is document
    assert document.edit(set={"training.seed": 3}) is document
