"""Where the parts of a document stand: the settings between two lines of hyphens, and the body below them."""

from __future__ import annotations

import attrs

from dlm.domain.text import FaultList

FENCE = "---"


@attrs.frozen
class Frame:
    """Where the parts of a document stand: the YAML between the two fences, and the body behind them."""

    yaml_start: int
    yaml_end: int
    body_start: int


def find_frame(text: str, faults: FaultList) -> Frame | None:
    """Find the two lines of three hyphens; None when a fault was added."""
    first = text[:200].partition("\n")[0]
    if first != FENCE:
        near = first.strip() == FENCE
        faults.add(
            "doc.no-frontmatter",
            "the first line must be exactly '---'" + (", without blanks" if near else f", not {first[:40]!r}"),
            1,
            1,
            "Begin with --- and the lines 'dlm_id: …' and 'base_model: …', then --- again. 'dlm init' makes all that.",
        )
        return None
    close = text.find("\n---\n", 3)
    if close < 0 and text.endswith("\n---") and len(text) > len(FENCE):
        close = len(text) - 4
    if close < 0:
        faults.add(
            "doc.open-frontmatter",
            "the settings that begin here are never closed",
            1,
            1,
            "Write a line of exactly three hyphens below the last setting.",
        )
        return None
    return Frame(min(4, len(text)), close + 1, min(close + 5, len(text)))
