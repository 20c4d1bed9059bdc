"""The documents that learning is measured with: complete, and unknown to the package."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from dlm.domain.anchor_bank import BANK
from dlm.domain.exam import words_of
from dlm.domain.ordinary import PROBES
from learning_set import SHAPES, Case, unrelated

SETS = ("dev", "report")
CASES = [(name, shape) for name in SETS for shape in SHAPES]


def package_text() -> str:
    """Give everything that is shipped, in small letters and with single spaces."""
    root = files("dlm")
    paths = [path for kind in ("*.py", "*.json", "*.yaml", "*.dlm") for path in sorted(root.rglob(kind))]  # type: ignore[attr-defined]
    return " ".join("\n".join(path.read_text(encoding="utf-8") for path in paths).casefold().split())


@pytest.fixture(scope="module")
def shipped() -> str:
    return package_text()


@pytest.mark.parametrize(("name", "shape"), CASES)
class TestCases:
    def test_every_question_has_three_rewordings_of_its_own(self, name: str, shape: str) -> None:
        case = Case.load(name, shape)
        pairs = [row for row in case.document.rows() if row.kind == "instruction"]
        assert 8 <= len(pairs) <= 10
        assert {row.question for row in pairs} == set(case.reworded)
        forms = [form for three in case.reworded.values() for form in three]
        assert len(set(forms)) == len(forms) == 3 * len(pairs)

    def test_what_is_asked_about_the_prose_is_only_there(self, name: str, shape: str) -> None:
        case = Case.load(name, shape)
        rows = case.document.rows()
        prose = {word for row in rows for word in words_of(row.text)}
        pairs = {word for row in rows for turn in row.turns for word in words_of(turn.content)}
        assert len(case.prose) >= 5
        for question, answer in case.prose:
            assert set(words_of(answer)) <= prose, question
            assert not set(words_of(answer)) <= pairs, question

    def test_nothing_of_it_is_shipped(self, name: str, shape: str, shipped: str) -> None:
        case = Case.load(name, shape)
        rows = case.document.rows()
        asked = [*case.reworded, *(form for forms in case.reworded.values() for form in forms)]
        said = [row.answer for row in rows if row.kind == "instruction"]
        names = {match for row in rows for match in re.findall(r"[A-Z]\w+ [A-Z]\w+", f"{row.text} {said}")}
        for text in (*asked, *(question for question, _ in case.prose), *said, *names):
            assert " ".join(text.casefold().split()) not in shipped or len(text) < 12, text


@pytest.mark.parametrize("name", SETS)
def test_what_is_asked_beside_the_documents_is_not_held_on_to(name: str) -> None:
    asked = {probe.question.casefold() for probe in unrelated(name)}
    assert len(asked) == 60
    assert not asked & {prompt.casefold() for prompt in BANK}
    assert not asked & {probe.question.casefold() for probe in PROBES}
    assert sum(bool(probe.accepted) for probe in unrelated(name)) == 36
