"""Sources on disk: folders' own settings, media, links, limits, and what is remembered between scans."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dlm.adapters.sources.directive as directive_module
from dlm.adapters.sources import FileSources
from dlm.domain.document import Document
from dlm.domain.errors import SourceError
from dlm.domain.ignore_rules import read_ignore_file
from dlm.domain.sections import media_section_id
from dlm.domain.source_rules import ROOT, Scope, is_learned, judge_folder
from dlm.domain.sources import SourceScan
from dlm.testing.sources_contract import ID, paths


class Place:
    """A folder with a document that learns it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.memory = folder.parent / "memory"
        self.now_ns = 2**62

    def put(self, tree: Mapping[str, str | bytes]) -> None:
        for path, data in tree.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_bytes(data if isinstance(data, bytes) else data.encode())

    def document(self, *directives: Mapping[str, Any], policy: str = "strict", at: str = "doc.dlm") -> Document:
        entries = [dict(entry) for entry in directives or ({"path": "."},)]
        document = Document.new(ID, "tiny", "Prose.", sources=entries, sources_policy=policy)
        (self.folder / at).parent.mkdir(parents=True, exist_ok=True)
        return document.save(self.folder / at)

    def scan(self, *directives: Mapping[str, Any], remembering: bool = False, **options: str) -> SourceScan:
        document = self.document(*directives, **options)
        sources = FileSources(now_ns=lambda: self.now_ns)
        return sources.scan(document, memory=self.memory if remembering else None)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "tree").mkdir()
    return Place(tmp_path / "tree")


