"""Reading the pages of the documentation: their fenced blocks, comments, headings and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"

_FENCE = re.compile(r"^(?P<ticks>`{3,})(?P<language>\w*)[ \t]*$")
_COMMENT = re.compile(r"^<!-- (?P<text>.+?) -->$")
_HEADING = re.compile(r"^(#+) (?P<title>.+)$")


@attrs.frozen(kw_only=True)
class Block:
    """A fenced block.

    Args:
        comment: the HTML comment on the line right before it.
        heading: the nearest heading above it.
        line: of its opening fence, from 1.
    """

    language: str
    text: str
    comment: str
    heading: str
    line: int

    def commands(self) -> list[str]:
        """Give the command lines of a shell block, comments left out."""
        lines = [line.strip() for line in self.text.splitlines()]
        if self.language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return [line for line in lines if line and not line.startswith("#")]


def pages(*patterns: str) -> list[Path]:
    """Give the Markdown pages that fit the patterns, in their order."""
    return [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]


def all_pages() -> list[Path]:
    """Give every page people read."""
    return pages("*.md", "docs/**/*.md")


def name_of(page: Path) -> str:
    """Give the name of a page as it is cited."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> Iterator[Block]:
    """Give the fenced blocks of a page in order."""
    comment = heading = ""
    opened: tuple[str, str, int] | None = None
    inside: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if opened is not None:
            if line.rstrip() == opened[0]:
                text = "\n".join(inside) + "\n"
                yield Block(language=opened[1], text=text, comment=comment, heading=heading, line=opened[2])
                opened, inside, comment = None, [], ""
            else:
                inside.append(line)
        elif fence := _FENCE.match(line):
            opened = (fence["ticks"], fence["language"], number)
        elif found := _HEADING.match(line):
            heading, comment = found["title"], ""
        else:
            found = _COMMENT.match(line)
            comment = found["text"] if found else ""
    assert opened is None, f"{page}: the block opened in line {opened and opened[2]} never ends"


def prose(page: Path) -> str:
    """Give a page without its fenced blocks and code spans."""
    text = re.sub(r"^(`{3,})\w*[ \t]*\n.*?^\1[ \t]*$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.sub(r"`[^`\n]+`", "", text)


def links(page: Path) -> list[str]:
    """Give the targets of a page's links and pictures."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))


def anchors(page: Path) -> set[str]:
    """Give the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
