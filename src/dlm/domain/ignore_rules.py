"""``.dlm/ignore``: rules with the meaning they have in a ``.gitignore``.

A rule without a slash fits a name at any depth; with one at its start or inside, it counts from the folder that holds
``.dlm``. A slash at the end: folders only. ``!`` brings back, the last rule that fits wins, and what lies below a
folder that is left out cannot be brought back. ``\\`` takes a special character for itself, ``[a-z]`` and
``[[:digit:]]`` are sets, ``**`` between slashes is any number of folders.

Rules come with trees that other people wrote, so the expressions made here match in a time that follows the length of
the path, whatever the rule; see :mod:`dlm.domain.path_regex`.
"""

from __future__ import annotations

import re

import attrs

from dlm.domain.path_regex import Part, one_of, path_regex

FILE_NAME = "ignore"

MAX_RULE_CHARS = 4096
"""Longest rule read, as long as the longest path."""


MAX_RULES = 5000
"""Rules read of one file; making expressions of that many takes a third of a second."""


@attrs.frozen
class Rule:
    """One rule. ``expression`` fits a whole path; ``fixed`` is the folder, ending in ``/``, it can only fit inside."""

    expression: str
    brings_back: bool
    folders_only: bool
    fixed: str


class IgnoreFile:
    """The rules of one file, in the order of their lines. See :class:`dlm.domain.source_rules.IgnoreRules`."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._any = re.compile("|".join(rule.expression for rule in rules), re.DOTALL).fullmatch
        # The last rule that fits wins, so they are asked from the last one on.
        self._rules = tuple((re.compile(rule.expression, re.DOTALL).fullmatch, rule) for rule in reversed(rules))
        self._back = tuple(rule.fixed for rule in rules if rule.brings_back)

    def decide(self, path: str) -> bool | None:
        """Give True: left out; False: brought back; None: no rule fits. The path of a folder ends in ``/``."""
        name = path.removesuffix("/")
        if self._any(name) is None:
            return None
        is_folder = len(name) < len(path)
        fitting = (rule for fits, rule in self._rules if (is_folder or not rule.folders_only) and fits(name))
        rule = next(fitting, None)
        return None if rule is None else not rule.brings_back

    def may_bring_back_below(self, folder: str) -> bool:
        """Tell whether a rule with ``!`` could fit something below ``folder``."""
        below = f"{folder}/" if folder else ""
        return any(fixed.startswith(below) or below.startswith(fixed) for fixed in self._back)


def read_ignore_file(text: str) -> tuple[IgnoreFile | None, int, tuple[str, ...]]:
    """Read the text of an ignore file.

    Returns:
        The rules, None when there are none; how many; and a warning ``line: …`` for each rule that fits nothing.
    """
    rules: list[Rule] = []
    warnings: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if len(rules) == MAX_RULES:
            warnings.insert(0, f"{number}: only the {MAX_RULES} rules above this line are used")
            break
        rule = read_rule(line)
        if rule is not None:
            rules.append(rule)
        else:
            warnings.append(f"{number}: the rule {line.strip()[:60]!r} fits nothing and is left out")
    return (IgnoreFile(tuple(rules)) if rules else None), len(rules), tuple(warnings)


def read_rule(line: str) -> Rule | None:
    """Read one rule; None when it can fit nothing."""
    text = _without_trailing_blanks(line)
    brings_back, text = text.startswith("!"), text.removeprefix("!")
    folders_only, text = text.endswith("/"), text.removesuffix("/")
    is_anchored, text = "/" in text, text.removeprefix("/")
    parts = _parts(text) if text and len(text) <= MAX_RULE_CHARS else None
    if parts is None or [""] in parts:  # nothing, or two slashes in a row
        return None
    if not is_anchored:
        parts = [None, ["", ""] if parts[0] is None else parts[0]]
    return Rule(path_regex(parts), brings_back, folders_only, _fixed(text) if is_anchored else "")


def _without_trailing_blanks(line: str) -> str:
    text = line.rstrip(" \t")
    slashes = len(text) - len(text.rstrip("\\"))
    return line[: len(text) + 1] if slashes % 2 else text


def _fixed(text: str) -> str:
    *folders, _ = text.split("/")
    special = next((at for at, folder in enumerate(folders) if re.search(r"[*?\[\\]", folder)), len(folders))
    return "".join(f"{folder}/" for folder in folders[:special])


def _parts(text: str) -> list[Part] | None:
    """Translate a rule part by part; None when a set is not closed or nothing follows the last ``\\``."""
    parts: list[Part] = []
    chunks: list[str] = []
    start, at, piece = 0, 0, ""
    while at <= len(text):
        char = text[at : at + 1]
        if char in ("/", ""):
            is_double = re.fullmatch(r"\*\*+", text[start:at])
            parts.append(None if is_double else [*chunks, piece])
            start, chunks, piece = at + 1, [], ""
        elif char == "*":
            chunks, piece = [*chunks, piece], ""
        elif char == "?":
            piece += "[^/]"
        elif char == "[":
            found = _set(text, at)
            if found is None:
                return None
            translated, at = found
            piece += translated
        else:
            if char == "\\":
                at += 1
                if at >= len(text):
                    return None
            piece += re.escape(text[at])
        at += 1
    return parts


_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": " \\t-\\r",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}
"""Source: POSIX, locale C."""


def _set(text: str, start: int) -> tuple[str, int] | None:
    """Translate the set that begins at ``start``; also gives the place of its ``]``. None when it is not closed."""
    at = start + 1
    negated = text[at : at + 1] in ("!", "^")
    at += negated
    ranges: list[tuple[str, str]] = []
    first, classes = at, ""
    while at < len(text) and (text[at] != "]" or at == first):
        named = re.compile(r"\[:([a-z]*):\]").match(text, at)
        if named is not None:
            if named[1] not in _CLASSES:
                return None
            classes, at = classes + _CLASSES[named[1]], named.end()
            continue
        low, at = _member(text, at)
        high = low
        if text[at : at + 1] == "-" and text[at + 1 : at + 2] not in ("", "]"):
            high, at = _member(text, at + 1)
        ranges.append((low, high if low <= high else low))  # git keeps the start of a backward range
    if at >= len(text):
        return None
    return one_of(ranges, negated=negated, classes=classes), at


def _member(text: str, at: int) -> tuple[str, int]:
    at += text[at] == "\\" and at + 1 < len(text)
    return text[at], at + 1
