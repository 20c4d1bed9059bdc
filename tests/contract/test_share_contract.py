"""Every way of sharing, and the fake, keep the same promises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dlm.adapters.share import HttpShare, HubShare, PathShare
from dlm.domain.share import Address, parse_address
from dlm.ports.share import SharePort
from dlm.testing.share_contract import ShareContract
from dlm.testing.shares import FakeShare
from share_hub_server import WritableHub, writable_hub
from share_site import Site, served


def address(text: str) -> Address:
    return parse_address(text, exists=lambda _: False)


class TestFakeShare(ShareContract):
    @pytest.fixture
    def share(self) -> SharePort:
        return FakeShare()

    @pytest.fixture
    def place(self) -> Address:
        return address("https://host.example/notes.dlm.pack?token=secret")


class TestPathShare(ShareContract):
    @pytest.fixture
    def share(self) -> SharePort:
        return PathShare()

    @pytest.fixture
    def place(self, tmp_path: Path) -> Address:
        (tmp_path / "out").mkdir()
        return address(str(tmp_path / "out" / "there.dlm.pack"))


class TestHttpShare(ShareContract):
    deletes = False

    @pytest.fixture
    def site(self) -> Iterator[Site]:
        with served() as site:
            yield site

    @pytest.fixture
    def share(self) -> SharePort:
        return HttpShare({"DLM_SHARE_AUTH": "Bearer secret"})

    @pytest.fixture
    def place(self, site: Site) -> Address:
        return address(f"{site.url}/notes.dlm.pack?token=secret")


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the Hub's library about its own HTTP library
class TestHubShare(ShareContract):
    @pytest.fixture
    def hub(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[WritableHub]:
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.delenv("HF_HUB_OFFLINE")
        with writable_hub() as hub:
            yield hub

    @pytest.fixture
    def share(self, hub: WritableHub, tmp_path: Path) -> SharePort:
        return HubShare({"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_secret", "HF_HOME": str(tmp_path)})

    @pytest.fixture
    def place(self) -> Address:
        return address("hf:anna/notes")
