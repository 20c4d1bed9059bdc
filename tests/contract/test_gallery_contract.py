"""The gallery in memory and the real one keep the same promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlm.adapters.gallery.cache import CacheState, GalleryCache
from dlm.adapters.gallery.gallery import Gallery
from dlm.adapters.http.client import HttpxClient
from dlm.adapters.minisign.verifier import NaclVerifier
from dlm.domain.templates import RefreshResult
from dlm.testing.clocks import A_MOMENT, FixedClock
from dlm.testing.galleries import GalleryContract, MemoryGallery, a_template
from gallery_site import pair


def real(home: Path) -> Gallery:
    return Gallery(home=home, http=HttpxClient(), verifier=NaclVerifier(), clock=FixedClock(), dlm_version="0.1.0")


def fill(home: Path, *, unsigned: bool) -> None:
    state = CacheState(
        serial=1, fetched_at=A_MOMENT, index_sha256="a" * 64, signer_key_id=None, unsigned=unsigned, signed_serial=None
    )
    GalleryCache(home / "templates-cache").replace(pair("tea") | pair("changelog"), state)


class TestMemoryGallery(GalleryContract):
    @pytest.fixture
    def gallery(self) -> MemoryGallery:
        return MemoryGallery([a_template("tea"), a_template("bread")])


class TestBundledGallery(GalleryContract):
    @pytest.fixture
    def gallery(self, home: Path) -> Gallery:
        return real(home)


class TestFetchedGallery(GalleryContract):
    @pytest.fixture
    def gallery(self, home: Path) -> Gallery:
        fill(home, unsigned=False)
        return real(home)


class TestUnsignedGallery(GalleryContract):
    @pytest.fixture
    def gallery(self, home: Path) -> Gallery:
        fill(home, unsigned=True)
        return real(home)


def test_the_memory_gallery_takes_up_what_a_good_refresh_brings() -> None:
    upcoming = [a_template("tea")]
    good = MemoryGallery([a_template("bread")], upcoming=upcoming)
    assert good.refresh().ok
    assert [meta.name for meta in good.entries()] == ["bread", "tea"]
    offline = MemoryGallery(
        [a_template("bread")], upcoming=upcoming, refreshed=RefreshResult(ok=True, warning=True, message="offline")
    )
    assert offline.refresh().warning
    assert [meta.name for meta in offline.entries()] == ["bread"]
