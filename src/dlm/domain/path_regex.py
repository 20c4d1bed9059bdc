"""Regular expressions for paths with stars, written so that matching never has to go back over a path.

A pattern is a list of parts, as a path is. A part is what stands between its stars, each piece translated already; None
is ``**``, any number of parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

Part = Sequence[str] | None


def path_regex(parts: Sequence[Part]) -> str:
    """Translate a pattern; the result is for ``fullmatch`` with ``DOTALL``.

    A star takes the shortest run that lets its neighbour fit, once and for all. That is right because each piece
    between stars has a fixed length, and it keeps the work for each star linear in the length of the path.
    """
    *groups, last = _split_at_double_stars(parts)
    if not groups:
        return _parts(last)
    first, *middle = groups
    text = (_parts(first) + "/") if first else ""
    for group in middle:
        text += f"(?>(?:[^/]+/)*?{_parts(group)}/)"
    return text + (f"(?:[^/]+/)*{_parts(last)}" if last else ".*")


def one_of(ranges: Iterable[tuple[str, str]], *, negated: bool, classes: str = "") -> str:
    """Translate a set of characters; none of them is ever ``/``.

    Args:
        ranges: first and last character; one that runs backwards is empty, as in the shell.
        classes: further members, translated already.
    """
    members = classes + "".join(f"{re.escape(low)}-{re.escape(high)}" for low, high in ranges if low <= high)
    if negated:
        return f"[^/{members}]"
    return f"(?!/)[{members}]" if members else "(?!)"


def _split_at_double_stars(parts: Sequence[Part]) -> list[list[Sequence[str]]]:
    groups: list[list[Sequence[str]]] = [[]]
    for index, part in enumerate(parts):
        if part is not None:
            groups[-1].append(part)
        elif index == 0 or parts[index - 1] is not None:  # "**/**" says no more than "**"
            groups.append([])
    return groups


def _parts(parts: Sequence[Sequence[str]]) -> str:
    return "/".join(map(_part, parts))


def _part(chunks: Sequence[str]) -> str:
    if len(chunks) == 1:
        return chunks[0]
    first, *middle, last = chunks
    return first + "".join(f"(?>[^/]*?{chunk})" for chunk in middle if chunk) + "[^/]*" + last
