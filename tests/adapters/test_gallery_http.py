"""The bounded GET against a real server on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dlm.adapters.http.client import HttpxClient, require_safe, shown
from dlm.domain.errors import NetworkError
from gallery_site import Site, redirect, send, serve


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as running:
        running.files["file"] = b"x" * 1000
        yield running


def code_of(client: HttpxClient, url: str, limit: int = 1000) -> str:
    with pytest.raises(NetworkError) as caught:
        client.get(url, limit_bytes=limit)
    return caught.value.code


def test_gives_the_bytes_up_to_the_limit(site: Site) -> None:
    assert HttpxClient().get(f"{site.url}/file", limit_bytes=1000) == b"x" * 1000


def test_refuses_one_byte_more_than_the_limit(site: Site) -> None:
    assert code_of(HttpxClient(), f"{site.url}/file", limit=999) == "http.too-large"


def test_stops_an_endless_body(site: Site) -> None:
    sent: list[int] = []

    def endless(handler: object) -> None:
        handler.send_response(200)  # type: ignore[attr-defined]  # the handler of the standard library
        handler.end_headers()  # type: ignore[attr-defined]
        try:
            while len(sent) < 100_000:
                handler.wfile.write(b"y" * 65536)  # type: ignore[attr-defined]
                sent.append(1)
        except OSError:
            return

    site.answers["endless"] = endless
    assert code_of(HttpxClient(), f"{site.url}/endless", limit=1 << 20) == "http.too-large"
    assert len(sent) < 10_000


def test_follows_three_redirects_and_not_four(site: Site) -> None:
    site.answers |= {"r4": redirect("/r3"), "r3": redirect("/r2"), "r2": redirect("/r1"), "r1": redirect("/file")}
    assert HttpxClient().get(f"{site.url}/r3", limit_bytes=1000) == b"x" * 1000
    assert code_of(HttpxClient(), f"{site.url}/r4") == "http.redirects"


def test_a_redirect_may_not_leave_encryption(site: Site) -> None:
    site.answers["out"] = redirect("http://gallery.example/file")
    assert code_of(HttpxClient(), f"{site.url}/out") == "http.insecure"


@pytest.mark.parametrize(
    "url",
    [
        "http://gallery.example/x",
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "http://127.0.0.1.gallery.example/",
        "x",
        "",
    ],
)
def test_only_encrypted_or_local_addresses(url: str) -> None:
    assert code_of(HttpxClient(), url) == "http.insecure"


def test_an_outside_address_may_not_be_sent_to_a_service_on_this_machine() -> None:
    require_safe("https://elsewhere.example/x", origin="https://gallery.example/x")
    with pytest.raises(NetworkError):
        require_safe("http://127.0.0.1/x", origin="https://gallery.example/x")


@pytest.mark.parametrize(("status", "code"), [(404, "http.missing"), (410, "http.missing"), (500, "http.status")])
def test_tells_missing_from_trouble(site: Site, status: int, code: str) -> None:
    site.answers["odd"] = lambda handler: send(handler, b"", status=status)
    assert code_of(HttpxClient(), f"{site.url}/odd") == code


def test_a_body_cut_short_is_no_body(site: Site) -> None:
    site.answers["cut"] = lambda handler: send(handler, b"abc", Content_Length="10", Connection="close")
    assert code_of(HttpxClient(), f"{site.url}/cut") == "http.unreachable"


def test_a_compressed_body_is_refused(site: Site) -> None:
    site.answers["zip"] = lambda handler: send(handler, b"abc", Content_Encoding="gzip")
    assert code_of(HttpxClient(), f"{site.url}/zip") == "http.encoding"


def test_a_dripping_server_runs_into_the_time_limit(site: Site) -> None:
    assert code_of(HttpxClient(total_s=0.0), f"{site.url}/file") == "http.unreachable"


def test_a_closed_port_is_trouble() -> None:
    assert code_of(HttpxClient(connect_s=1), "http://127.0.0.1:1/x") == "http.unreachable"


def test_messages_keep_credentials_to_themselves() -> None:
    assert shown("https://me:secret@gallery.example/a?token=secret") == "https://gallery.example/a"
