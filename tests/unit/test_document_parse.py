"""Reading documents: framing, sections, dialogues, marks, rows, and the places of faults."""

from __future__ import annotations

import pytest

from dlm.domain.document import Document
from dlm.domain.errors import DocumentError
from dlm.domain.sections import media_section_id, section_id

HEAD = "---\ndlm_id: 01HQ8Z0000000000000000000A\ndlm_version: 15\nbase_model: smollm2-135m\n---\n"
TWO = HEAD.removesuffix("---\n") + "training: {adapters: {first: {}, second: {}}}\n---\n"
FIRST = HEAD.count("\n") + 1
"""Line of the first character of a body below HEAD."""


def faults(body: str, head: str = HEAD) -> list[tuple[str, int | None, int | None]]:
    with pytest.raises(DocumentError) as caught:
        Document.parse(head + body)
    return [(fault.code, fault.line, fault.col) for fault in caught.value.faults]


def warnings(body: str) -> list[tuple[str, int | None]]:
    return [(fault.code, fault.line) for fault in Document.parse(HEAD + body).warnings]


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        ("prose", "Hello", "690fafd95793781f"),
        ("prose", "Hello\n", "d79a25e710fee584"),
        ("instruction", "### Q\na\n### A\nb", "de9305cbed345335"),
        ("instruction", "### Q\na\n### A\nb\n", "31cca5bbdbfafd89"),
        ("prose", "\ufeffHello\r", "d79a25e710fee584"),
    ],
)
def test_section_ids_match_the_published_vectors(kind: str, content: str, expected: str) -> None:
    assert section_id(kind, content) == expected


def test_media_ids_match_the_published_vectors() -> None:
    assert media_section_id("image", "a.png") == "6f59425a29eca438"
    assert media_section_id("image", "a.png", "0" * 64) == "f7deb68e99be84e7"


def test_id_ignores_blank_lines_at_the_end_and_the_legacy_id_counts_them() -> None:
    section = Document.parse(HEAD + "\nHello\n\n::prose::\nx\n").sections[0]
    assert section.content == "Hello\n"
    assert section.section_id == "690fafd95793781f"
    assert section.legacy_id == "d79a25e710fee584"


def test_a_document_without_content_is_valid() -> None:
    for body in ("", "\n", "\n\n \n", "::prose::\n", "\n::prose::\n  \n"):
        assert Document.parse(HEAD + body).sections == ()
    assert Document.parse(HEAD.removesuffix("\n")).rows() == ()


def test_sections_keep_content_and_lines() -> None:
    document = Document.parse(
        HEAD + '\n# Title\n\ntext\n\n::instruction::\n### Q\na\n### A\nb\n\n::image path="a.png"::\ncap\n'
        '::audio path="a.wav" transcript="said"::\n::prose#default::\nend'
    )
    assert [(s.type, s.start_line, s.content) for s in document.sections] == [
        ("prose", FIRST + 1, "# Title\n\ntext\n"),
        ("instruction", FIRST + 5, "### Q\na\n### A\nb\n"),
        ("image", FIRST + 11, "cap"),
        ("audio", FIRST + 13, ""),
        ("prose", FIRST + 14, "end"),
    ]
    assert [document.text[slice(*s.span)] for s in document.sections][-2:] == [
        '::audio path="a.wav" transcript="said"::\n',
        "::prose#default::\nend",
    ]
    assert document.sections[2].media_alt == ""
    assert document.sections[3].media_transcript == "said"
    assert document.sections[4].adapter == "default"


