"""Trees that are hostile, damaged or changing under our hands: nothing hangs, nothing leaks, nothing crashes."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import dlm.adapters.sources.reading as reading
from dlm.adapters.sources import FileSources
from dlm.domain.document import Document
from dlm.domain.errors import SourceError
from dlm.domain.sources import SourceScan
from dlm.testing.sources_contract import ID, paths


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    return folder


def scan(tree: Path, memory: Path | None = None, policy: str = "strict", **directive: Any) -> SourceScan:
    document = Document.new(ID, "tiny", "Prose.", sources=[{"path": ".", **directive}], sources_policy=policy)
    return FileSources(now_ns=lambda: 2**62).scan(document.save(tree / "doc.dlm"), memory=memory)


def test_links_in_circles(tree: Path) -> None:
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "b" / "up").symlink_to("../..")
    (tree / "self").symlink_to("self")
    (tree / "one").symlink_to("two")
    (tree / "two").symlink_to("one")
    (tree / "broken").symlink_to("nowhere")
    (tree / "text.md").write_text("1")
    found = scan(tree, policy="permissive")
    assert paths(found) == ["text.md"]
    assert found.directives[0].skipped_unreadable == 4


def test_a_link_to_everything_is_not_followed(tree: Path) -> None:
    (tree / "root").symlink_to("/")
    (tree / ".dlm").symlink_to("/proc")
    assert paths(scan(tree)) == []


def test_pipes_sockets_and_devices_are_never_opened(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tree / "pipe.md")
    os.mkfifo(tree / "transcript.txt")
    (tree / "transcript.wav").write_bytes(b"sound")
    (tree / "device.md").symlink_to("/dev/zero")
    (tree / ".dlm").mkdir()
    (tree / ".dlm" / "ignore").symlink_to("/dev/zero")
    (tree / ".dlm" / "training.yaml").symlink_to("../pipe.md")
    monkeypatch.chdir(tree)
    opened, found_open = [], os.open
    monkeypatch.setattr(reading.os, "open", lambda path, *rest: opened.append(path) or found_open(path, *rest))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.md")
        began = time.monotonic()
        found = scan(tree, policy="permissive")
    assert time.monotonic() - began < 5
    assert [path for path in opened if str(path).startswith(("/dev", f"{tree}/"))] == []
    assert paths(found) == []
    assert found.directives[0].skipped_unreadable == 4
    assert found.directives[0].skipped_audio_no_transcript == 1


def test_a_pipe_in_place_of_settings_is_not_waited_for(tree: Path) -> None:
    (tree / ".dlm").mkdir()
    os.mkfifo(tree / ".dlm" / "training.yaml")
    os.mkfifo(tree / ".dlm" / "ignore")
    assert len(scan(tree).warnings) == 2


def test_a_file_swapped_for_a_link_after_the_walk_is_not_followed(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tree / "a.md").write_text("secret")
    (file,) = scan(tree).files
    (tree / "a.md").unlink()
    (tree / "a.md").symlink_to("../secret")
    with pytest.raises(SourceError):
        file.read()


def test_a_hundred_thousand_files(tree: Path, tmp_path: Path) -> None:
    """Links to one file on disk are quick to make; each still is a file of its own name."""
    for outer in range(100):
        folder = tree / f"d{outer:02}"
        folder.mkdir()
        for inner in range(1000):
            descriptor = os.open(f"{folder}/{inner:03}.md", os.O_CREAT | os.O_WRONLY)
            os.close(descriptor)
    began = time.monotonic()
    found = scan(tree, memory=tmp_path / "memory")
    assert time.monotonic() - began < 15
    assert found.directives[0].file_count == 100_000
    began = time.monotonic()
    assert len(scan(tree, memory=tmp_path / "memory", max_files=100).files) == 100
    assert time.monotonic() - began < 3


def test_a_tree_deeper_than_any_call_stack(tree: Path) -> None:
    bottom = tree
    for _ in range(1500):
        bottom = bottom / "d"
        bottom.mkdir()
    (bottom / "a.md").write_text("deep")
    found = paths(scan(tree))
    (bottom / "a.md").unlink()
    while bottom != tree:  # or whoever clears the folder of this test run away calls itself 1,500 times
        bottom.rmdir()
        bottom = bottom.parent
    assert found == ["d/" * 1500 + "a.md"]


def test_a_giant_file_is_not_read(tree: Path) -> None:
    for name, head in (("sparse.bin", b""), ("sparse.md", b"text" * 1024), ("sound.wav", b""), ("sound.txt", b"words")):
        with (tree / name).open("wb") as file:
            file.write(head)
            if name != "sound.txt":
                file.truncate(2**40)
    began = time.monotonic()
    with no_more_memory_than(2**30):
        found = scan(tree, max_bytes_per_file=2**20)
        assert paths(found) == ["sound.txt"]
        assert found.directives[0].skipped_over_size == 3
        (tree / "sound.wav").unlink()
        (tree / "sparse.md").unlink()
        assert scan(tree).directives[0].skipped_binary == 1
    assert time.monotonic() - began < 5


@contextmanager
def no_more_memory_than(more: int) -> Iterator[None]:
    """Let the block take ``more`` bytes beyond what this process has mapped; a taller request is a ``MemoryError``."""
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (mapped + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_a_text_that_never_ends_is_left_at_the_limit(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlm.adapters.sources.directive.MAX_TEXT_BYTES", 1000)
    (tree / "long.md").write_text("x" * 1001)
    found = scan(tree)
    assert found.directives[0].skipped_over_size == 1
    assert "has more than 1000 bytes" in found.warnings[0]


def test_what_may_not_be_read_is_counted(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "closed").mkdir()
    (tree / "a.md").write_text("1")
    (tree / "b.md").write_text("2")
    (tree / "c.png").write_bytes(b"3")
    opened, listed = os.open, os.scandir

    def refuse(path: Any, *rest: Any, **named: Any) -> Any:
        if str(path).endswith(("a.md", "c.png", "closed")):
            raise PermissionError(13, "Permission denied")
        return opened(path, *rest, **named)

    monkeypatch.setattr(reading.os, "open", refuse)
    monkeypatch.setattr(os, "scandir", lambda path: refuse(path) if str(path).endswith("closed") else listed(path))
    found = scan(tree)
    assert paths(found) == ["b.md"]
    assert found.directives[0].skipped_unreadable == 3
    assert all("Permission denied" in warning for warning in found.warnings)


@pytest.mark.parametrize("step", range(1, 8))
def test_files_that_vanish_at_any_moment(tree: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    for name in ("a.md", "b.wav", "b.txt", "c.png", "sub/d.md"):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_text("x")
    opened, moments = os.open, iter(range(1, 100))

    def vanish(path: Any, *rest: Any, **named: Any) -> int:
        if "tree" in str(path) and next(moments) == step:
            for name in ("a.md", "b.wav", "b.txt", "c.png", "sub/d.md"):
                (tree / name).unlink(missing_ok=True)
            (tree / "sub").rmdir()
        return opened(path, *rest, **named)

    monkeypatch.setattr(reading.os, "open", vanish)
    found = scan(tree)
    for file in found.files:
        if file.location.exists():
            file.read()
        else:
            with pytest.raises(SourceError, match="changed while training was being prepared"):
                file.read()


def test_a_file_that_changes_while_it_is_read_has_facts_that_agree(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "a.md").write_text("before")
    read = os.read

    def grow(descriptor: int, count: int) -> bytes:
        data = read(descriptor, count)
        if data == b"before":
            (tree / "a.md").write_text("before and after")
        return data

    monkeypatch.setattr(reading.os, "read", grow)
    (file,) = scan(tree, memory=tmp_path / "memory").files
    assert file.size == len("before and after")
    assert file.read() == "before and after"
    (again,) = scan(tree, memory=tmp_path / "memory").files
    assert again == file


def test_names_that_are_no_text(tree: Path, tmp_path: Path) -> None:
    names = [b"caf\xe9.md", b"new\nline.md", b"tab\t\x1b[31m.md", b"*.md", b"-rf.md", b"CON.md"]
    for name in names:
        with open(os.path.join(os.fsencode(tree), name), "wb") as file:  # noqa: PTH118, PTH123
            file.write(b"text of " + name.hex().encode())
    (tree / os.fsdecode(b"s\xff")).mkdir()
    (tree / os.fsdecode(b"s\xff") / "a.bin").write_bytes(b"\xff")
    for memory in (None, tmp_path / "memory", tmp_path / "memory"):
        found = scan(tree, memory)
        assert len(found.files) == len(names)
        for file in found.files:
            assert file.path.encode()
            assert file.read().startswith("text of ")
        "".join(found.warnings).encode()
        assert {"caf\\udce9.md", "new\nline.md"} <= set(paths(found))


HOSTILE_YAML = [
    "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n",
    "metadata: " + "{a: " * 5000 + "1" + "}" * 5000,
    "include: " + "[" * 100_000,
    "metadata:\n" + "".join(f"  k{number}: v\n" for number in range(100_000)),
    "!!python/object/apply:os.system ['true']\n",
    "include: ['" + "{a,b}" * 100 + "']\n",
    "include: ['" + "*a" * 500 + "']\nmetadata: {\x00: 1}\n",
    "%YAML 9.9\n---\n{}\n",
    "? [a]\n: b\n",
    "\x85\u2028: 1\n",
    "weights: {a: {b: " + "9" * 100_000 + "}}\n",
]


@pytest.mark.parametrize("text", HOSTILE_YAML, ids=range(len(HOSTILE_YAML)))
def test_hostile_settings_are_told_and_forgotten(tree: Path, text: str) -> None:
    (tree / ".dlm").mkdir()
    (tree / ".dlm" / "training.yaml").write_text(text)
    (tree / ".dlm" / "ignore").write_text("no.md\n")
    (tree / "a.md").write_text("1")
    (tree / "no.md").write_text("2")
    began = time.monotonic()
    found = scan(tree)
    assert time.monotonic() - began < 5
    assert paths(found) == ["a.md"]
    (warning,) = found.warnings
    assert "training.yaml" in warning
    assert len(warning) < 5000


@pytest.mark.parametrize(
    "text",
    ["!\n/\n//\n!/\n", "[\n\\\n", "*" * 5000, "a/**/" * 500, "[z-a]\n[[:alpha:]]\n[!]\n", "\x00\n\ufeff#\n", "!!!\n"],
)
def test_nonsense_ignore_rules_do_no_harm(tree: Path, text: str) -> None:
    (tree / ".dlm").mkdir()
    (tree / ".dlm" / "ignore").write_text(text)
    (tree / "text.md").write_text("1")
    assert paths(scan(tree)) in (["text.md"], [])


def test_a_pattern_that_would_take_for_ever_elsewhere(tree: Path) -> None:
    (tree / ".dlm").mkdir()
    (tree / ".dlm" / "training.yaml").write_text("exclude: ['" + "*a" * 100 + "b', '" + "**/a*a*/" * 50 + "b']\n")
    (tree / ("a" * 200)).write_text("1")
    began = time.monotonic()
    assert len(scan(tree).files) == 1
    assert time.monotonic() - began < 2


def test_ten_thousand_warnings_are_a_few(tree: Path) -> None:
    for number in range(500):
        (tree / f"{number}.md").write_bytes(b"\xff")
    found = scan(tree)
    assert found.directives[0].skipped_encoding == 500
    assert len(found.warnings) == 21
    assert found.warnings[-1].startswith("480 more")
