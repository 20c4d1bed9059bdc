"""File patterns mean what they say, checked against a slow and plain reading of the same dialect."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlm.domain.globs import MAX_PATTERN_CHARS, BadPatternError, GlobList, spellings


def fits(pattern: str, path: str) -> bool:
    """Read a pattern without braces character by character, trying everything."""
    if not pattern:
        return not path
    if pattern.startswith("**/") and re.match(r"(\*\*/)", pattern):
        folders = [0, *(at + 1 for at, char in enumerate(path) if char == "/")]
        return any(fits(pattern[3:], path[at:]) for at in folders)
    if pattern.startswith("**"):
        return any(_goes_on(pattern[2:], path[at:]) for at in range(len(path) + 1))
    return _goes_on(pattern, path)


def _goes_on(pattern: str, path: str) -> bool:
    """Go on inside a part of a path, where ``**`` is any text."""
    if not pattern:
        return not path
    if pattern.startswith("**"):
        return any(_goes_on(pattern[2:], path[at:]) for at in range(len(path) + 1))
    if pattern[0] == "*":
        stop = (path + "/").index("/")
        return any(_goes_on(pattern[1:], path[at:]) for at in range(stop + 1))
    if not path:
        return False
    if pattern[0] == "/":
        return path[0] == "/" and fits(pattern[1:], path[1:])
    if pattern[0] == "?":
        return path[0] != "/" and _goes_on(pattern[1:], path[1:])
    if pattern[0] == "[":
        end = pattern.index("]")
        members = pattern[1:end]
        wanted = path[0] not in members[1:] if members[0] == "!" else path[0] in members
        return path[0] != "/" and wanted and _goes_on(pattern[end + 1 :], path[1:])
    return path[0] == pattern[0] and _goes_on(pattern[1:], path[1:])


WORDS = st.text("ab.", min_size=1, max_size=3)
PATHS = st.lists(WORDS, min_size=1, max_size=4).map("/".join)
PARTS = st.lists(st.sampled_from(["a", "b", ".", "*", "?", "[ab]", "[!a]", "**"]), min_size=1, max_size=4).map("".join)
PATTERNS = st.lists(st.one_of(st.just("**"), PARTS), min_size=1, max_size=4).map("/".join)


@settings(deadline=None)
@given(PATTERNS, PATHS)
def test_a_pattern_fits_what_a_plain_reading_fits(pattern: str, path: str) -> None:
    if "***" in pattern:
        return  # more than two stars are two, which the plain reading does not know
    assert GlobList([pattern]).matches(path) == fits(pattern, path)


@settings(deadline=None)
@given(st.lists(PATTERNS, max_size=3), PATHS)
def test_a_list_fits_when_one_of_it_does(patterns: list[str], path: str) -> None:
    assert GlobList(patterns).matches(path) == any(GlobList([pattern]).matches(path) for pattern in patterns)


@settings(deadline=None)
@given(PATTERNS, PATHS, st.sampled_from(["a", "b", ".a"]))
def test_a_covered_folder_is_covered_whole(pattern: str, folder: str, name: str) -> None:
    globs = GlobList([pattern])
    if globs.covers(folder, folder.rpartition("/")[2]):
        assert globs.matches(f"{folder}/{name}")
        assert globs.matches(f"{folder}/x/{name}")


@settings(deadline=None)
@given(st.lists(st.text("ab,{}", max_size=4), min_size=1, max_size=3).map("".join))
def test_braces_never_fail_and_stand_for_themselves_without_a_comma(text: str) -> None:
    found = spellings(text)
    if "," not in text or "{" not in text or "}" not in text:
        assert found == (text,)


@pytest.mark.parametrize(
    ("pattern", "fitting", "other"),
    [
        ("**/*.py", "a.py b/c.py b/c/d.py", "a.pyc b.py/c"),
        ("*.py", "a.py", "b/c.py"),
        ("**/.env", ".env a/.env", "foo.env a/foo.env"),
        ("tests/**/x", "tests/x tests/a/x tests/a/b/x", "tests/ax x a/tests/x"),
        ("tests/**", "tests/a tests/a/b", "tests a/tests/b"),
        ("**", "a a/b", ""),
        ("**.md", "a.md b/c.md", "a.md.txt"),
        ("*.{md,rst}", "a.md a.rst", "a.txt a.{md,rst}"),
        ("{src,lib}/**/*.{c,h}", "src/a.c lib/x/y.h", "src/a.py a.c"),
        ("{a,{b,c}}.md", "a.md b.md c.md", "d.md {a.md"),
        ("{a}.md", "{a}.md", "a.md"),
        ("[a-c]?.md", "a1.md c2.md", "d1.md a.md"),
        ("[!a]*", "b bc", "a ab"),
        ("[^a]*", "b", "a"),
        ("[]x]", "] x", "a"),
        ("[z-a]", "", "z a -"),
        ("a[", "a[", "a"),
        ("a+(b)$.md", "a+(b)$.md", "aab.md"),
        ("notes\n.md", "", "notes.md"),
    ],
)
def test_examples(pattern: str, fitting: str, other: str) -> None:
    globs = GlobList([pattern])
    assert [path for path in fitting.split() if not globs.matches(path)] == []
    assert [path for path in other.split() if globs.matches(path)] == []


def test_hostile_patterns_cost_little() -> None:
    began = time.perf_counter()
    for pattern in ("*a" * 200 + "b", "**/a/" * 100 + "b", "**/*a*a*a*a/" * 20 + "b", "a**" * 7 + "b"):
        assert not GlobList([pattern]).matches("a/" * 500 + "a" * 1000)
    assert time.perf_counter() - began < 2


def test_lists_that_stand_for_too_much_are_refused() -> None:
    with pytest.raises(BadPatternError, match="more than 2000 patterns"):
        GlobList(["{a,b}{c,d}x"] * 501)


@pytest.mark.parametrize("pattern", ["{a,b}" * 20, "a**b" * 20, "x" * (MAX_PATTERN_CHARS + 1), "{" + "a," * 300 + "}"])
def test_patterns_that_stand_for_too_much_are_refused(pattern: str) -> None:
    with pytest.raises(BadPatternError):
        GlobList([pattern])