def test_rows_have_the_lines_of_the_file() -> None:
    document = Document.parse(
        HEAD + "Intro\n::instruction::\n### Q\n a \n\n### A\n b \n### Q !probe\nc\n### A\nd\n"
        '::preference::\n### Prompt\np\n### Chosen\nc\n### Rejected\nr\n::image path="a.png" alt="x"::\n cap \n'
        '::audio path="a.wav" transcript="said"::\nignored\n'
    )
    rows = document.rows()
    assert [(row.kind, row.line - FIRST, row.sub) for row in rows] == [
        ("prose", 0, 0),
        ("instruction", 2, 0),
        ("instruction", 7, 1),
        ("preference", 12, 0),
        ("image", 18, 0),
        ("audio", 20, 0),
    ]
    assert (rows[1].question, rows[1].answer, rows[1].is_probe) == ("a", "b", False)
    assert rows[2].is_probe
    assert (rows[3].prompt, rows[3].chosen, rows[3].rejected) == ("p", "c", "r")
    assert (rows[0].text, rows[4].text, rows[5].text) == ("Intro", "cap", "said")
    assert rows[1].section_id == document.sections[1].section_id


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ("```", "```"),
        ("```python", "`````  "),
        ("   ~~~~ a`b", " ~~~~"),
        ("````", "````"),
        ("~~~", "~~~~~\t"),
    ],
)
def test_nothing_is_read_inside_code_blocks(opening: str, closing: str) -> None:
    inside = "::foo::\n### Q\n``\n~~\n"
    body = f"::instruction::\n### Q\na\n### A\n{opening}\n{inside}{closing}\n::prose::\nend\n"
    document = Document.parse(HEAD + body)
    assert [section.type for section in document.sections] == ["instruction", "prose"]
    assert inside in document.sections[0].pairs[0].answer


@pytest.mark.parametrize("line", ["``` a`b", "inline ``` span", "    ```", "\t~~~", "``", "~~", "```x```"])
def test_what_is_no_code_block_hides_nothing(line: str) -> None:
    assert [s.type for s in Document.parse(HEAD + f"{line}\n\n::prose::\nx\n").sections] == ["prose", "prose"]


def test_a_shorter_or_other_fence_does_not_close_code() -> None:
    assert faults("````\n```\n~~~~\n```` x\n") == [("doc.open-code", FIRST, 1)]


@pytest.mark.parametrize(
    "line",
    [
        "::foo::",
        "::Instruction::",
        "::prose#::",
        "::prose#Bad::",
        "::image::",
        '::image path=""::',
        "::image path='x'::",
        '::image#x path="a"::',
        '::image path="a" path="b"::',
        '::image path="a" title="b"::',
        '::audio path="a"::',
        '::prose path="a"::',
        '::video path="a"::',
        "::image anything ::",
    ],
)
def test_bad_fences_are_faults_with_their_line(line: str) -> None:
    found = faults(f"\ntext\n{line}\nmore\n")
    assert [(code, where) for code, where, _ in found] == [("doc.fence", FIRST + 2)]


def test_the_column_of_a_bad_suffix_and_attribute_is_given() -> None:
    assert faults("::prose#Bad::\n")[0][2] == 9
    assert faults('::image path="a" title="b"::\n')[0][2] == 18


@pytest.mark.parametrize("line", [":: instruction ::", "::instruction:: ", " ::prose::", "\t::note::", "::instruction"])
def test_near_fences_are_content_with_a_warning(line: str) -> None:
    document = Document.parse(HEAD + f"a\n{line}\n")
    assert [section.content for section in document.sections] == [f"a\n{line}"]
    assert warnings(f"a\n{line}\n") == [("doc.near-fence", FIRST + 1)]


@pytest.mark.parametrize("line", [":::note", ":: ", "::", "a ::prose::", "std::vector::", "::1::2"])
def test_other_colons_are_just_text(line: str) -> None:
    assert warnings(f"a\n{line}\n") == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", [("doc.dialogue", 0)]),
        ("text\n", [("doc.dialogue", 0)]),
        ("\n\ntext\n### Q\na\n### A\nb\n", [("doc.dialogue", 3)]),
        ("### A\nb\n### Q\na\n### A\nb\n", [("doc.dialogue", 1)]),
        ("### Q\na\n", [("doc.dialogue", 1)]),
        ("### Q\na\n### Q\na\n### A\nb\n", [("doc.dialogue", 1)]),
        ("### Q\na\n### A\nb\n### A\nb\n", [("doc.dialogue", 5)]),
        ("### Q\n\n### A\nb\n", [("doc.empty-answer", 1)]),
        ("### Q\na\n### A\n", [("doc.empty-answer", 3)]),
        ("### Q\na\n### A\nb\n### Q\nc\n### A\n\n### Q\n", [("doc.empty-answer", 7), ("doc.dialogue", 9)]),
    ],
)
def test_instruction_grammar_faults_have_the_line_of_the_file(body: str, expected: list[tuple[str, int]]) -> None:
    found = faults(f"\n::instruction::\n{body}")
    assert [(code, (line or 0) - FIRST - 1) for code, line, _ in found] == expected


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("### Prompt\na\n### Rejected\nb\n### Chosen\nc\n", 3),
        ("### Prompt\na\n### Chosen\nb\n", 1),
        ("### Chosen\na\n", 1),
    ],
)
def test_preference_grammar_faults_have_the_line_of_the_file(body: str, line: int) -> None:
    assert faults(f"::preference::\n{body}") == [("doc.dialogue", FIRST + line, 1)]


