"""The fetched set on disk: swapping it in, crashes in between, damage."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from dlm.adapters.gallery.cache import CacheState, GalleryCache
from dlm.adapters.gallery.gallery import Gallery
from dlm.adapters.http.client import HttpxClient
from dlm.adapters.minisign.verifier import NaclVerifier
from dlm.domain.errors import StoreError, TemplateError
from dlm.domain.events import Event, Note
from dlm.testing.clocks import A_MOMENT, FixedClock
from gallery_site import pair

STATE = CacheState(serial=1, fetched_at=A_MOMENT, index_sha256="a" * 64, signer_key_id="0" * 16, unsigned=False)


@pytest.fixture
def cache(home: Path) -> GalleryCache:
    return GalleryCache(home / "templates-cache")


def gallery_at(home: Path) -> Gallery:
    return Gallery(home=home, http=HttpxClient(), verifier=NaclVerifier(), clock=FixedClock(), dlm_version="0.1.0")


def names(home: Path) -> set[str]:
    return {meta.name for meta in gallery_at(home).entries() if meta.source == "cache"}


def test_what_is_put_in_is_read_back(cache: GalleryCache, home: Path) -> None:
    assert (cache.folder(), cache.state()) == (None, None)
    cache.replace(pair("tea"), STATE)
    assert cache.state() == STATE
    assert names(home) == {"tea"}


class Crash(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("nth", [1, 2])
def test_a_crash_at_either_rename_leaves_one_whole_set(
    cache: GalleryCache, home: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    cache.replace(pair("old"), STATE)
    renames = 0
    real = Path.rename

    def dying(self: Path, target: Path) -> Path:
        nonlocal renames
        renames += 1
        if renames == nth:
            raise Crash
        return real(self, target)

    monkeypatch.setattr(Path, "rename", dying)
    with pytest.raises(Crash):
        cache.replace(pair("new"), STATE)
    assert renames == nth
    monkeypatch.setattr(Path, "rename", real)
    assert names(home) == {"old"}
    cache.sweep()
    assert names(home) == {"old"}
    cache.replace(pair("new"), STATE)
    assert names(home) == {"new"}
    assert [path.name for path in cache.root.iterdir()] == ["current"]


def test_a_rename_that_fails_brings_the_old_set_back(
    cache: GalleryCache, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.replace(pair("old"), STATE)
    real = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name.startswith(".staging-"):
            raise PermissionError(13, "no")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(StoreError):
        cache.replace(pair("new"), STATE)
    assert names(home) == {"old"}
    assert [path.name for path in cache.root.iterdir()] == ["current"]


def test_sweeping_removes_old_leftovers_and_leaves_a_refresh_that_is_under_way(cache: GalleryCache) -> None:
    cache.replace(pair("tea"), STATE)
    for name in (".staging-00000001", ".staging-00000002", ".previous-00000003"):
        (cache.root / name).mkdir()
    long_ago = time.time() - 7200
    os.utime(cache.root / ".staging-00000001", (long_ago, long_ago))
    cache.sweep()
    assert {path.name for path in cache.root.iterdir()} == {"current", ".staging-00000002"}


@pytest.mark.parametrize("text", [None, "", "{}", "[1]", "{" * 10_000, '{"serial": true}', "\udcff"])
def test_a_set_with_a_damaged_state_is_not_used_and_said(cache: GalleryCache, home: Path, text: str | None) -> None:
    cache.replace(pair("tea"), STATE)
    path = cache.root / "current" / "state.json"
    path.unlink()
    if text is not None:
        path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(TemplateError):
        cache.state()
    events: list[Event] = []
    entries = gallery_at(home).entries(emit=events.append)
    assert {meta.source for meta in entries} == {"bundled"}
    assert [event.severity for event in events if isinstance(event, Note)] == ["warning"]


def test_a_damaged_pair_is_left_out_of_the_list_with_a_warning_and_cannot_be_loaded(
    cache: GalleryCache, home: Path
) -> None:
    cache.replace(pair("tea") | pair("bread"), STATE)
    (cache.root / "current" / "tea.dlm").write_text("no document")
    events: list[Event] = []
    gallery = gallery_at(home)
    listed = [meta.name for meta in gallery.entries(emit=events.append) if meta.source == "cache"]
    assert listed == ["bread"]
    assert [event.message for event in events if isinstance(event, Note) and "'tea'" in event.message]
    with pytest.raises(TemplateError, match="tea"):
        gallery.load("tea")


def test_half_a_pair_is_left_out(cache: GalleryCache, home: Path) -> None:
    cache.replace(pair("tea") | pair("bread"), STATE)
    (cache.root / "current" / "tea.dlm").unlink()
    (cache.root / "current" / "bread.meta.yaml").unlink()
    assert names(home) == set()
