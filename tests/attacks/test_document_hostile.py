"""Documents made to hurt: they are refused in words, quickly, and never leave anything half done."""

from __future__ import annotations

import os
import time
import tracemalloc
from pathlib import Path

import pytest

from dlm.domain import text as document_text
from dlm.domain.document import Document
from dlm.domain.errors import DocumentError

HEAD = "---\ndlm_id: 01HQ8Z0000000000000000000A\ndlm_version: 15\nbase_model: b\n---\n"
MANY = 100_000


def codes(data: str | bytes) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        Document.parse(data)
    return [fault.code for fault in caught.value.faults]


def seconds(data: str | bytes) -> float:
    start = time.process_time()
    try:
        Document.parse(data)
    except DocumentError as error:
        str(error)
    return time.process_time() - start


@pytest.mark.parametrize(
    "yaml",
    [
        "a: &a [x]\n" + "".join(f"a{i}: &a{i} [*a, *a, *a]\n" for i in range(20)),
        "a: " + "[" * MANY,
        "a: " + "{" * MANY,
        "- " * MANY,
        "? " * MANY,
        "a: " + "!x " * MANY,
        "\n".join(f"k{i}: {i}" for i in range(15_000)),
        "\n".join("seed: 1" for _ in range(20_000)),
        "a: '" + "x" * 250_000,
        "a: |\n" + " \n" * 100_000,
        "a: b" + ": b" * 50_000,
        "[" + "a: 1, " * 40_000,
        "training: {seed: " + "9" * 200_000 + "}",
        "dlm_version: 1" + "0" * 200_000,
        "base_model: " + "é" * 200_000,
        "#" * 250_000,
    ],
    ids=lambda yaml: yaml[:12],
)
def test_hostile_headers_cost_little(yaml: str) -> None:
    assert seconds(f"---\n{yaml}\n---\n") < 10


def test_a_header_without_end_is_refused_before_it_is_read() -> None:
    assert codes("---\n" + "a: 1\n" * 200_000 + "---\n") == ["doc.header-too-large"]


@pytest.mark.parametrize(
    "body",
    [
        "::foo::\n" * MANY,
        "::instruction::\n" * MANY,
        "::instruction::\n" + "### A\n" * MANY,
        "::instruction::\n" + "### Q\n" * MANY,
        "::instruction::\n### Q\na\n### A\nb\n" * (MANY // 4),
        "```\n" * (MANY + 1),
        "`" * 3_000_000 + "\n",
        "#" * 3_000_000 + "\n",
        ":" * 3_000_000 + "\n",
        " " * 3_000_000 + "\n",
        "\n" * 3_000_000,
        "\n ".join("::" for _ in range(MANY)),
        "::image" + ' path="a"' * MANY + "::\n",
        "::image " + " " * 1_000_000 + "::\n",
        '::image path="' + "a" * 3_000_000 + "\n",
        "::instruction::\n" + '<!-- dlm-auto-harvest: source="x" -->\n' * MANY,
        "::instruction::\n<!-- dlm-auto-synth:" + ' a="b"' * MANY + "\n",
        "::prose#" + "a" * 1_000_000 + "::\n",
        "x" * 10_000_000,
    ],
    ids=lambda body: repr(body[:12]),
)
def test_hostile_bodies_cost_little(body: str) -> None:
    assert seconds(HEAD + body) < 10


def test_a_report_is_capped_and_counts_the_rest() -> None:
    with pytest.raises(DocumentError) as caught:
        Document.parse(HEAD + "::foo::\n" * 5000)
    faults = caught.value.faults
    assert len(faults) == document_text.MAX_FAULTS + 1
    assert faults[-1].code == "doc.too-many-faults"
    assert "4000" in faults[-1].message


def test_long_words_are_cut_in_messages() -> None:
    for text in (
        HEAD + "::" + "a" * 10_000 + "::\n",
        HEAD + "::prose#" + "A" * 10_000 + "::\n",
        HEAD + " ::" + "a" * 10_000 + "::\n::foo::\n",
        "-" * 10_000,
        HEAD.replace("base_model: b", "k" * 10_000 + ": 1\nbase_model: b"),
        HEAD.replace("base_model: b", "base_model: b\ntraining: {optimizer: " + "k" * 10_000 + "}"),
        HEAD.replace("base_model: b", "base_model: b\nexport: " + "1" * 10_000),
    ):
        with pytest.raises(DocumentError) as caught:
            Document.parse(text)
        assert len(str(caught.value)) < 1000


def test_a_huge_file_is_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.dlm"
    with path.open("wb") as file:
        file.write(b"---\n")
        file.truncate(document_text.MAX_DOCUMENT_BYTES + 1)
    tracemalloc.start()
    try:
        with pytest.raises(DocumentError, match="at most 536870912 are read"):
            Document.load(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_file_that_grows_while_being_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "grows.dlm"
    path.write_bytes(b"x" * 100)
    real = Path.stat

    def stale(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        fields = list(real(self, follow_symlinks=follow_symlinks))
        fields[6] = 10
        return os.stat_result(fields)

    monkeypatch.setattr(Path, "stat", stale)
    with pytest.raises(DocumentError, match="at most 50 are read"):
        document_text.read_document_bytes(path, limit=50)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    for path, code in ((tmp_path, "doc.not-a-file"), (tmp_path / "none.dlm", "doc.missing"), (Path("/dev/zero"), None)):
        with pytest.raises(DocumentError) as caught:
            Document.load(path)
        assert caught.value.faults[0].code == (code or "doc.not-a-file")
        assert str(path) in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    path = tmp_path / "pipe.dlm"
    os.mkfifo(path)
    with pytest.raises(DocumentError, match="not a regular file"):
        Document.load(path)


@pytest.mark.parametrize("path", ["a\0b.dlm", "x" * 5000])
def test_impossible_paths_are_refused(path: str) -> None:
    with pytest.raises(DocumentError, match="cannot be read"):
        Document.load(path)


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x01\x02",
        b"\x7fELF" + bytes(range(256)),
        b"PK\x03\x04" + b"\xff" * 50,
        b"\xff\xfe-\x00-\x00-\x00",
        b"---\n\xed\xa0\x80\n---\n",
        b"---\n\xc0\xaf\n---\n",
        (HEAD + "a\0b").encode(),
        HEAD.encode() + b"\xf4\x90\x80\x80",
        HEAD + "\ud800",
    ],
)
def test_what_is_no_text_is_refused(data: bytes | str) -> None:
    assert codes(data)[0] in ("doc.not-utf8", "doc.nul")


def test_text_that_only_looks_dangerous_is_kept_as_it_is() -> None:
    body = "\n\u202e\u200b\ufeffتجربة 😀\x1b[31m\x0c\x85\u2028end\n"
    document = Document.parse(HEAD + body)
    assert document.render() == HEAD + body
    assert document.sections[0].content == body[1:-1]


def test_ten_megabytes_parse_within_a_second_of_work() -> None:
    unit = "### Q\nWhat is number {0}?\n\n### A\n" + "It is the one before the next. " * 6 + "\n\n"
    pairs = "::instruction::\n" + "".join(unit.format(i) for i in range(43_000))
    prose = "::prose::\n" + ("Words and more words. " * 20 + "\n") * 100
    for body in (pairs, prose * 230):
        text = HEAD + body
        assert len(text) > 9_500_000
        assert min(seconds(text) for _ in range(3)) < 1.0
