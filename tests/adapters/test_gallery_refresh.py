"""Fetching a gallery from a server on this machine, with real signatures: what goes in, and what must stay out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dlm.adapters.gallery.gallery import Gallery
from dlm.adapters.http.client import HttpxClient
from dlm.adapters.minisign.verifier import NaclVerifier
from dlm.domain.events import Event, Note, ignore
from dlm.domain.templates import RefreshResult
from dlm.testing.clocks import FixedClock
from gallery_site import Signer, Site, entry, index, pair, redirect, send, serve, site

TRUSTED = Signer()
STRANGER = Signer(bytes(32), b"stranger")


@pytest.fixture
def running() -> Iterator[Site]:
    with serve() as started:
        yield started


@pytest.fixture
def gallery(running: Site, home: Path) -> Gallery:
    (home / "trusted-keys").mkdir(parents=True)
    (home / "trusted-keys" / "test.pub").write_bytes(TRUSTED.public_key())
    return Gallery(
        home=home,
        http=HttpxClient(connect_s=2, read_s=2),
        verifier=NaclVerifier(),
        clock=FixedClock(),
        dlm_version="0.1.0",
        url=running.url + "/",
    )


def publish(
    running: Site, *names: str, signer: Signer | None = TRUSTED, serial: int = 1, title: str = "A title", **frame: Any
) -> None:
    """Put a consistent gallery on the site."""
    files: dict[str, bytes] = {}
    for name in names:
        files |= pair(name, title)
    running.files = site(files, index([entry(name, files) for name in names], serial=serial, **frame), signer)


def resign(running: Site, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the published index and sign it again, as a hostile publisher with a trusted key could."""
    catalogue = json.loads(running.files["index.json"])
    change(catalogue)
    data = json.dumps(catalogue).encode()
    running.files |= {"index.json": data, "index.json.minisig": TRUSTED.sign(data)}


def listed(gallery: Gallery) -> dict[str, str]:
    return {meta.name: meta.source for meta in gallery.entries() if meta.source != "bundled"}


def fetch(gallery: Gallery, emit: Callable[[Event], None] = ignore, *, accept_unsigned: bool = False) -> RefreshResult:
    return gallery.refresh(accept_unsigned=accept_unsigned, emit=emit)


def tree(home: Path) -> dict[str, bytes]:
    """Give every file of the cache."""
    root = home / "templates-cache"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_signed_gallery_comes_in(running: Site, gallery: Gallery, home: Path) -> None:
    publish(running, "tea", "bread")
    result = fetch(gallery)
    assert (result.ok, result.warning) == (True, False)
    assert listed(gallery) == {"bread": "cache", "tea": "cache"}
    assert gallery.load("tea").document_text == pair("tea")["tea.dlm"].decode()
    state = json.loads(tree(home)["current/state.json"])
    assert state["serial"] == 1
    assert state["signer_key_id"] == "0807060504030201"
    assert state["unsigned"] is False
    assert {path.name for path in (home / "templates-cache").iterdir()} == {"current"}


def test_a_newer_one_replaces_it_whole(running: Site, gallery: Gallery) -> None:
    publish(running, "tea", "bread")
    fetch(gallery)
    publish(running, "tea", "soup", serial=2, title="New")
    assert fetch(gallery).ok
    assert set(listed(gallery)) == {"tea", "soup"}
    assert gallery.load("tea").meta.title == "New"


def test_the_same_serial_may_come_again(running: Site, gallery: Gallery) -> None:
    publish(running, "tea")
    assert fetch(gallery).ok
    assert fetch(gallery).ok


def test_a_signed_template_shadows_a_bundled_one(running: Site, gallery: Gallery) -> None:
    publish(running, "changelog", title="Ours")
    fetch(gallery)
    assert gallery.load("changelog").meta.title == "Ours"
    assert [meta.source for meta in gallery.entries() if meta.name == "changelog"] == ["cache"]


def test_a_template_for_a_newer_dlm_is_skipped_and_said(running: Site, gallery: Gallery) -> None:
    publish(running, "tea", "bread")
    resign(running, lambda catalogue: catalogue["templates"][0].update(min_dlm_version="99.0"))
    events: list[Event] = []
    assert fetch(gallery, events.append).ok
    assert set(listed(gallery)) == {"bread"}
    assert any(isinstance(event, Note) and "tea needs dlm 99.0" in event.message for event in events)
    assert "tea.dlm" not in running.requested