def test_headers_may_be_indented_and_tell_near_misses() -> None:
    body = "::instruction::\n  ### Q  \na\n### a\n###Q\n## Question:\n### A\nb\n### Chosen\n"
    assert Document.parse(HEAD + body).sections[0].pairs[0].question == "a\n### a\n###Q\n## Question:"
    assert warnings(body) == [("doc.near-header", FIRST + line) for line in (3, 4, 5, 8)]


def test_questions_in_prose_are_warned_about_once() -> None:
    assert warnings("### Q\na\n### A\nb\n### Q\nc\n") == [("doc.near-header", FIRST)]


MINED = (
    '<!-- dlm-auto-mined: judge_name="hf:a/b" judge_score_chosen="0.5" judge_score_rejected="-1e-3" '
    'mined_at="2026-01-31T12:00:00Z" mined_run_id="3" -->'
)
SYNTH = (
    '<!-- dlm-auto-synth: synth_teacher="self" synth_strategy="extraction" synth_at="2026-01-31T12:00:00Z" '
    'source_section_id="0123456789abcdef" -->'
)
HARVEST = '<!-- dlm-auto-harvest: source="50%25 %22x%22 --%3E 7%" -->'


def test_marks_are_read_and_do_not_count() -> None:
    document = Document.parse(
        HEAD + f"::preference::\n{MINED}\n{HARVEST}\n### Prompt\np\n### Chosen\nc\n### Rejected\nr\n"
        f"::instruction::\n{SYNTH}\n### Q\na\n### A\nb\n"
    )
    mined, synth = document.sections
    assert (mined.auto_mined, mined.judge_name, mined.judge_score_rejected, mined.mined_run_id) == (
        True,
        "hf:a/b",
        -0.001,
        3,
    )
    assert (mined.auto_harvest, mined.harvest_source) == (True, '50% "x" --> 7%')
    assert (synth.auto_synth, synth.source_section_id, synth.synth_strategy) == (True, "0123456789abcdef", "extraction")
    assert synth.section_id == section_id("instruction", "### Q\na\n### A\nb")


@pytest.mark.parametrize(
    "mark",
    [
        SYNTH.replace("self", ""),
        SYNTH.replace("0123456789abcdef", "0123"),
        SYNTH.replace("2026-01-31T12:00:00Z", "soon"),
        SYNTH.replace(' synth_strategy="extraction"', ""),
        SYNTH.replace("synth_strategy", "strategy"),
        SYNTH.replace(" -->", " x -->"),
        f"{SYNTH}\n{SYNTH}",
    ],
)
def test_bad_marks_are_faults(mark: str) -> None:
    found = faults(f"::instruction::\n{mark}\n### Q\na\n### A\nb\n")
    assert found == [("doc.mark", FIRST + 1 + mark.count("\n"), 1)]


@pytest.mark.parametrize("value", ["nan", "inf", "1_0", "x", "", "１"])
def test_scores_are_finite_decimals(value: str) -> None:
    mark = MINED.replace('"0.5"', f'"{value}"')
    assert [
        code for code, _, _ in faults(f"::preference::\n{mark}\n### Prompt\np\n### Chosen\nc\n### Rejected\nr\n")
    ] == ["doc.mark"]


