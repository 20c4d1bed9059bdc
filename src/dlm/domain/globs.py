"""File patterns: the dialect of ``include`` and ``exclude``.

    **/        any number of whole folders, none included
    **         anything, ``/`` included
    *  ?       any run of characters, one character; never ``/``
    [a-c] [!x] one character of a set, or outside it; never ``/``
    {a,b}      one of several texts

Everything else stands for itself. A pattern has to fit the whole path, which is relative and written with ``/``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from dlm.domain.path_regex import one_of, path_regex

MAX_SPELLINGS = 256
"""Plain patterns one pattern may stand for with its braces written out; ``{a,b}`` twenty times would be a million."""

MAX_LIST = 2000
"""Plain patterns in one list; making expressions of that many takes a quarter of a second."""

MAX_PATTERN_CHARS = 1024
"""Longest pattern read: a quarter of the longest path that common systems open."""


_Test = Callable[[str], re.Match[str] | None]


class BadPatternError(ValueError):
    """A pattern that is not read. The text completes the sentence "the pattern … <text>"."""


class GlobList:
    """Several patterns; a path fits when one of them does.

    Patterns that end in ``/**`` speak of everything below a folder. They are kept apart, so that a walk asks about them
    once per folder: ``matches(path)`` is ``matches_itself(path, name) or any(covers(f) for f in folders above path)``.

    Raises:
        BadPatternError: too long, or standing for too many.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        plain = written_out(patterns)
        below = [spelling[: -len("/**")] for spelling in plain if spelling.endswith("/**") and spelling != "/**"]
        rest = [spelling for spelling in plain if not spelling.endswith("/**") or spelling == "/**"]
        names = [spelling[len("**/") :] for spelling in rest if re.fullmatch(r"\*\*/[^/]+", spelling)]
        whole = [spelling for spelling in rest if not re.fullmatch(r"\*\*/[^/]+", spelling)]
        self.is_empty = not plain
        self.fits_everything = "**" in whole or "*" in names
        self._name = _any_of(names)
        self._whole = _any_of(whole)
        self._folder_name = _any_of(f[len("**/") :] for f in below if re.fullmatch(r"\*\*/[^/]+", f))
        self._folder = _any_of(f for f in below if not re.fullmatch(r"\*\*/[^/]+", f))

    def matches(self, path: str) -> bool:
        """Tell whether the path of a file fits."""
        if self.matches_itself(path, path.rpartition("/")[2]):
            return True
        folder = path.rpartition("/")[0]
        while folder:
            if self.covers(folder, folder.rpartition("/")[2]):
                return True
            folder = folder.rpartition("/")[0]
        return False

    def matches_itself(self, path: str, name: str) -> bool:
        """Tell whether the path fits a pattern that does not end in ``/**``. ``name`` is the last part of ``path``."""
        return (
            self.fits_everything
            or (self._name is not None and self._name(name) is not None)
            or (self._whole is not None and self._whole(path) is not None)
        )

    def covers(self, folder: str, name: str) -> bool:
        """Tell whether everything below a folder fits. ``name`` is the last part of ``folder``."""
        return (
            self.fits_everything
            or (self._folder_name is not None and self._folder_name(name) is not None)
            or (self._folder is not None and self._folder(folder) is not None)
        )


def written_out(patterns: Iterable[str]) -> list[str]:
    """Write out the choices of all patterns of a list. See :func:`spellings`.

    Raises:
        BadPatternError: one is not read, or together they are too many.
    """
    plain: list[str] = []
    for pattern in patterns:
        plain += spellings(pattern)
        if len(plain) > MAX_LIST:
            raise BadPatternError(f"is one too many: with it, the list stands for more than {MAX_LIST} patterns")
    return plain


def spellings(pattern: str) -> tuple[str, ...]:
    """Write out the choices of a pattern: braces, and each ``**`` that is only a part of a name.

    ``a**b`` is ``a*b`` or ``a*/**/*b``: with no folder in between, or with some. So ``**`` is always a part by itself,
    and matching never has to try a path more than once for each star.

    Raises:
        BadPatternError: too long, or standing for too many.
    """
    if len(pattern) > MAX_PATTERN_CHARS:
        raise BadPatternError(f"has {len(pattern)} characters; at most {MAX_PATTERN_CHARS} are read")
    found: list[str] = []
    todo = [pattern]
    while todo:
        current = todo.pop()
        choices = _braces(current) or _part_stars(current)
        if choices is None:
            found.append(_tidy(current))
        else:
            todo.extend(reversed(choices))
        if len(found) + len(todo) > MAX_SPELLINGS:
            raise BadPatternError(f"stands for more than {MAX_SPELLINGS} patterns; write fewer {{…}} and **")
    return tuple(dict.fromkeys(found))


def _braces(pattern: str) -> list[str] | None:
    """Write out the first ``{a,b}``; None when there is none. Without a comma or an end, braces are ordinary text."""
    for start in (match.start() for match in re.finditer(r"\{", pattern)):
        depth, cuts = 0, [start]
        for at in range(start, len(pattern)):
            depth += (pattern[at] == "{") - (pattern[at] == "}")
            if pattern[at] == "," and depth == 1:
                cuts.append(at)
            if depth == 0:
                if len(cuts) == 1:
                    break
                cuts.append(at)
                inner = [pattern[a + 1 : b] for a, b in pairwise(cuts)]
                return [pattern[:start] + choice + pattern[at + 1 :] for choice in inner]
    return None


def _part_stars(pattern: str) -> list[str] | None:
    parts = pattern.split("/")
    for index, part in enumerate(parts):
        match = re.search(r"\*\*+", part)
        if match is not None and part.strip("*"):
            before, after = part[: match.start()], part[match.end() :]
            return [
                "/".join([*parts[:index], *middle, *parts[index + 1 :]])
                for middle in ([f"{before}*{after}"], [f"{before}*", "**", f"*{after}"])
            ]
    return None


def _tidy(pattern: str) -> str:
    """Give the shortest pattern of the same meaning: ``**/**/`` is ``**/``, three stars are two."""
    parts = ["**" if re.fullmatch(r"\*\*+", part) else part for part in pattern.split("/")]
    return "/".join(part for part, before in zip(parts, [None, *parts], strict=False) if (part, before) != ("**", "**"))


def _any_of(patterns: Iterable[str]) -> _Test | None:
    texts = [_regex(pattern) for pattern in patterns]
    return re.compile("|".join(texts), re.DOTALL).fullmatch if texts else None


def _regex(pattern: str) -> str:
    return path_regex([None if part == "**" else list(_chunks(part)) for part in pattern.split("/")])


def _chunks(part: str) -> Iterator[str]:
    """Give what stands between the stars of one part of a path, translated."""
    text, at = "", 0
    while at < len(part):
        char = part[at]
        found = _SET.match(part, at) if char == "[" else None
        if char == "*":
            yield text
            text = ""
        elif char == "?":
            text += "[^/]"
        elif found is not None:
            text += _set(found)
            at = found.end() - 1
        else:
            text += re.escape(char)
        at += 1
    yield text


_SET = re.compile(r"\[(?P<no>[!^]?)(?P<members>\]?[^\]]*)\]")


def _set(found: re.Match[str]) -> str:
    members = re.finditer(r"(?s)(.)-(.)|(.)", found["members"])
    ranges = [(item[1], item[2]) if item[1] is not None else (item[3], item[3]) for item in members]
    return one_of(ranges, negated=bool(found["no"]))