def test_redirects_are_followed(running: Site, gallery: Gallery) -> None:
    publish(running, "tea")
    running.files["moved"] = running.files.pop("tea.dlm")
    running.answers["tea.dlm"] = redirect("/moved")
    assert fetch(gallery).ok


def test_without_an_address_it_says_so(home: Path) -> None:
    gallery = Gallery(home=home, http=HttpxClient(), verifier=NaclVerifier(), clock=FixedClock(), dlm_version="0.1.0")
    result = gallery.refresh()
    assert (result.ok, result.warning) == (True, True)
    assert "no gallery address is configured" in result.message
    assert not (home / "templates-cache").exists()


# What must not come in. Each case starts from a good cache and must leave it byte for byte.

Break = Callable[[Site], None]


def _unsigned(running: Site) -> None:
    publish(running, "evil", signer=None, serial=2)


def _stranger(running: Site) -> None:
    publish(running, "evil", signer=STRANGER, serial=2)


def _impostor(running: Site) -> None:
    publish(running, "evil", signer=Signer(bytes(32), TRUSTED.key_id), serial=2)


def _changed_index(running: Site) -> None:
    running.files["index.json"] += b" "


def _old_signature_kind(running: Site) -> None:
    running.files["index.json.minisig"] = TRUSTED.sign(running.files["index.json"], prehashed=False)


def _broken_signature_file(running: Site) -> None:
    running.files["index.json.minisig"] = b"untrusted comment: x\nAAAA\n"


def _huge_signature(running: Site) -> None:
    running.files["index.json.minisig"] = b"u" * 10_000


def _rolled_back(running: Site) -> None:
    publish(running, "evil", serial=4)


def _expired(running: Site) -> None:
    publish(running, "evil", serial=9, expires="2026-04-23T18:42:11Z")


def _huge_index(running: Site) -> None:
    data = running.files["index.json"] + b" " * (1 << 20)
    running.files |= {"index.json": data, "index.json.minisig": TRUSTED.sign(data)}


def _other_file(running: Site) -> None:
    running.files["evil.dlm"] = running.files["evil.dlm"].replace(b"title", b"TITLE")


def _longer_file(running: Site) -> None:
    running.files["evil.dlm"] += b"more\n"


def _shorter_file(running: Site) -> None:
    running.files["evil.dlm"] = running.files["evil.dlm"][:-1]


def _escaping_path(running: Site) -> None:
    resign(running, lambda catalogue: catalogue["templates"][0]["dlm"].update(path="../../evil.dlm"))


def _meta_of_another_name(running: Site) -> None:
    files = {"evil.dlm": pair("evil")["evil.dlm"], "evil.meta.yaml": pair("good")["good.meta.yaml"]}
    running.files = site(files, index([entry("evil", files)], serial=9), TRUSTED)


def _meta_with_an_extra_key(running: Site) -> None:
    files = pair("evil")
    files["evil.meta.yaml"] += b"surprise: 1\n"
    running.files = site(files, index([entry("evil", files)], serial=9), TRUSTED)


def _meta_that_steers_the_terminal(running: Site) -> None:
    files = pair("evil", title='"\\e[2J"')
    running.files = site(files, index([entry("evil", files)], serial=9), TRUSTED)


def _document_that_does_not_parse(running: Site) -> None:
    files = pair("evil")
    files["evil.dlm"] = files["evil.dlm"].replace(b"### Q\n", b"")
    running.files = site(files, index([entry("evil", files)], serial=9), TRUSTED)


def _second_file_bad(running: Site) -> None:
    publish(running, "good", "evil", serial=9)
    running.files["evil.dlm"] = b"x" * len(running.files["evil.dlm"])


def _redirect_to_http(running: Site) -> None:
    running.answers["index.json"] = redirect("http://gallery.example/index.json")


def _redirect_loop(running: Site) -> None:
    running.answers["index.json"] = redirect("/index.json")


REFUSED = [
    _unsigned, _stranger, _impostor, _changed_index, _old_signature_kind, _broken_signature_file, _huge_signature,
    _rolled_back, _expired, _huge_index, _other_file, _longer_file, _shorter_file, _escaping_path,
    _meta_of_another_name, _meta_with_an_extra_key, _meta_that_steers_the_terminal, _document_that_does_not_parse,
    _second_file_bad, _redirect_to_http, _redirect_loop,
]  # fmt: skip


