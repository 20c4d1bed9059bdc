"""Names in packs mean one file on every system."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.domain.pack_names import MAX_FOLDERS, NameSet, document_member, member_problem

HOSTILE = """../x a/../b /etc/passwd // a//b a/ . ./a a/. C:x C:/x c:\\x \\\\server\\share a\\b a:stream con CON.txt
 Aux nul.x.y COM1 lpt9.log com¹ conin$ a. a/b./c""".split()


@pytest.mark.parametrize(
    "name", [*HOSTILE, "", "a\0b", "a\nb", "a\x7fb", "e\u0301", "a ", "con .x", "a\u202eb", "\ud800"]
)
def test_hostile_names(name: str) -> None:
    assert member_problem(name)


@pytest.mark.parametrize(
    "name",
    ["a", "store/adapter/versions/v0001/adapter_model.safetensors", "dlm/Über уроки 日本.dlm", "console", ".a", "…"],
)
def test_ordinary_names(name: str) -> None:
    assert member_problem(name) is None


def test_limits() -> None:
    assert member_problem("/".join("a" * 32)) is None
    assert member_problem("/".join("a" * 33))
    assert member_problem("a" * 255) is None
    assert member_problem("a" * 256)
    assert member_problem("ä" * 128)
    assert member_problem("/".join(["b" * 204] * 5)) is None
    assert member_problem("/".join(["b" * 205] * 5))


@given(st.text())
def test_a_name_without_problems_stays_below_its_folder(name: str) -> None:
    if member_problem(name) is None:
        assert not PurePosixPath(name).is_absolute()
        assert not PureWindowsPath(name).anchor
        assert ".." not in PureWindowsPath(name).parts
        assert "/".join(PureWindowsPath(name).parts) == name
        assert unicodedata.is_normalized("NFC", name)


@given(st.text(max_size=300))
def test_every_document_finds_a_name(file_name: str) -> None:
    member = document_member(file_name)
    assert member_problem(member) is None
    assert member.startswith("dlm/")
    assert member.endswith(".dlm")
    assert member.count("/") == 1
    assert document_member(member.removeprefix("dlm/")) == member


def test_an_ordinary_document_keeps_its_name() -> None:
    assert document_member("Mein Tutor.dlm") == "dlm/Mein Tutor.dlm"
    assert document_member("what: a / b?.dlm") == "dlm/what_ a _ b?.dlm"
    assert document_member("nul.dlm") == "dlm/document.dlm"


@pytest.mark.parametrize(
    "pair",
    [("a", "a"), ("a", "A"), ("ß/x", "SS/y"), ("a/b", "A/c"), ("a", "a/b"), ("a/b", "a"), ("K", "\u212a".casefold())],
)
def test_names_that_clash(pair: tuple[str, str]) -> None:
    names = NameSet()
    assert names.problem_of(pair[0]) is None
    assert names.problem_of("".join(pair[1]))


def test_folders_may_be_named_before_and_after_what_lies_in_them() -> None:
    names = NameSet()
    assert names.problem_of("a", is_folder=True) is None
    assert names.problem_of("a/b") is None
    assert names.problem_of("a", is_folder=True) is None
    assert names.problem_of("a/b", is_folder=True)


def test_folders_are_counted() -> None:
    names = NameSet()
    problems = [names.problem_of(f"{number}/x") for number in range(MAX_FOLDERS + 1)]
    assert problems[:-1] == [None] * MAX_FOLDERS
    assert problems[-1]