class TestWhereItLooks:
    def test_the_document_is_not_learned_from_itself(self, place: Place) -> None:
        place.put({"a.md": "1", "other.dlm": "2"})
        assert paths(place.scan()) == ["a.md", "other.dlm"]
        assert paths(place.scan({"path": "doc.dlm"})) == []

    def test_a_document_in_a_settings_folder_counts_from_the_folder_above(self, place: Place) -> None:
        place.put({"a.md": "1", ".dlm/notes.md": "2"})
        assert paths(place.scan(at=".dlm/corpus.dlm")) == ["a.md"]

    def test_a_file_is_taken_alone(self, place: Place) -> None:
        place.put({"sub/build/a.pyc": "text", "sub/.dlm/training.yaml": "metadata: {a: b}"})
        (file,) = place.scan({"path": "sub/build/a.pyc", "include": ["*.md"]}).files
        assert (file.path, file.read(), dict(file.tags)) == ("a.pyc", "text", {})

    def test_a_path_may_start_at_home(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        place.put({"a.md": "1"})
        monkeypatch.setenv("HOME", str(place.folder))
        assert paths(place.scan({"path": "~"})) == ["a.md"]
        assert place.scan({"path": "~"}).directives[0].path == "~"

    def test_outside_is_an_error_under_strict_and_fine_under_permissive(self, place: Place, tmp_path: Path) -> None:
        (tmp_path / "else").mkdir()
        (tmp_path / "else" / "a.md").write_text("1")
        for path in ("../else", str(tmp_path / "else"), "../else/a.md"):
            with pytest.raises(SourceError) as caught:
                place.scan({"path": "."}, {"path": path})
            assert caught.value.code == "sources.outside"
            assert str(caught.value.place).startswith(f"{place.folder / 'doc.dlm'}:")
            assert (
                place.folder.joinpath("doc.dlm")
                .read_text()
                .splitlines()[caught.value.place.line - 1]
                .endswith(  # type: ignore[union-attr, operator]
                    f"path: {path}"
                )
            )
            scan = place.scan({"path": path}, policy="permissive")
            assert (paths(scan), scan.warnings) == (["a.md"], ())

    def test_missing_and_odd_paths_are_errors(self, place: Place) -> None:
        os.mkfifo(place.folder / "pipe")
        (place.folder / "loop").symlink_to("loop")
        for path, code in (("x", "missing"), ("pipe", "not-a-file"), ("loop", "unreadable"), ("\0", "unreadable")):
            with pytest.raises(SourceError) as caught:
                place.scan({"path": path})
            assert caught.value.code == f"sources.{code}"
            assert caught.value.hint
        with pytest.raises(SourceError) as caught:
            place.scan({"path": ".", "include": ["{a,b}" * 30]})
        assert caught.value.code == "sources.pattern"

    def test_a_document_in_memory_counts_from_the_working_folder(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place.put({"notes/a.md": "1"})
        monkeypatch.chdir(place.folder)
        document = Document.new(ID, "tiny", "Prose.", sources=[{"path": "notes"}])
        assert paths(FileSources().scan(document)) == ["a.md"]


class TestSettingsOfFolders:
    def test_settings_hold_below_their_folder_only(self, place: Place) -> None:
        place.put(
            {
                ".dlm/training.yaml": "metadata: {kind: note}\nweights: {kind: {note: 1, draft: 0.5, junk: 0}}\n",
                "a.md": "1",
                "drafts/.dlm/training.yaml": "metadata: {kind: draft}\n",
                "drafts/b.md": "2",
                "junk/.dlm/training.yaml": "metadata: {kind: junk}\n",
                "junk/c.md": "3",
                "other/.dlm/training.yaml": "weights: {kind: {note: 3}}\ninclude: ['*.txt']\n",
                "other/d.md": "4",
                "other/e.txt": "5",
            }
        )
        scan = place.scan()
        assert {file.path: (file.weight, dict(file.tags)) for file in scan.files} == {
            "a.md": (1.0, {"kind": "note"}),
            "drafts/b.md": (0.5, {"kind": "draft"}),
            "other/e.txt": (3.0, {"kind": "note"}),
        }
        assert scan.weight_distribution == {"kind": {"draft": 1, "note": 2}}
        assert scan.directives[0].skipped_by_descent == 2
        assert [config.anchor for config in scan.configs] == [".", "drafts", "junk", "other"]
        assert scan.configs[3].include == ("*.txt",)

    def test_a_broken_settings_file_is_told_and_the_ignore_file_beside_it_holds(self, place: Place) -> None:
        place.put(
            {
                ".dlm/training.yaml": "exclude:\n- b.md\nincldue: []\n",
                ".dlm/ignore": "/a.md\n!\n",
                "a.md": "1",
                "b.md": "2",
            }
        )
        scan = place.scan()
        assert paths(scan) == ["b.md"]
        (config,) = scan.configs
        assert (config.has_training_yaml, config.has_ignore, config.ignore_rules) == (False, True, 1)
        yaml, rule = scan.warnings
        assert "training.yaml:3:1: unknown key 'incldue'; did you mean 'include'?" in yaml
        assert f"{place.folder / '.dlm' / 'ignore'}:2: the rule '!' fits nothing" in rule

    def test_ignore_files_bring_back_what_is_left_out(self, place: Place) -> None:
        place.put(
            {
                ".dlm/ignore": "*.log\nlogs/\n!build/keep/\n",
                "a.log": "1",
                "build/keep/b.md": "2",
                "build/c.md": "3",
                "logs/d.md": "4",
                "sub/.dlm/ignore": "!a.log\n",
                "sub/a.log": "5",
                "dist/.dlm/ignore": "!*\n",
                "dist/e.md": "6",
            }
        )
        assert paths(place.scan()) == ["build/keep/b.md", "dist/e.md", "sub/a.log"]

    def test_folders_that_are_left_out_are_not_opened(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        place.put({"a.md": "1", "node_modules/x/b.md": "2", "old/c.md": "3", ".dlm/ignore": "!/docs/build/keep.md\n"})
        place.put({"docs/build/keep.md": "4", "docs/build/other.md": "5"})
        opened: list[str] = []
        scandir = os.scandir
        monkeypatch.setattr("os.scandir", lambda path: opened.append(str(path)) or scandir(path))
        assert paths(place.scan({"path": ".", "exclude": ["old/**"]})) == ["a.md", "docs/build/keep.md"]
        below = [path for path in map(Path, opened) if path.is_relative_to(place.folder)]
        assert [path.name for path in below] == ["tree", "docs", "build"]

    def test_settings_that_are_no_plain_text_are_told(self, place: Place) -> None:
        place.put({"a/.dlm/training.yaml": b"\xff", "b/.dlm/ignore": b"x" * 2_000_000, "a.md": "1"})
        (place.folder / "c" / ".dlm" / "ignore").mkdir(parents=True)
        scan = place.scan()
        assert paths(scan) == ["a.md"]
        assert [warning.partition(",")[0].rpartition("tree/")[2] for warning in scan.warnings] == [
            "a/.dlm/training.yaml is not used",
            "b/.dlm/ignore is not used",
            "c/.dlm/ignore is not used",
        ]


class TestMedia:
    def test_images_and_sounds_become_files_of_their_kind(self, place: Place) -> None:
        place.put({"a.PNG": b"\0png", "b.wav": b"\0wav", "b.txt": "\ufeff Good morning.\r\n", "c.txt": "prose"})
        scan = place.scan()
        image, sound, text = scan.files
        assert (image.kind, image.path, image.transcript, image.read()) == ("image", "a.PNG", None, "")
        assert image.section_id == media_section_id("image", "a.PNG", image.sha256)
        assert (sound.kind, sound.transcript, sound.read()) == ("audio", "Good morning.", "Good morning.")
        assert text.path == "c.txt"
        (counts,) = scan.directives
        assert (counts.image_count, counts.image_bytes, counts.audio_count, counts.audio_bytes) == (1, 4, 1, 4)
        assert (counts.file_count, counts.skipped_audio_no_transcript) == (1, 0)

    def test_a_transcript_is_prose_only_where_no_sound_is_learned(self, place: Place) -> None:
        place.put(
            {"a.ogg": b"1", "b.flac": b"2", "b.txt": "  \n", "c.wav": b"long sound", "c.txt": "c", "d.mp3": b"\0"}
        )
        place.put({"e/x.wav": b"3", "e/x.txt": "x"})
        scan = place.scan({"path": ".", "exclude": ["e/*.wav"], "max_bytes_per_file": 5})
        assert paths(scan) == ["b.txt", "c.txt", "e/x.txt"]
        assert scan.directives[0].skipped_audio_no_transcript == 2
        assert scan.directives[0].skipped_over_size == 1

    def test_changed_media_are_refused(self, place: Place) -> None:
        place.put({"a.png": b"1"})
        (file,) = place.scan().files
        place.put({"a.png": b"2"})
        with pytest.raises(SourceError, match="changed while training was being prepared"):
            file.read()


class TestLinks:
    def test_a_link_out_is_an_error_under_strict_and_a_warning_else(self, place: Place, tmp_path: Path) -> None:
        (tmp_path / "secret.md").write_text("s")
        (tmp_path / "secret2.md").write_text("t")
        (place.folder / "a.md").symlink_to("../secret.md")
        (place.folder / "b.md").symlink_to(tmp_path / "secret2.md")
        with pytest.raises(SourceError) as caught:
            place.scan()
        assert caught.value.code == "sources.link-outside"
        assert str(caught.value.place) == str(place.folder / "a.md")
        assert paths(place.scan({"path": ".", "exclude": ["*.md"]})) == []
        scan = place.scan(policy="permissive")
        assert paths(scan) == ["a.md", "b.md"]
        assert len(scan.warnings) == 1

    def test_a_root_that_is_a_link_out_is_treated_like_one(self, place: Place, tmp_path: Path) -> None:
        (tmp_path / "far").mkdir()
        (tmp_path / "far" / "a.md").write_text("1")
        (tmp_path / "far" / "b.md").symlink_to("a.md")
        (place.folder / "near").symlink_to("../far")
        with pytest.raises(SourceError) as caught:
            place.scan({"path": "near"})
        assert caught.value.code == "sources.outside"
        scan = place.scan({"path": "near"}, policy="permissive")
        assert paths(scan) == ["a.md"]
        assert len(scan.warnings) == 1

    def test_a_link_inside_gives_its_file_once(self, place: Place) -> None:
        place.put({"b.md": "1", "sub/c.md": "2"})
        (place.folder / "a.md").symlink_to("b.md")
        (place.folder / "z.md").symlink_to("sub/c.md")
        scan = place.scan()
        assert paths(scan) == ["a.md", "sub/c.md"]
        assert scan.files[0].location == place.folder / "b.md"

    def test_links_to_folders_are_not_followed_and_told_once(self, place: Place, tmp_path: Path) -> None:
        place.put({"a.md": "1", "real/b.md": "2"})
        (place.folder / "loop").symlink_to(".")
        (place.folder / "other").symlink_to("real")
        (place.folder / "node_modules").symlink_to("real")
        scan = place.scan()
        assert paths(scan) == ["a.md", "real/b.md"]
        (warning,) = scan.warnings
        assert "2 links to folders are not followed" in warning

    def test_a_transcript_that_leads_out_is_a_link_like_others(self, place: Place, tmp_path: Path) -> None:
        (tmp_path / "secret.txt").write_text("s")
        place.put({"a.wav": b"1"})
        (place.folder / "a.txt").symlink_to("../secret.txt")
        with pytest.raises(SourceError, match="outside"):
            place.scan()


class TestMemoryOfScans:
    def counting(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        read: list[str] = []
        look = directive_module.look_at_text
        monkeypatch.setattr(
            directive_module, "look_at_text", lambda at, path, limit: read.append(path) or look(at, path, limit)
        )
        return read

    def test_only_what_changed_is_read_again(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        read = self.counting(monkeypatch)
        place.put({"a.md": "1", "b.bin": b"\0", "c.md": b"\xff", "d.png": b"\0"})
        first = place.scan(remembering=True)
        assert read == ["a.md", "b.bin", "c.md"]
        written = place.memory.stat().st_mtime_ns
        assert place.scan(remembering=True) == first
        assert read == ["a.md", "b.bin", "c.md"]
        assert place.memory.stat().st_mtime_ns == written
        place.put({"a.md": "2"})
        assert place.scan(remembering=True).files[0].read() == "2"
        assert read[3:] == ["a.md"]

    def test_a_file_changed_just_now_is_not_trusted(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        read = self.counting(monkeypatch)
        place.put({"a.md": "1"})
        changed = (place.folder / "a.md").stat().st_mtime_ns
        for place.now_ns in (changed, changed + 1_900_000_000, changed - 10**12, 0, changed + 2_100_000_000):
            place.scan(remembering=True)
        assert read == ["a.md"] * 5
        place.scan(remembering=True)
        assert read == ["a.md"] * 5

    def test_an_edit_that_keeps_size_and_time_is_seen(self, place: Place) -> None:
        place.put({"a.md": "1"})
        before = (place.folder / "a.md").stat()
        place.scan(remembering=True)
        place.put({"a.md": "2"})
        os.utime(place.folder / "a.md", ns=(before.st_atime_ns, before.st_mtime_ns))
        (file,) = place.scan(remembering=True).files
        assert file.read() == "2"

    def test_roots_do_not_mix(self, place: Place) -> None:
        place.put({"a/x.md": "1", "b/x.md": "2"})
        place.scan({"path": "a"}, remembering=True)
        assert place.scan({"path": "b"}, remembering=True).files[0].read() == "2"
        assert paths(place.scan({"path": "."}, remembering=True)) == ["a/x.md", "b/x.md"]

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{}x" * 64 + b"\n{}",
            None,
            b"[1]",
            b'{"version": 2, "roots": {}}',
            b'{"version": 1, "roots": 3}',
            b"[" * 100_000,
            b'{"version":1,"roots":{"ROOT":5}}',
            b'{"version":1,"roots":{"ROOT":{"a.md":[1,2]}}}',
            b'{"version":1,"roots":{"ROOT":{"a.md":null}}}',
        ],
    )
    def test_a_damaged_memory_begins_anew(self, place: Place, content: bytes | None) -> None:
        import hashlib

        place.put({"a.md": "1"})
        plain = place.scan(remembering=True)
        if content is None:
            place.memory.unlink()
            place.memory.mkdir()
            scan = place.scan(remembering=True)
            assert "could not be kept" in scan.warnings[0]
            return
        for sealed in (False, True):
            body = content.replace(b"ROOT", str(place.folder).encode())
            place.memory.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body if sealed else body)
            assert place.scan(remembering=True) == plain
            assert json.loads(place.memory.read_bytes().partition(b"\n")[2])["version"] == 1

    def test_a_memory_that_was_wrong_is_dropped_when_that_shows(self, place: Place) -> None:
        import hashlib

        place.put({"a.md": "1"})
        place.scan(remembering=True)
        body = place.memory.read_bytes().partition(b"\n")[2].replace(b'"text","', b'"text","0')
        place.memory.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        (file,) = place.scan(remembering=True).files
        with pytest.raises(SourceError):
            file.read()
        assert not place.memory.exists()

    def test_a_scan_asked_not_to_remember_writes_nothing(self, place: Place) -> None:
        place.put({"a.md": "1"})
        FileSources(now_ns=lambda: place.now_ns).scan(place.document(), memory=place.memory, remember=False)
        assert not place.memory.exists()


# Not "a**/b": git cuts off the "a" first and so reads it as "a" with "**/b" behind, against its manual.
RULE_PARTS = st.sampled_from(
    [
        "a",
        "b",
        "ab",
        "*",
        "a*",
        "*.txt",
        "?",
        "**",
        "**a",
        "c.txt",
        "[ab]",
        "[!a]",
        "[[:alpha:]]*",
        "[b-a]",
        "\\!x",
        "x y",
    ]
)
RULES = st.builds(
    lambda no, root, parts, folder: f"{no}{root}{'/'.join(parts)}{folder}",
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "", "/"]),
    st.lists(RULE_PARTS, min_size=1, max_size=3),
    st.sampled_from(["", "", "/"]),
)
FILES = st.lists(st.sampled_from(["a", "b", "ab", "c.txt", "a.txt", "!x", "x y"]), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.lists(RULES, min_size=1, max_size=4), st.lists(FILES.map("/".join), min_size=1, max_size=12, unique=True))
def test_ignore_files_mean_what_git_takes_them_for(rules: list[str], files: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _compare_with_git(Path(folder), rules, files)


def _compare_with_git(folder: Path, rules: list[str], files: list[str]) -> None:
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    (folder / ".gitignore").write_text("\n".join(rules) + "\n")
    made = [path for path in files if _made(folder / path)]
    git = subprocess.run(
        ["git", "-C", str(folder), "check-ignore", "--stdin", "--no-index", "-z"],
        input="".join(f"{path}\0" for path in made),
        capture_output=True,
        text=True,
        check=False,
    )
    ignore, _, _ = read_ignore_file("\n".join(rules))
    scope = Scope.of_directive(["**/*"], []).inside("", None, ignore)
    assert {path for path in made if not _is_learned(path, scope)} == set(git.stdout.split("\0")) - {""}


def _made(path: Path) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError:
        return False  # a file stands where a folder is needed
    return path.is_file()


def _is_learned(path: str, scope: Scope) -> bool:
    verdict, parts = ROOT, path.split("/")
    for depth in range(1, len(parts)):
        verdict = judge_folder("/".join(parts[:depth]), parts[depth - 1], verdict, scope)
        if verdict.decided is True:
            return False
    return is_learned(path, parts[-1], verdict, scope)


@pytest.mark.parametrize("rule", ["!", "/", "!/", "//", "[a", "\\", "!a//b", "[[:no:]]"])
def test_rules_that_mean_nothing_are_told(rule: str) -> None:
    ignore, count, warnings = read_ignore_file(f"# a comment\n\n{rule}\n")
    assert (ignore, count) == (None, 0)
    assert warnings == (f"3: the rule {rule!r} fits nothing and is left out",)


def test_too_many_rules_are_told_first() -> None:
    ignore, count, warnings = read_ignore_file("!\n" + "a\n" * 5001)
    assert ignore is not None
    assert (count, warnings[0]) == (5000, "5002: only the 5000 rules above this line are used")


def test_blanks_and_marks_in_rules() -> None:
    ignore, count, _ = read_ignore_file("a  \n b\nc\\ \n\\#d\n\\!e\n#f\n\t\n")
    assert ignore is not None
    assert count == 5
    assert [path for path in ("a", " b", "b", "c ", "c", "#d", "!e", "#f") if ignore.decide(path)] == [
        "a",
        " b",
        "c ",
        "#d",
        "!e",
    ]


def test_hostile_rules_cost_little() -> None:
    rules = ["*a" * 500 + "b", "**/a*a/" * 200 + "b", "/" + "a*/" * 300 + "b"]
    began = time.perf_counter()
    ignore, _, _ = read_ignore_file("\n".join(rules))
    assert ignore is not None
    assert ignore.decide("a/" * 300 + "a" * 255) is None
    assert time.perf_counter() - began < 2
