"""Fetching from a peer."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from dlm.adapters.share.peer import PeerShare, pinned
from dlm.domain.errors import ShareError
from dlm.domain.events import ignore
from dlm.domain.share import Address, parse_address
from dlm.domain.transfer import TransferLimits
from dlm.testing.share_contract import PACK, SIGNATURE, parcel
from share_site import Site, redirect, served, status

ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
TOKEN = "s3cret-token"
CERTIFICATE = Path(__file__).parents[1] / "peer_certificate.pem"


def fingerprint() -> str:
    der = ssl.PEM_cert_to_DER_cert(CERTIFICATE.read_text().partition("-----BEGIN PRIVATE KEY-----")[0])
    return hashlib.sha256(der).hexdigest()


def stock(site: Site) -> Site:
    site.files |= {f"/{ID}": PACK, f"/{ID}.minisig": SIGNATURE}
    return site


@pytest.fixture
def site() -> Iterator[Site]:
    with served() as site:
        yield stock(site)


@pytest.fixture
def encrypted() -> Iterator[Site]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with served(context) as site:
        yield stock(site)


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


def address(site: Site, *, tls: str = "", digest: str = "") -> Address:
    place = site.url.partition("://")[2]
    text = (
        f"peer://{place}/{ID}?token={TOKEN}" + (f"&tls={tls}" if tls else "") + (f"#sha256={digest}" if digest else "")
    )
    return parse_address(text, exists=lambda _: False)


def refused(place: Address, into: Path) -> ShareError:
    with pytest.raises(ShareError) as caught:
        PeerShare().pull(place, into, emit=ignore)
    assert list(into.iterdir()) == []
    return caught.value


def test_pack_and_signature_are_asked_for_with_the_token_and_nothing_else(
    site: Site, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLM_SHARE_AUTH", "Bearer other")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    fetched = PeerShare().pull(address(site, digest=hashlib.sha256(PACK).hexdigest()), into, emit=ignore)
    assert fetched.signature is not None
    assert (fetched.pack.read_bytes(), fetched.signature.read_bytes()) == (PACK, SIGNATURE)
    assert [asked.target for asked in site.requests] == [f"/{ID}?token={TOKEN}", f"/{ID}.minisig?token={TOKEN}"]
    assert [asked["Authorization"] for asked in site.requests] == [None, None]


def test_another_pack_than_the_announced_one_is_refused(site: Site, into: Path) -> None:
    assert refused(address(site, digest="0" * 64), into).code == "share.digest"


def test_nothing_can_be_pushed(site: Site, tmp_path: Path) -> None:
    with pytest.raises(ShareError) as caught:
        PeerShare().push(parcel(tmp_path), address(site), emit=ignore)
    assert caught.value.code == "share.peer-push"
    assert "dlm serve" in (caught.value.hint or "")
    assert site.requests == []


def test_a_peer_may_not_send_us_elsewhere(site: Site, into: Path) -> None:
    site.script("GET", f"/{ID}", redirect("/other"))
    assert refused(address(site), into).code == "share.redirect"
    assert len(site.requests) == 1


def test_an_expired_token_says_whom_to_ask(site: Site, into: Path) -> None:
    site.script("GET", f"/{ID}", status(403))
    error = refused(address(site), into)
    assert (error.code, TOKEN in f"{error} {error.hint}") == ("share.refused", False)
    assert "dlm serve" in (error.hint or "")


def test_a_certificate_is_known_by_its_digest(encrypted: Site, into: Path) -> None:
    fetched = PeerShare().pull(address(encrypted, tls=fingerprint()), into, emit=ignore)
    assert fetched.pack.read_bytes() == PACK
    assert fetched.signature is not None
    assert [asked.target for asked in encrypted.requests] == [f"/{ID}?token={TOKEN}", f"/{ID}.minisig?token={TOKEN}"]


def test_nothing_is_sent_to_a_peer_with_another_certificate(encrypted: Site, into: Path) -> None:
    assert refused(address(encrypted, tls="0" * 64), into).code == "share.certificate"
    assert encrypted.requests == []


def test_nothing_is_sent_unencrypted_when_encryption_is_announced(site: Site, into: Path) -> None:
    with pytest.raises(ShareError):
        PeerShare(limits=_impatient()).pull(address(site, tls=fingerprint()), into, emit=ignore)
    assert site.requests == []


def _impatient() -> TransferLimits:
    return TransferLimits(attempts=1, connect_s=1.0, read_s=1.0)


def test_old_encryption_is_not_spoken() -> None:
    assert pinned("0" * 64).minimum_version >= ssl.TLSVersion.TLSv1_2
