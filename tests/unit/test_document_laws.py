"""Laws of documents, over generated ones."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from typing import Any

import attrs
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dlm.domain.body import scan_body
from dlm.domain.document import Document
from dlm.domain.errors import DocumentError
from dlm.domain.frontmatter_edits import read_header
from dlm.domain.frontmatter_text import canonical_frontmatter, float_text, value_text
from dlm.domain.migrations import migrate_text
from dlm.domain.sections import Pair, Section, Triple
from dlm.domain.settings import plain
from dlm.domain.text import FaultList
from dlm.domain.values import resolve
from dlm.domain.yaml_text import ScalarNode, read_mapping

ID = "01HQ8Z0000000000000000000A"
law = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

words = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=40)
lines = st.one_of(
    words,
    st.sampled_from(
        [
            "",
            " ",
            "# Title",
            "```",
            "~~~~",
            "    code",
            "::prose::",
            " ::prose::",
            "### Q",
            "### A",
            "text",
            "- a",
            "``",
        ]
    ),
)
texts = st.lists(lines, min_size=1, max_size=6).map("\n".join).filter(lambda text: bool(text.strip()))
adapters = st.sampled_from([None, "tone", "facts"])


def is_sound(section: Section) -> bool:
    """Tell whether a generated section means only itself; the rest is what editing must refuse."""
    body = scan_body("\n" + section.render())
    if body.faults or len(body.sections) != 1:
        return False
    read = body.sections[0]
    pairs = [(pair.question.strip(), pair.answer.strip()) for pair in section.pairs]
    triples = [(item.prompt.strip(), item.chosen.strip(), item.rejected.strip()) for item in section.triples]
    return (
        read.content == section.content.rstrip("\n")
        and [(pair.question, pair.answer) for pair in read.pairs] == pairs
        and [(item.prompt, item.chosen, item.rejected) for item in read.triples] == triples
    )


any_section = st.one_of(
    st.builds(lambda text, adapter: Section(type="prose", content=text, adapter=adapter), texts, adapters),
    st.builds(
        lambda pairs, adapter: Section.instruction([Pair(q, a, probe) for q, a, probe in pairs], adapter=adapter),
        st.lists(st.tuples(texts, texts, st.booleans()), min_size=1, max_size=3),
        adapters,
    ),
    st.builds(
        lambda groups, adapter: Section.preference([Triple(*group) for group in groups], adapter=adapter),
        st.lists(st.tuples(texts, texts, texts), min_size=1, max_size=2),
        adapters,
    ),
    st.builds(
        lambda path, alt, caption: Section(type="image", media_path=path, media_alt=alt, content=caption),
        st.sampled_from(["a.png", "ä b/c.png"]),
        st.sampled_from(["", "alt text"]),
        texts,
    ),
)
sound_sections = any_section.filter(is_sound)

headers = st.lists(
    st.sampled_from(
        ["  seed: 7  # lucky", "  warmup_ratio: 0.1", "  # a comment", "", "  num_epochs: 2", "  cache: {enabled: no}"]
    ),
    max_size=4,
    unique=True,
).map(
    lambda rows: (
        f"---\n# me\ndlm_id: {ID}\ndlm_version: 15\nbase_model: b # x\ntraining:\n"
        "  adapters: {tone: {}, facts: {}}\n" + "".join(row + "\n" for row in rows) + "---\n"
    )
)


def body_text(lead: str, sections: list[tuple[Section, int]], cut: bool) -> str:
    text = lead + "".join(section.render() + "\n" * blank_lines for section, blank_lines in sections)
    return text.removesuffix("\n") if cut else text


bodies = st.builds(
    body_text,
    st.sampled_from(["", "\n", "\n\n", "Intro.\n", "\nIntro.\n\n"]),
    st.lists(st.tuples(sound_sections, st.integers(0, 3)), max_size=4),
    st.booleans(),
)
documents = st.builds(lambda head, body: head + body, headers, bodies)


@law
@given(documents)
def test_render_gives_back_the_text(text: str) -> None:
    document = Document.parse(text)
    assert document.render() == text
    assert Document.parse(document.render()) == document
    assert Document.parse(text.replace("\n", "\r\n").encode()).text == text


@law
@given(documents)
def test_sections_stand_where_they_say(text: str) -> None:
    document = Document.parse(text)
    for section in document.sections:
        start, end = section.span
        assert section.start_line == text.count("\n", 0, start) + 1
        assert section.content in text[start:end]
    spans = [section.span for section in document.sections]
    assert all(left[1] <= right[0] for left, right in pairwise(spans))


@law
@given(documents, st.lists(sound_sections, min_size=1, max_size=3))
def test_appending_and_removing_gives_the_text_back(text: str, new: list[Section]) -> None:
    before = Document.parse(text)
    after = before.edit(append=new)
    old_ids = [section.section_id for section in before.sections]
    assert after.text.startswith(text)
    assert [section.section_id for section in after.sections] == old_ids + [section.section_id for section in new]
    last = {section.start_line for section in after.sections[len(old_ids) :]}
    assert after.edit(remove=lambda section: section.start_line in last).text == text


@law
@given(documents, st.data())
def test_removing_keeps_all_other_sections(text: str, data: st.DataObject) -> None:
    document = Document.parse(text)
    drop = data.draw(st.sets(st.integers(0, max(0, len(document.sections) - 1))))
    gone = {document.sections[i].start_line for i in drop if i < len(document.sections)}
    left = [section for section in document.sections if section.start_line not in gone]
    after = document.edit(remove=lambda section: section.start_line in gone)
    assert [section.section_id for section in after.sections] == [section.section_id for section in left]
    assert after.text[: after.body_start].rstrip("\n") == text[: document.body_start].rstrip("\n")


@law
@given(documents, any_section)
def test_an_appended_section_is_itself_or_refused(text: str, section: Section) -> None:
    before = Document.parse(text)
    try:
        after = before.edit(append=[section])
    except DocumentError:
        return
    assert len(after.sections) == len(before.sections) + 1
    assert after.sections[-1].section_id == section.section_id
    assert after.sections[-1].type == section.type


@law
@given(documents, st.integers(-(10**9), 10**9), st.floats(1e-9, 10), words)
def test_setting_touches_only_the_header(text: str, seed: int, rate: float, prompt: str) -> None:
    before = Document.parse(text)
    after = before.edit(
        set={
            "training.seed": seed,
            "training.sequence_len": 512,
            "system_prompt": prompt,
            "training.cpt.schedule": "sft",
        }
    )
    assert after.text[after.body_start :] == text[before.body_start :]
    assert after.frontmatter.training == attrs.evolve(
        before.frontmatter.training,
        seed=seed,
        sequence_len=512,
        cpt=attrs.evolve(before.frontmatter.training.cpt, schedule="sft"),
    )
    assert after.frontmatter.system_prompt == prompt
    for line in text[: before.body_start].splitlines():
        assert line.strip() in after.text or line.strip().startswith("seed")
    assert float(float_text(rate)) == rate


@law
@given(st.text(st.characters(codec="utf-8")), st.integers(0, 6))
def test_any_text_can_be_spelled(value: str, indent: int) -> None:
    for spelled in (value_text(value), value_text(value, indent=2), value_text([value, {"k": value}])):
        text = f"key: {spelled}\nother: 1\n"
        faults = FaultList()
        root = read_mapping(text, 0, len(text), faults)
        assert root is not None, faults.in_file_order()
        node: Any = root.entries[0].value
        if not isinstance(node, ScalarNode):
            node = node.items[0]
        assert resolve(node) == value


@law
@given(
    st.floats(1e-9, 0.5),
    st.integers(1, 256),
    st.booleans() | st.none(),
    st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True), st.integers(1, 256), min_size=1, max_size=3),
    st.lists(words, min_size=1, max_size=3),
)
def test_canonical_text_reads_back_and_is_a_fixed_point(
    ratio: float, rank: int, enabled: bool | None, named: dict[str, int], paths: list[str]
) -> None:
    assume("default" not in named and "versions" not in named and all(path.strip() for path in paths))
    training: dict[str, Any] = {
        "warmup_ratio": ratio,
        "sources": [{"path": path, "max_files": rank} for path in paths],
        "adapters": {name: {"lora_r": value} for name, value in named.items()},
    }
    if enabled is not None:
        training["preference"] = {"enabled": enabled}
    document = Document.new(ID, "b", "x", **training)
    frontmatter = document.frontmatter
    assert frontmatter.training.warmup_ratio == ratio
    assert frontmatter.training.preference.enabled is enabled
    assert [source.path for source in frontmatter.training.sources or ()] == paths
    assert list(frontmatter.training.adapters or ()) == list(named)
    assert canonical_frontmatter(frontmatter) == document.text[: document.body_start]


old_dpo = st.fixed_dictionaries(
    {},
    optional={
        "enabled": st.sampled_from(["true", "false", "yes"]),
        "beta": st.sampled_from(["0.2", "1e-2"]),
        "learning_rate": st.sampled_from(["1e-6", "5.0e-06"]),
        "num_epochs": st.sampled_from(["2", '"3"']),
        "loss_type": st.sampled_from(["hinge", "'ipo'"]),
        "reference": st.sampled_from(["base", "pre_dpo_adapter", '"pre_dpo_adapter"']),
    },
)


@law
@given(st.integers(1, 15), old_dpo, st.permutations(range(6)), st.sampled_from(["block", "flow", "commented"]), bodies)
def test_migrating_keeps_meaning_comments_and_body(
    version: int, dpo: dict[str, str], order: list[int], style: str, body: str
) -> None:
    assume("tone::" not in body and "facts::" not in body)
    keys = sorted(dpo, key=lambda key: order[list(dpo).index(key)])
    if style == "flow" or not dpo:
        block = "  dpo: {" + ", ".join(f"{key}: {dpo[key]}" for key in keys) + "}  # c\n"
    else:
        note = "    # about {}\n" if style == "commented" else ""
        block = "  dpo:  # c\n" + "".join(note.format(key) + f"    {key}: {dpo[key]} # {key}!\n" for key in keys)
    stamp = "" if version == 1 else f"dlm_version: {version}  # v\n"
    head = f"---\n# top\ndlm_id: {ID}\n{stamp}base_model: b\ntraining:\n  seed: 5\n{block if version == 1 else ''}---\n"
    text = head + body
    before = Document.parse(text)
    migration = migrate_text(text)
    after = Document.parse(migration.text)
    assert (before.file_version, migration.from_version, after.file_version) == (version, version, 15)
    assert plain(after.frontmatter) == plain(before.frontmatter)
    assert after.text[after.body_start :] == body
    assert after.sections == tuple(
        attrs.evolve(
            section,
            start_line=after_section.start_line,
            pairs=after_section.pairs,
            triples=after_section.triples,
        )
        for section, after_section in zip(before.sections, after.sections, strict=True)
    )
    assert sorted(_comments(head)) == sorted(_comments(migration.text[: after.body_start]))
    assert migrate_text(migration.text).text == migration.text
    assert migrate_text(migration.text).steps == ()
    assert read_header(migration.text).root.get("dlm_version") is not None


def _comments(text: str) -> list[str]:
    return [line[line.index("#") :] for line in text.splitlines() if "#" in line]


@law
@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_document_or_a_document_error(data: bytes) -> None:
    for candidate in (data, b"---\n" + data, f"---\ndlm_id: {ID}\nbase_model: b\n---\n".encode() + data):
        with suppress(DocumentError):
            assert Document.parse(candidate).render().encode()


@law
@given(
    st.lists(
        st.sampled_from(
            [
                "dlm_id: " + ID,
                "base_model: b",
                "training:",
                "  seed: 1",
                "  dpo: {beta: 1}",
                "[",
                "]",
                "{",
                "}",
                ": ",
                "- ",
                "&a ",
                "*a",
                "!!int ",
                "? ",
                "|",
                ">",
                "'",
                '"',
                "\\",
                "\n",
                "  ",
                "\t",
                "#",
                "%YAML",
                "---",
                "...",
                "é",
                "\u2028",
                "\x85",
                ",",
                "dlm_version: 1",
                "dlm_version: 99",
                "<<: ",
                "null",
                "training: {dpo: {beta: .inf}}",
            ]
        ),
        max_size=12,
    )
)
def test_any_header_is_read_or_refused(parts: list[str]) -> None:
    text = "---\n" + "".join(parts) + "\n---\n"
    try:
        document = Document.parse(text)
        migrated = migrate_text(text)
    except DocumentError:
        return
    assert plain(Document.parse(migrated.text).frontmatter) == plain(document.frontmatter)