@pytest.mark.parametrize("spoil", REFUSED)
def test_refused_and_nothing_changes(running: Site, gallery: Gallery, home: Path, spoil: Break) -> None:
    publish(running, "tea", serial=5)
    assert fetch(gallery).ok
    before = tree(home)
    publish(running, "evil", serial=9)
    spoil(running)
    result = fetch(gallery)
    assert (result.ok, result.warning) == (False, False)
    assert "stay as they were" in result.message
    assert tree(home) == before
    assert listed(gallery) == {"tea": "cache"}


def _gone(running: Site) -> None:
    running.files = {}


def _broken_server(running: Site) -> None:
    running.answers["index.json"] = lambda handler: send(handler, b"", status=503)


def _cut_short(running: Site) -> None:
    running.answers["evil.dlm"] = lambda handler: send(handler, b"ab", Content_Length="999", Connection="close")


def _file_missing(running: Site) -> None:
    del running.files["evil.meta.yaml"]


def _signature_out_of_reach(running: Site) -> None:
    running.answers["index.json.minisig"] = lambda handler: send(handler, b"", status=500)


@pytest.mark.parametrize("spoil", [_gone, _broken_server, _cut_short, _file_missing, _signature_out_of_reach])
@pytest.mark.parametrize("accept_unsigned", [False, True])
def test_network_trouble_is_a_warning_and_nothing_changes(
    running: Site, gallery: Gallery, home: Path, spoil: Break, accept_unsigned: bool
) -> None:
    publish(running, "tea", serial=5)
    assert fetch(gallery).ok
    before = tree(home)
    publish(running, "evil", serial=9)
    spoil(running)
    result = fetch(gallery, accept_unsigned=accept_unsigned)
    assert (result.ok, result.warning) == (True, True)
    assert tree(home) == before


# What --accept-unsigned changes, and what it does not.


@pytest.mark.parametrize("signer", [None, STRANGER])
def test_an_unsigned_gallery_comes_in_on_request_and_only_adds_names(
    running: Site, gallery: Gallery, signer: Signer | None
) -> None:
    publish(running, "tea", "changelog", signer=signer, title="Whose?")
    assert not fetch(gallery).ok
    result = fetch(gallery, accept_unsigned=True)
    assert (result.ok, result.warning) == (True, True)
    assert listed(gallery) == {"tea": "cache-unsigned"}
    assert gallery.load("tea").meta.source == "cache-unsigned"
    assert gallery.load("changelog").meta.title != "Whose?"


@pytest.mark.parametrize("spoil", [each for each in REFUSED if each not in (_unsigned, _stranger)])
def test_accept_unsigned_tolerates_nothing_else(running: Site, gallery: Gallery, home: Path, spoil: Break) -> None:
    publish(running, "tea", serial=5)
    assert fetch(gallery).ok
    before = tree(home)
    publish(running, "evil", serial=9)
    spoil(running)
    assert not fetch(gallery, accept_unsigned=True).ok
    assert tree(home) == before


def test_an_unsigned_gallery_can_neither_roll_back_nor_block_the_signed_one(running: Site, gallery: Gallery) -> None:
    publish(running, "tea", serial=5)
    fetch(gallery)
    publish(running, "odd", signer=None, serial=1_000_000)
    assert fetch(gallery, accept_unsigned=True).ok
    publish(running, "old", serial=4)
    assert not fetch(gallery).ok
    publish(running, "tea", serial=6)
    assert fetch(gallery).ok
    assert listed(gallery) == {"tea": "cache"}


def test_a_key_that_is_no_key_is_said_and_trusts_nobody(running: Site, gallery: Gallery, home: Path) -> None:
    (home / "trusted-keys" / "test.pub").write_text("hello\n")
    publish(running, "tea")
    events: list[Event] = []
    assert not fetch(gallery, events.append).ok
    assert any(isinstance(event, Note) and "test.pub is not used" in event.message for event in events)


def test_any_trusted_key_will_do(running: Site, gallery: Gallery, home: Path) -> None:
    (home / "trusted-keys" / "new.pub").write_bytes(STRANGER.public_key())
    publish(running, "tea", signer=STRANGER)
    assert fetch(gallery).ok
