"""Converted bases that are kept: taken again when they are what is wanted, made once, and never taken wrongly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

import cache_child
from cache_child import DATA, KEY
from dlm.adapters.gguf.base_cache import BaseCache, BaseKey
from dlm.adapters.gguf.container import Written
from dlm.domain.errors import DiskError, ExportError
from dlm.domain.events import Event


class _Home:
    """A cache and how often something was converted for it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        self.kept = folder / "cache" / "gguf"
        self.file = self.kept / f"{KEY.digest}.gguf"
        self.record = self.kept / f"{KEY.digest}.json"
        self._number = 0

    @property
    def times(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0

    def place(self, key: BaseKey = KEY, **options: Any) -> Path:
        self._number += 1
        into = self.folder / f"base{self._number}.gguf"
        written = BaseCache(self.folder).place(key, into, lambda path: cache_child.make(path, self.log), **options)
        assert into.read_bytes() == DATA
        assert written == Written(sha256=cache_child.hashlib.sha256(DATA).hexdigest(), size_bytes=len(DATA))
        return into


@pytest.fixture
def home(tmp_path: Path) -> _Home:
    return _Home(tmp_path)


def test_it_is_made_once_and_linked(home: _Home) -> None:
    first, second = home.place(), home.place()
    assert home.times == 1
    assert first.samefile(second)
    assert sorted(path.suffix for path in home.kept.iterdir()) == [".gguf", ".json", ".lock"]


@pytest.mark.parametrize(
    "changes",
    [
        {"base_sha256": "c" * 64},
        {"hf_id": "example/other"},
        {"revision": "0" * 40},
        {"tokenizer_sha256": "c" * 64},
        {"quant": "BF16"},
        {"importance_sha256": "c" * 64},
        {"quantizer": "xllamacpp"},
        {"license": "Apache-2.0"},
        {"converter": "dlm-gguf-0"},
        {"merged": True},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_another_key_is_another_file(changes: dict[str, Any], home: _Home) -> None:
    assert set(attrs.asdict(KEY)) >= set(changes)
    other = attrs.evolve(KEY, **changes)
    first, second = home.place(), home.place(other)
    assert home.times == 2
    assert not first.samefile(second)
    # Nor is it taken under the name of the other.
    home.record.replace(home.kept / f"{other.digest}.json")
    home.place(other)
    assert home.times == 3


def test_every_field_of_the_key_counts() -> None:
    values = [attrs.evolve(KEY, **{field.name: "x"}).digest for field in attrs.fields(BaseKey)]
    assert len({KEY.digest, *values}) == len(values) + 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda home: home.file.write_bytes(DATA[:-1]),
        lambda home: home.file.write_bytes(DATA + b"x"),
        lambda home: home.file.write_bytes(DATA[:-1] + b"x"),
        lambda home: home.file.unlink(),
        lambda home: home.record.unlink(),
        lambda home: home.record.write_bytes(b"{"),
        lambda home: home.record.write_bytes(b"\xff"),
        lambda home: home.record.write_bytes(b"[]"),
        lambda home: home.record.write_text(home.record.read_text().replace("example/tiny", "example/other")),
        lambda home: home.record.write_text(home.record.read_text().replace('"size_bytes": ', '"size_bytes": 1')),
        lambda home: home.record.write_bytes(b" " * 200_000),
    ],
    ids=["short", "long", "changed", "gone", "unnoted", "not-json", "not-text", "list", "foreign", "size", "large"],
)
def test_what_is_not_as_it_was_made_is_made_again(damage: Any, home: _Home) -> None:
    first = home.place()
    damage(home)
    second = home.place()
    assert home.times == 2
    assert not second.samefile(first)
    assert home.place().samefile(second)
    assert home.times == 2


def test_a_change_through_an_exports_link_does_not_get_into_the_next_export(home: _Home) -> None:
    with home.place().open("r+b") as file:
        file.seek(100)
        file.write(b"changed")
    home.place()
    assert home.times == 2


def test_the_same_content_with_another_time_is_taken(home: _Home) -> None:
    home.place()
    os.utime(home.file, ns=(1, 1))
    home.place()
    assert home.times == 1
    assert '"mtime_ns": 1,' in home.record.read_text()


def test_a_copy_where_links_are_not_possible(home: _Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    events: list[Event] = []
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert not home.place(emit=events.append).samefile(home.file)
    assert "is a copy" in str(events)


def test_what_making_raises_passes_and_leaves_nothing(home: _Home, tmp_path: Path) -> None:
    def make(into: Path) -> Written:
        raise ExportError("export.bad-weights", "no")

    with pytest.raises(ExportError, match="no"):
        BaseCache(tmp_path).place(KEY, tmp_path / "base.gguf", make)
    assert [path.suffix for path in home.kept.iterdir()] == [".lock"]
    assert not (tmp_path / "base.gguf").exists()


def test_a_disk_that_is_full_is_said(home: _Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "hardlink_to", full)
    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(DiskError) as caught:
        home.place()
    assert caught.value.code == "disk.full"


def _child(home: _Home, name: str, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, cache_child.__file__, str(home.folder), str(home.folder / name), str(home.log), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_exporters_side_by_side_convert_once(home: _Home) -> None:
    children = [_child(home, f"child{number}.gguf") for number in range(3)]
    assert [child.wait() for child in children] == [0, 0, 0]
    assert home.times == 1
    assert {(home.folder / f"child{number}.gguf").read_bytes() for number in range(3)} == {DATA}
    assert not list(home.kept.glob("*.tmp.*"))
    for child in children:
        child.communicate()


def test_what_a_killed_exporter_left_is_neither_used_nor_kept(home: _Home) -> None:
    child = _child(home, "child.gguf", "hang")
    assert child.stdout is not None
    assert child.stdout.readline() == "half\n"
    other = attrs.evolve(KEY, quant="BF16")
    home.place(other)  # somebody else does not touch what is in the making
    assert len(list(home.kept.glob("*.tmp.*"))) == 1
    child.kill()
    child.communicate()
    home.place(other)  # but does, when its maker is gone
    assert not list(home.kept.glob("*.tmp.*"))
    assert not home.file.exists()
    home.place()
    assert home.times == 3
