"""Servers that lie, stall and lead astray, and secrets that must not come out whatever happens."""

from __future__ import annotations

import inspect
import logging
import ssl
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dlm.adapters.share import HttpShare, PeerShare
from dlm.domain.errors import DlmError, ShareError
from dlm.domain.events import Event, ignore
from dlm.domain.share import Address, parse_address
from dlm.domain.transfer import TransferLimits
from dlm.testing.share_contract import PACK, SIGNATURE, parcel
from share_site import Answer, Handler, Site, cut, endless, redirect, served, status

ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
TOKEN, AUTH, PASSWORD, SIGNED = "s3cret-token", "Bearer s3cret-auth", "s3cret-password", "X-Sig=s3cret-signed"
QUICK = TransferLimits(connect_s=2.0, read_s=0.3, slow_s=0.3, slow_bytes=1000, attempts=2, pack_bytes=4 << 20)
PATH = "/notes.dlm.pack"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr("dlm.domain.transfer._FIRST_WAIT_S", 0.01)
    with served() as site:
        site.files |= {PATH: PACK, f"{PATH}.minisig": SIGNATURE, f"/{ID}": PACK}
        yield site


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


def address(site: Site) -> Address:
    return parse_address(f"{site.url}{PATH}?token={TOKEN}", exists=lambda _: False)


def code_of(site: Site, into: Path, limits: TransferLimits = QUICK) -> str:
    with pytest.raises(ShareError) as caught:
        HttpShare({}, limits=limits).pull(address(site), into, emit=ignore)
    assert list(into.iterdir()) == []
    return caught.value.code


def raw(data: bytes) -> Answer:
    def answer(handler: Handler) -> None:
        handler.close_connection = True
        handler.wfile.write(data)

    return answer


def silent(handler: Handler) -> None:
    """Take the connection, and leave it at that, for longer than anybody waits."""
    handler.close_connection = True
    handler.rfile.read(1)


@pytest.mark.parametrize(
    "target",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "gopher://127.0.0.1/x",
        "data:application/octet-stream;base64,AAAA",
        "unix:///run/x",
        "http://127.0.0.1\\@host.example/",
        "http://host..example/",
        "http://[::1",
    ],
)
def test_a_redirect_leads_to_the_web_or_nowhere(site: Site, into: Path, target: str) -> None:
    site.script("GET", PATH, redirect(target))
    assert code_of(site, into) == "share.redirect"


def test_a_redirect_in_a_circle_ends(site: Site, into: Path) -> None:
    site.script("GET", PATH, redirect(PATH))
    assert code_of(site, into) == "share.redirect"
    assert len(site.requests) == 6


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (cut(1000), "share.unreachable"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), "share.unreachable"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc"), "share.unreachable"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc"), "share.unreachable"),
        (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"), "share.unreachable"),
        (raw(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\nabc"), "share.unreachable"),
        (raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 40_000 + b"\r\nabc"), "share.unreachable"),
        (raw(b"SSH-2.0-x\r\n"), "share.unreachable"),
        (raw(b""), "share.unreachable"),
        (silent, "share.unreachable"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nabc"), "share.too-large"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Encoding: gzip\r\n\r\nabc"), "share.bad-answer"),
        (status(206, {"Content-Range": "bytes 0-9/10"}), "share.bad-answer"),
        (status(416), "share.bad-answer"),
        (status(304), "share.status"),
        (status(204), "share.status"),
    ],
)
def test_an_answer_that_is_no_pack(site: Site, into: Path, answer: Answer, code: str) -> None:
    site.script("GET", PATH, answer)
    assert code_of(site, into) == code


