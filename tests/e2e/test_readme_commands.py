"""What README.md, docs/start and docs/guides tell people to type works, and prints what they say it prints.

Pages are walked in reading order on one home; the pages of docs/start are one walk in one folder. A ``text`` block
below a block that was run is compared with its output: each line must appear, ``…`` standing for anything. A block
after the comment ``<!-- body of NAME -->`` is what the page tells people to write into that document.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs_pages import ROOT, Block, blocks, name_of, pages
from e2e.shared_home import with_shared_answers

PAGES = [
    ROOT / "README.md",
    *(ROOT / "docs" / "start" / f"{name}.md" for name in ("install", "first-train", "first-prompt")),
    *pages("docs/guides/*.md"),
]
GO_ON = {"export": "README", "share": "README"}
"""Pages that go on with the documents of another."""
RUN = {"bash", "console", "python"}
NOT_RUN = re.compile(r"not run: (installs .+)")

NEEDS_NETWORK = {
    ("docs/guides/templates.md", "dlm train notes.dlm"): "the template's base model would be downloaded",
    (
        "docs/guides/templates.md",
        "DLM_GALLERY_URL=https://gallery.example/dlm dlm templates list --refresh",
    ): "the address stands for a gallery of one's own",
}
"""Single commands that are left out, with the reason; all others are run."""


def test_no_start_page_is_forgotten() -> None:
    assert set(pages("docs/start/*.md")) <= set(PAGES)


def test_blocks_are_left_out_for_a_stated_reason_only() -> None:
    for page in PAGES:
        for block in blocks(page):
            if block.comment.startswith("not run"):
                assert block.language in RUN, (page, block.line)
                assert NOT_RUN.fullmatch(block.comment), f"{name_of(page)}:{block.line}: {block.comment}"


def test_commands_left_out_still_stand_in_their_page() -> None:
    for page, command in NEEDS_NETWORK:
        assert any(command in block.commands() for block in blocks(ROOT / page)), (page, command)


@pytest.mark.model
@pytest.mark.skipif(shutil.which("bash") is None, reason="the pages show commands for bash")
@pytest.mark.timeout(1800)
def test_the_pages_do_what_they_say(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with_shared_answers(tmp_path / "home", tmp_path_factory)
    reader = _Reader(tmp_path)
    for page in PAGES:
        reader.read(page)

    assert reader.n_run >= 10
    assert reader.n_compared >= 10


class _Reader:
    """Somebody who types everything, block after block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = {
            **os.environ,
            "DLM_HOME": str(folder / "home"),
            "HF_HUB_OFFLINE": "1",
            "NO_COLOR": "1",
            "PYTHONWARNINGS": "default",
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        self.n_run = 0
        self.n_compared = 0

    def read(self, page: Path) -> None:
        desk = self._folder / ("start" if page.parent.name == "start" else GO_ON.get(page.stem, page.stem))
        desk.mkdir(exist_ok=True)
        printed: str | None = None
        heading = ""
        for block in blocks(page):
            # Output belongs to the heading under which it was made.
            printed = printed if block.heading == heading else None
            heading = block.heading
            where = f"{name_of(page)}:{block.line}"
            if block.comment.startswith("body of "):
                _write_body(desk / block.comment.removeprefix("body of "), block.text)
            elif block.language in RUN:
                printed = None if NOT_RUN.fullmatch(block.comment) else self._run(page, block, desk, where)
            elif block.language == "text" and printed is not None:
                self._compare(block.text, printed, where)

    def _run(self, page: Path, block: Block, desk: Path, where: str) -> str:
        if block.language == "python":
            words = [sys.executable, "-c", block.text]
        else:
            lines = [line for line in block.commands() if (name_of(page), line) not in NEEDS_NETWORK]
            words = ["bash", "-euo", "pipefail", "-c", "\n".join(lines)]
        done = subprocess.run(words, cwd=desk, env=self._environment, capture_output=True, text=True, check=False)
        printed = done.stdout + done.stderr
        assert done.returncode == 0, f"{where}: exit {done.returncode}\n{printed}"
        self.n_run += 1
        return printed

    def _compare(self, wanted: str, printed: str, where: str) -> None:
        for line in filter(None, map(str.strip, wanted.splitlines())):
            pattern = r"[^\n]*".join(re.escape(part.strip()) + " *" for part in line.split("…"))
            assert re.search(pattern, printed), f"{where}: {line!r} was not printed but\n{printed}"
            self.n_compared += 1


def _write_body(path: Path, body: str) -> None:
    """Replace everything below the settings, as the page asks."""
    head, settings, _ = path.read_text(encoding="utf-8").split("---\n", 2)
    path.write_text(f"{head}---\n{settings}---\n\n{body}", encoding="utf-8")