def test_marks_elsewhere_are_content_with_a_warning() -> None:
    assert warnings(f"::prose::\n{SYNTH}\nx\n") == [("doc.mark-misplaced", FIRST + 1)]
    assert warnings(f"::instruction::\n### Q\na\n{SYNTH}\n### A\nb\n") == [("doc.mark-misplaced", FIRST + 3)]


def test_routes_must_be_declared() -> None:
    pair = "### Q\na\n### A\nb\n"
    assert faults(f"::instruction#x::\n{pair}") == [("doc.route", FIRST, 15)]
    assert Document.parse(HEAD + f"::instruction#default::\n{pair}").rows()[0].adapter is None
    found = faults(f"::instruction#secnd::\n{pair}::prose#default::\nx\n::prose#first::\nx\n", TWO)
    line = TWO.count("\n") + 1
    assert found == [("doc.route", line, 15), ("doc.route", line + 5, 9)]
    assert Document.parse(TWO + f"::instruction#second::\n{pair}").rows()[0].adapter == "second"


def test_all_faults_are_reported_together_in_file_order() -> None:
    head = HEAD.replace("base_model: smollm2-135m", "base_modle: x\ntraining:\n  seed: no")
    found = faults("::foo::\n::instruction::\n```\n", head)
    assert [(code, line) for code, line, _ in found] == [
        ("doc.missing-key", 2),
        ("doc.unknown-key", 4),
        ("doc.bad-value", 6),
        ("doc.fence", 8),
        ("doc.dialogue", 9),
        ("doc.open-code", 10),
    ]


def test_messages_carry_path_line_and_column() -> None:
    with pytest.raises(DocumentError) as caught:
        Document.parse(HEAD + "::prose#Bad::\n", path="notes.dlm")
    assert str(caught.value) == f"notes.dlm:{FIRST}:9: 'Bad' is not an adapter name"
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "doc.no-frontmatter"),
        ("--- \na: 1\n---\n", "doc.no-frontmatter"),
        ("# Hi\n", "doc.no-frontmatter"),
        ("---", "doc.open-frontmatter"),
        ("---\na: 1\n", "doc.open-frontmatter"),
        ("---\na: 1\n--- \n", "doc.open-frontmatter"),
    ],
)
def test_framing_faults_stand_at_the_first_line(text: str, code: str) -> None:
    with pytest.raises(DocumentError) as caught:
        Document.parse(text)
    assert [(fault.code, fault.line, fault.col) for fault in caught.value.faults] == [(code, 1, 1)]


def test_empty_frontmatter_misses_its_keys() -> None:
    for text in ("---\n---", "---\n---\n", "---\n# nothing\n---\n", "---\n\n---\n"):
        with pytest.raises(DocumentError) as caught:
            Document.parse(text)
        assert [fault.message for fault in caught.value.faults] == ["dlm_id is missing", "base_model is missing"]


def test_windows_and_old_mac_text_means_the_same() -> None:
    text = HEAD + "\na\n::instruction::\n### Q\na\n### A\nb\n"
    plain = Document.parse(text)
    for newline in ("\r\n", "\r"):
        other = Document.parse(text.replace("\n", newline).encode())
        assert other == plain
    marked = Document.parse(b"\xef\xbb\xbf" + text.encode())
    assert [fault.code for fault in marked.warnings] == ["doc.bom"]
    assert marked.text == text


def test_bytes_that_are_not_utf8_are_placed() -> None:
    with pytest.raises(DocumentError) as caught:
        Document.parse((HEAD + "ab\né").encode() + b"\xff\n")
    fault = caught.value.faults[0]
    assert (fault.code, fault.line, fault.col) == ("doc.not-utf8", FIRST + 1, 2)
    assert str(len((HEAD + "ab\né").encode())) in fault.message


def test_repr_is_short_and_html_is_escaped() -> None:
    document = Document.parse(HEAD.replace("smollm2-135m", '"hf:<b>/x"') + "\n" + "word " * 500)
    assert len(repr(document)) < 120
    assert len(repr(document.sections[0])) < 120
    assert "<b>/x" not in document._repr_html_()