def test_what_follows_the_announced_length_is_not_read(site: Site, into: Path) -> None:
    site.script("GET", PATH, raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc" + PACK))
    fetched = HttpShare({}, limits=QUICK).pull(address(site), into, emit=ignore)
    assert fetched.pack.read_bytes() == b"abc"


def test_an_endless_pack_ends_at_the_limit(site: Site, into: Path) -> None:
    sent: list[int] = []
    site.script("GET", PATH, endless(sent))
    assert code_of(site, into) == "share.too-large"
    assert len(sent) < 1000


def test_a_server_that_drips_is_given_up_on(site: Site, into: Path) -> None:
    site.script("GET", PATH, endless([], pause_s=0.02))
    assert code_of(site, into) == "share.unreachable"


def test_an_endless_signature_does_not_hold_the_pack_up(site: Site, into: Path) -> None:
    site.script("GET", f"{PATH}.minisig", endless([]))
    fetched = HttpShare({}, limits=QUICK).pull(address(site), into, emit=ignore)
    assert "larger" in str(fetched.signature_problem)
    assert list(into.iterdir()) == [fetched.pack]


def test_a_server_that_hangs_up_on_an_upload(site: Site, tmp_path: Path) -> None:
    site.script("POST", PATH, raw(b""))
    with pytest.raises(ShareError) as caught:
        HttpShare({}, limits=QUICK).push(parcel(tmp_path, signature=None), address(site), emit=ignore)
    assert caught.value.code == "share.unreachable"
    assert len(site.requests) == 1


def test_a_refusal_before_the_upload_is_over_is_heard(site: Site, tmp_path: Path) -> None:
    site.script("POST", PATH, raw(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
    with pytest.raises(ShareError) as caught:
        HttpShare({}, limits=QUICK).push(parcel(tmp_path, signature=None), address(site), emit=ignore)
    assert caught.value.code in ("share.status", "share.unreachable")  # the reset may overtake the answer


def test_a_certificate_that_nobody_vouches_for(tmp_path: Path, into: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).parents[1] / "peer_certificate.pem")
    with served(context) as site:
        assert code_of(site, into) == "share.certificate"
        assert site.requests == []


def _foreign() -> list[type[Exception]]:
    classes = [value for _, value in inspect.getmembers(httpx, inspect.isclass) if issubclass(value, Exception)]
    return [
        cls
        for cls in classes
        if cls.__module__.startswith("httpx") and cls not in (httpx.CookieConflict, httpx.InvalidURL)
    ]


def _instance(cls: type[Exception]) -> Exception:
    request = httpx.Request("GET", f"https://host.example/?{SIGNED}")
    if issubclass(cls, httpx.HTTPStatusError):
        return cls("x", request=request, response=httpx.Response(500))
    parameters = inspect.signature(cls.__init__).parameters
    return cls(f"x https://host.example/?{SIGNED}") if "message" in parameters else cls()


@pytest.mark.parametrize("cls", _foreign(), ids=lambda cls: cls.__name__)
def test_no_exception_of_the_http_library_escapes(
    site: Site, into: Path, monkeypatch: pytest.MonkeyPatch, cls: type[Exception]
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise _instance(cls)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", failing)
    with pytest.raises(ShareError) as caught:
        HttpShare({}, limits=QUICK).pull(address(site), into, emit=ignore)
    assert "s3cret" not in f"{caught.value} {caught.value.hint}"


def _refusing_push(site: Site, folder: Path, emit: Callable[[Event], None]) -> None:
    site.script("POST", PATH, status(500))
    _http(site).push(parcel(folder), _with_password(site), emit=emit)


def _wrong_digest(site: Site, folder: Path, emit: Callable[[Event], None]) -> None:
    text = f"{_with_password(site).text}#sha256={'0' * 64}"
    _http(site).pull(parse_address(text, exists=lambda _: False), folder, emit=emit)


def _redirected(target: str) -> Callable[..., None]:
    def work(site: Site, folder: Path, emit: Callable[[Event], None]) -> None:
        site.script("GET", PATH, redirect(target.format(site.url)))
        _http(site).pull(_with_password(site), folder, emit=emit)

    return work


def _pull(answer: Answer) -> Callable[..., None]:
    def work(site: Site, folder: Path, emit: Callable[[Event], None]) -> None:
        site.script("GET", PATH, answer)
        site.script("GET", f"{PATH}.minisig", answer)
        _http(site).pull(_with_password(site), folder, emit=emit)

    return work


def _peer(tls: str, digest: str) -> Callable[..., None]:
    def work(site: Site, folder: Path, emit: Callable[[Event], None]) -> None:
        text = f"peer://{site.url.partition('://')[2]}/{ID}?token={TOKEN}{tls}{digest}"
        PeerShare(limits=QUICK).pull(parse_address(text, exists=lambda _: False), folder, emit=emit)

    return work


def _http(site: Site) -> HttpShare:
    return HttpShare({"DLM_SHARE_AUTH": AUTH}, limits=QUICK)


def _with_password(site: Site) -> Address:
    text = site.url.replace("://", f"://me:{PASSWORD}@") + f"{PATH}?token={TOKEN}"
    return parse_address(text, exists=lambda _: False)


@pytest.mark.parametrize(
    "work",
    [
        _refusing_push,
        _wrong_digest,
        _redirected("{0}/gone?" + SIGNED),
        _redirected("http://127.0.0.1:1/x?" + SIGNED),
        _redirected("http://u:" + PASSWORD + "@127.0.0.1:1/x?" + SIGNED),
        _redirected("file:///x?" + SIGNED),
        _pull(lambda handler: handler.give()),
        _pull(cut(1000)),
        _pull(silent),
        _pull(status(403, {"WWW-Authenticate": f"Bearer error={TOKEN}", "Location": f"/x?{SIGNED}"})),
        _pull(raw(b"HTTP/1.1 200 OK\r\nX: y\x00" + TOKEN.encode() + b"\r\n\r\n")),
        _peer("", ""),
        _peer("", "#sha256=" + "0" * 64),
        _peer("&tls=" + "0" * 64, ""),
    ],
)
def test_no_secret_comes_out(
    site: Site, into: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], work: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    events: list[Event] = []
    told = ""
    try:
        work(site, into, events.append)
    except DlmError as exc:
        told = "".join(traceback.format_exception(exc)) + f"{exc.hint} {exc.details} {exc!r}"
    output = capfd.readouterr()
    told += f"{caplog.text} {caplog.records} {[vars(record) for record in caplog.records]} {events}"
    assert "s3cret" not in told + output.out + output.err


def test_the_logs_are_left_as_they_were(site: Site, into: Path, caplog: pytest.LogCaptureFixture) -> None:
    HttpShare({}).pull(address(site), into, emit=ignore)
    for name in ("httpx", "httpx2", "httpcore.http11", "huggingface_hub._commit_api"):
        assert logging.getLogger(name).filters == []
