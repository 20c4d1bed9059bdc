"""Packs over a web address, against a real server on this machine."""

from __future__ import annotations

import hashlib
import os
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from dlm.adapters.share.http import HttpShare
from dlm.adapters.share.wire import proxy_of
from dlm.domain.errors import ShareError, StoreError
from dlm.domain.events import Progress, ignore
from dlm.domain.share import Address, parse_address
from dlm.domain.transfer import LIMITS, TransferLimits
from dlm.ports.share import Fetched
from dlm.testing.share_contract import PACK, SIGNATURE, parcel
from share_site import Site, cut, redirect, served, status

PATH = "/shelf/notes.dlm.pack"
TAG = f'"{hashlib.sha256(PACK).hexdigest()}"'


@pytest.fixture
def site() -> Iterator[Site]:
    with served() as site:
        yield site


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nothing waits in these tests; give what would have been waited, in seconds."""
    waits: list[float] = []
    monkeypatch.setattr("dlm.adapters.share.http.Wire", _unhurried(waits))
    return waits


def _unhurried(waits: list[float]) -> Callable[..., Any]:
    from dlm.adapters.share.wire import Wire

    return lambda **parts: Wire(**parts, sleep=waits.append, jitter=lambda: 0.0)


def address(site: Site, query: str = "?token=s3cret-token", path: str = PATH) -> Address:
    return parse_address(site.url + path + query, exists=lambda _: False)


def pull(site: Site, into: Path, *, auth: str = "", limits: TransferLimits = LIMITS, **parts: Any) -> Fetched:
    place = attrs.evolve(address(site), **parts)
    return HttpShare({"DLM_SHARE_AUTH": auth}, limits=limits).pull(place, into, emit=ignore)


def refused(site: Site, into: Path, **options: Any) -> ShareError:
    with pytest.raises(ShareError) as caught:
        pull(site, into, **options)
    assert list(into.iterdir()) == []
    return caught.value


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


def test_a_push_is_two_posts_the_signature_first(site: Site, tmp_path: Path) -> None:
    HttpShare({"DLM_SHARE_AUTH": "Bearer abc"}).push(parcel(tmp_path), address(site), emit=ignore)
    first, second = site.requests
    assert (first.method, first.target) == ("POST", f"{PATH}.minisig?token=s3cret-token")
    assert (second.method, second.target) == ("POST", f"{PATH}?token=s3cret-token")
    for asked, size in ((first, len(SIGNATURE)), (second, len(PACK))):
        assert asked["Content-Type"] == "application/octet-stream"
        assert asked["Content-Length"] == str(size)
        assert asked["User-Agent"] == "dlm-share/1.0"
        assert asked["Authorization"] == "Bearer abc"
        assert asked["Transfer-Encoding"] is None
    assert site.files == {PATH: PACK, f"{PATH}.minisig": SIGNATURE}


def test_a_signature_that_is_not_accepted_stops_the_push(site: Site, tmp_path: Path) -> None:
    site.script("POST", f"{PATH}.minisig", status(403))
    with pytest.raises(ShareError, match="the signature was not accepted, so nothing was sent") as caught:
        HttpShare({}).push(parcel(tmp_path), address(site), emit=ignore)
    assert caught.value.code == "share.refused"
    assert "DLM_SHARE_AUTH" in (caught.value.hint or "")
    assert site.files == {}


@pytest.mark.parametrize(
    ("code", "expected"), [(401, "share.refused"), (404, "share.missing"), (500, "share.status"), (302, "share.status")]
)
def test_a_push_is_sent_once_whatever_is_answered(
    site: Site, tmp_path: Path, waits: list[float], code: int, expected: str
) -> None:
    site.script("POST", PATH, status(code, {"Location": "/elsewhere", "Retry-After": "1"}))
    with pytest.raises(ShareError) as caught:
        HttpShare({}).push(parcel(tmp_path, signature=None), address(site), emit=ignore)
    assert (caught.value.code, len(site.requests), waits) == (expected, 1, [])


def test_a_push_goes_where_a_307_points_as_a_whole(site: Site, tmp_path: Path) -> None:
    site.script("POST", PATH, redirect("/other?x=1", 307))
    HttpShare({}).push(parcel(tmp_path, signature=None), address(site), emit=ignore)
    assert site.files == {"/other": PACK}


def test_a_push_tries_again_while_nobody_listens(tmp_path: Path, waits: list[float]) -> None:
    with served() as site:
        place = address(site)
    with pytest.raises(ShareError) as caught:
        HttpShare({}).push(parcel(tmp_path, signature=None), place, emit=ignore)
    assert (caught.value.code, waits) == ("share.unreachable", [0.5, 1.0, 2.0])


def test_a_pack_that_shrinks_while_it_is_sent_is_told(site: Site, tmp_path: Path) -> None:
    sent = parcel(tmp_path, signature=None)

    def shorten(event: object) -> None:
        if isinstance(event, Progress) and event.done < len(PACK):
            sent.pack.write_bytes(b"")

    with pytest.raises(ShareError) as caught:
        HttpShare({}).push(sent, address(site), emit=shorten)
    assert caught.value.code == "share.changed"


def test_a_user_in_the_address_becomes_a_header_and_the_variable_wins(site: Site, into: Path) -> None:
    site.files[PATH] = PACK
    text = site.url.replace("://", "://me:p%40ss@") + PATH
    place = parse_address(text, exists=lambda _: False)
    HttpShare({}).pull(place, into, emit=ignore)
    assert site.requests[0]["Authorization"] == "Basic bWU6cEBzcw=="
    HttpShare({"DLM_SHARE_AUTH": "Token x"}).pull(place, into, emit=ignore)
    assert site.requests[-1]["Authorization"] == "Token x"


@pytest.mark.parametrize("auth", ["Bearer secret\nX: y", "Bearer sécret", " secret", "secret "])
def test_a_header_that_cannot_be_sent_is_not_shown(site: Site, into: Path, auth: str) -> None:
    error = refused(site, into, auth=auth)
    assert error.code == "share.auth"
    assert "secret" not in f"{error} {error.hint} {error.__cause__} {error.__context__}"
    assert site.requests == []


def test_the_query_follows_the_signatures_name(site: Site, into: Path) -> None:
    site.files |= {PATH: PACK, f"{PATH}.minisig": SIGNATURE}
    assert pull(site, into).signature is not None
    assert [asked.target for asked in site.requests] == [
        f"{PATH}?token=s3cret-token",
        f"{PATH}.minisig?token=s3cret-token",
    ]


@pytest.mark.parametrize(("code", "unsigned"), [(404, True), (410, True), (401, False), (403, False), (418, False)])
def test_only_an_answer_that_says_so_means_unsigned(site: Site, into: Path, code: int, unsigned: bool) -> None:
    site.files[PATH] = PACK
    site.script("GET", f"{PATH}.minisig", status(code))
    fetched = pull(site, into)
    assert fetched.signature is None
    assert (fetched.signature_problem is None) is unsigned
    assert unsigned or str(code) in str(fetched.signature_problem)
    assert list(into.iterdir()) == [fetched.pack]


def test_a_signature_out_of_reach_or_too_long_is_a_problem(site: Site, into: Path, waits: list[float]) -> None:
    site.files |= {PATH: PACK, f"{PATH}.minisig": b"x" * 8193}
    assert "8192" in str(pull(site, into).signature_problem)
    site.script("GET", f"{PATH}.minisig", status(503))
    assert "503" in str(pull(site, into).signature_problem)
    assert waits == [0.5, 1.0, 2.0]


def test_a_download_goes_on_where_it_was_cut(site: Site, into: Path, waits: list[float]) -> None:
    site.files[PATH] = PACK
    site.script("GET", PATH, cut(1000), cut(70_000), lambda handler: handler.give())
    assert pull(site, into).pack.read_bytes() == PACK
    ranges = [asked["Range"] for asked in site.requests[:3]]
    assert ranges == [None, "bytes=1000-", "bytes=71000-"]
    assert site.requests[1]["If-Range"] == site.requests[2]["If-Range"]
    assert waits == [0.5, 1.0]


def test_a_download_that_gets_on_may_be_cut_any_number_of_times(site: Site, into: Path, waits: list[float]) -> None:
    site.files[PATH] = PACK * 4
    site.script("GET", PATH, *[cut(1_100_000)] * 9, lambda handler: handler.give())
    assert pull(site, into).pack.read_bytes() == PACK * 4
    assert waits == [0.5] * 9


@pytest.mark.parametrize("tag", ['W/"weak"', "", "broken"])
def test_without_a_strong_tag_it_starts_over(site: Site, into: Path, waits: list[float], tag: str) -> None:
    site.files[PATH] = PACK
    site.script("GET", PATH, cut(1000, {"ETag": tag}), lambda handler: handler.give())
    assert pull(site, into).pack.read_bytes() == PACK
    assert site.requests[1]["Range"] is None


def test_a_pack_that_changes_between_two_parts_is_fetched_anew(site: Site, into: Path, waits: list[float]) -> None:
    site.files[PATH] = PACK

    def other(handler: Any) -> None:
        site.files[PATH] = PACK[::-1]
        handler.give()

    site.script("GET", PATH, cut(1000), other)
    assert pull(site, into).pack.read_bytes() == PACK[::-1]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Range": "bytes 999-2500003/2500004", "ETag": TAG},
        {"Content-Range": "bytes 1000-2000/2500004", "ETag": TAG},
        {"Content-Range": "bytes 1000-2500003/2500004", "ETag": '"other"'},
        {"Content-Range": "bytes 1000-2500003/2500004"},
        {"ETag": TAG},
    ],
)
def test_a_part_that_does_not_fit_is_never_glued_on(
    site: Site, into: Path, waits: list[float], headers: dict[str, str]
) -> None:
    site.files[PATH] = PACK
    site.script("GET", PATH, cut(1000), status(206, headers), lambda handler: handler.give())
    assert pull(site, into).pack.read_bytes() == PACK
    assert [asked["Range"] for asked in site.requests[:3]] == [None, "bytes=1000-", None]


def test_a_server_without_ranges_is_listened_to_from_the_start(site: Site, into: Path, waits: list[float]) -> None:
    site.files[PATH] = PACK
    site.script("GET", PATH, cut(1000), status(416), lambda handler: handler.send(PACK))
    assert pull(site, into).pack.read_bytes() == PACK


@pytest.mark.parametrize("code", [408, 429, 500, 503])
def test_trouble_that_may_pass_is_waited_out(site: Site, into: Path, waits: list[float], code: int) -> None:
    site.files[PATH] = PACK
    site.script("GET", PATH, status(code, {"Retry-After": "7"}), status(code), lambda handler: handler.give())
    assert pull(site, into).pack.read_bytes() == PACK
    assert waits == [7.0, 1.0]


def test_it_gives_up_after_four_tries_or_when_asked_for_too_much(site: Site, into: Path, waits: list[float]) -> None:
    site.script("GET", PATH, status(503))
    assert refused(site, into).code == "share.status"
    assert (len(site.requests), waits) == (4, [0.5, 1.0, 2.0])
    site.script("GET", PATH, status(429, {"Retry-After": "61"}))
    assert refused(site, into).code == "share.status"
    assert len(site.requests) == 5


@pytest.mark.parametrize(
    ("code", "expected"),
    [(400, "share.status"), (401, "share.refused"), (403, "share.refused"), (410, "share.missing")],
)
def test_what_will_not_pass_is_told_at_once(site: Site, into: Path, code: int, expected: str) -> None:
    site.script("GET", PATH, status(code))
    assert refused(site, into).code == expected
    assert len(site.requests) == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
def test_a_disk_that_takes_no_more_is_told_and_nothing_is_left(site: Site, into: Path) -> None:
    import resource

    site.files[PATH] = PACK
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(StoreError):
            pull(site, into)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(into.iterdir()) == []


def test_a_full_disk_is_told_when_the_last_byte_is_flushed(
    site: Site, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    site.files[PATH] = PACK
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError) as caught:
        pull(site, into)
    assert (caught.value.code, list(into.iterdir())) == ("disk.full", [])


def test_proxies_are_for_the_outside_world(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "all_proxy", "no_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "inside.example")
    assert proxy_of("https://host.example/x") == "http://proxy.example:3128"
    assert proxy_of("http://host.example/x") is None
    assert proxy_of("https://inside.example/x") is None
    assert proxy_of("https://127.0.0.1/x") is None
    monkeypatch.setenv("ALL_PROXY", "socks5://me:s3cret@proxy.example")
    assert proxy_of("http://host.example/x") == "socks5://me:s3cret@proxy.example"


def test_a_proxy_that_cannot_be_used_is_told_without_its_password(into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://me:s3cret@proxy.example")
    with pytest.raises(ShareError, match="proxy") as caught:
        HttpShare({}).pull(parse_address("https://host.example/x", exists=lambda _: False), into, emit=ignore)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_the_announced_digest_is_checked(site: Site, into: Path) -> None:
    site.files[PATH] = PACK
    assert pull(site, into, sha256=hashlib.sha256(PACK).hexdigest()).pack.exists()
    (into / "adapter.dlm.pack").unlink()
    assert refused(site, into, sha256="0" * 64).code == "share.digest"


def test_redirects_are_followed_five_times_and_not_six(site: Site, into: Path) -> None:
    site.files["/r0"] = PACK
    for number in range(1, 6):
        site.script("GET", f"/r{number}", redirect(f"r{number - 1}", 301 + number % 2))
    site.script("GET", PATH, redirect("/r4"))
    assert pull(site, into).pack.read_bytes() == PACK
    (into / "adapter.dlm.pack").unlink()
    site.script("GET", PATH, redirect("/r5"))
    assert refused(site, into).code == "share.redirect"


def test_credentials_stay_behind_for_good_once_the_origin_changes(site: Site, into: Path) -> None:
    with served() as other:
        site.files["/end"] = PACK
        site.script("GET", PATH, redirect("/same"))
        site.script("GET", "/same", redirect(f"{other.url}/back"))
        other.script("GET", "/back", redirect(f"{site.url}/end"))
        assert pull(site, into, auth="Bearer abc").pack.read_bytes() == PACK
        asked = {request.target.partition("?")[0]: request["Authorization"] for request in site.requests}
        assert asked == {PATH: "Bearer abc", "/same": "Bearer abc", "/end": None, f"{PATH}.minisig": "Bearer abc"}
        assert [request["Authorization"] for request in other.requests] == [None]
