"""``.dlm/ignore``: the rules of a ``.gitignore``, read by the package pathspec."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec


class IgnoreFile:
    """The rules of one file. See :class:`dlm.domain.source_rules.IgnoreRules`."""

    def __init__(self, rules: tuple[str, ...]) -> None:
        from pathspec import GitIgnoreSpec

        # "a/**/" is the folders below a; pathspec takes it for "a/", so it is spelled out.
        spelled = [re.sub(r"/\*\*/\s*$", "/**/*/", rule) for rule in rules]
        patterns = [pattern for pattern in GitIgnoreSpec.from_lines(spelled).patterns if pattern.include is not None]
        # The last rule that fits wins, so they are asked from the last one on.
        self._rules = tuple((pattern.regex.search, pattern.include) for pattern in reversed(patterns))
        self._negated = tuple(_fixed_folder(rule[1:]) for rule in rules if rule.startswith("!"))

    def decide(self, path: str) -> bool | None:
        """Give True: left out; False: brought back by a rule with ``!``; None: no rule fits."""
        for search, include in self._rules:
            match = search(path)
            if match is not None and _is_meant(match, path):
                return include
        return None

    def may_bring_back_below(self, folder: str) -> bool:
        """Tell whether a rule with ``!`` could fit something below ``folder``."""
        below = f"{folder}/" if folder else ""
        return any(fixed.startswith(below) or below.startswith(fixed) for fixed in self._negated)


def _is_meant(match: re.Match[str], path: str) -> bool:
    """Tell whether a rule fits the path itself and not only a folder above it.

    pathspec's expressions also fit whatever lies below a folder they fit. The walk carries that verdict down by itself,
    and git lets a rule that fits directly win over a later one that fits a folder above.
    """
    expression = match.re.pattern
    if expression == ".":
        return True
    if expression == _ANY_FOLDER:
        return path.endswith("/")
    if expression == "/":
        return "/" in path[:-1]
    if expression.endswith("/"):
        return match.end() < len(path)
    end = match.start(_BELOW) if _BELOW in match.re.groupindex else -1
    return end in (-1, len(path) - 1)


_BELOW = "ps_d"
_ANY_FOLDER = f"(?P<{_BELOW}>/)"


def read_ignore_file(text: str) -> tuple[IgnoreFile | None, int, tuple[str, ...]]:
    """Read the text of an ignore file.

    Returns:
        The rules, None when there are none; how many; and a warning ``line: …`` for each rule that means nothing.
    """
    rules: list[str] = []
    warnings: list[str] = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if _means_something(line):
            rules.append(line)
        else:
            warnings.append(f"{number}: the rule {line.strip()[:60]!r} fits nothing and is left out")
    return (IgnoreFile(tuple(rules)) if rules else None), len(rules), tuple(warnings)


def _means_something(rule: str) -> bool:
    from pathspec import GitIgnoreSpec

    if not rule.strip().lstrip("!").strip("/"):
        return False
    try:
        return any(pattern.include is not None for pattern in GitIgnoreSpec.from_lines([rule]).patterns)
    except (ValueError, re.error):
        return False


def _fixed_folder(rule: str) -> str:
    """Give the folder, ending in ``/``, that every path the rule fits lies in; empty for anywhere."""
    *folders, _ = rule.strip().rstrip("/").lstrip("/").split("/")
    if "/" not in rule.strip().rstrip("/"):
        return ""
    fixed = ""
    for folder in folders:
        if re.search(r"[*?\[\\]", folder):
            break
        fixed += f"{folder}/"
    return fixed
