"""Reading addresses of packs, and keeping what they hide."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.domain.errors import UsageError
from dlm.domain.share import (
    Address,
    hub_repository,
    is_loopback,
    parse_address,
    peer_of,
    redacted,
    signature_url,
    web_url,
    without_secrets,
)

ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
TOKEN = "AAAA-token_secret"
DIGEST = "ab" * 32


def read(text: str, *, exists: bool = False, insecure: bool = False) -> Address:
    return parse_address(text, exists=lambda _: exists, insecure=insecure)


def refused(text: str, **options: bool) -> UsageError:
    with pytest.raises(UsageError) as caught:
        read(text, **options)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("text", "repository", "revision"),
    [
        ("hf:anna/notes", "anna/notes", None),
        ("hf:a-b/c_d.e@main", "a-b/c_d.e", "main"),
        ("hf:anna/notes@refs/pr/3", "anna/notes", "refs/pr/3"),
        ("hf:anna/notes@" + "0" * 40, "anna/notes", "0" * 40),
    ],
)
def test_repositories_of_the_hub(text: str, repository: str, revision: str | None) -> None:
    address = read(text)
    assert (address.kind, hub_repository(address), address.revision) == ("hub", repository, revision)


@pytest.mark.parametrize(
    "text",
    ["hf:", "hf:notes", "hf:a/b/c", "hf:../x", "hf:a/b@", "hf:a/b@../main", "hf:a/b@-x", "hf:a/b@x/", "hf:a/b?token=1"],
)
def test_what_is_no_repository(text: str) -> None:
    assert refused(text, exists=True).code == "share.address"


@pytest.mark.parametrize(
    "text", ["/abs/x", "./x", "../x", "~/x", "~", ".", "notes.dlm.pack", "folder/", "folder/notes.pack", "C:\\x.pack"]
)
def test_paths(text: str) -> None:
    assert read(text).kind == "path"


def test_a_plain_word_is_a_path_when_it_is_there() -> None:
    assert read("notes", exists=True).kind == "path"
    assert refused("notes").code == "share.address"
    assert "hf:anna/notes" in (refused("anna/notes").hint or "")
    assert refused("").code == "share.address"
    assert refused("./a\0b").code == "share.address"


def test_web_addresses() -> None:
    address = read(f"https://me:pass-word@host.example:8443/a/b.pack?sig=s3cr3t#sha256={DIGEST.upper()}")
    assert (address.kind, address.sha256, address.warning) == ("url", DIGEST, None)
    assert address.shown == "https://host.example:8443/a/b.pack"
    assert web_url(address) == "https://me:pass-word@host.example:8443/a/b.pack?sig=s3cr3t"
    assert "s3cr3t" not in repr(address)
    assert signature_url(web_url(address)) == "https://me:pass-word@host.example:8443/a/b.pack.minisig?sig=s3cr3t"


def test_unencrypted_web_addresses_need_a_word() -> None:
    assert refused("http://host.example/x").code == "share.insecure"
    assert "not encrypted" in (read("http://host.example/x", insecure=True).warning or "")
    for host in ("127.0.0.1:8000", "localhost", "[::1]:99"):
        assert read(f"http://{host}/x").warning is None


@pytest.mark.parametrize(
    "text",
    [
        "https://",
        "https:///x",
        "https://host:0/x",
        "https://host:99999/x",
        "https://host:/x",
        "https://ho st/x",
        "https://host/a\nb",
        "https://127.0.0.1\\@host.example/",
        "https://hôst/x",
        "https://[::1/x",
        "https://[127.0.0.1]/x",
        "https://[fe80::1%25eth0]/x",
        "https://%31/x",
        "https://a..example/x",
        "https://" + "a" * 64 + ".example/x",
        "https://host/x#sha265=" + DIGEST,
        "https://host/x#sha256=" + DIGEST[1:],
        "ftp://host/x.pack",
        "file:///etc/passwd",
        "data://x",
        "peer:/x",
    ],
)
def test_web_addresses_that_are_refused(text: str) -> None:
    assert refused(text).code == "share.address"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("[::ffff:127.0.0.1]", True),
        ("0.0.0.0", True),
        ("localhost.", True),
        ("LOCALHOST", True),
        ("127.0.0.1.host.example", False),
        ("10.0.0.1", False),
        ("", False),
    ],
)
def test_what_is_on_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def peer_text(**parts: str) -> str:
    given = {"host": "192.168.0.7", "port": ":7337", "id": ID, "query": f"?token={TOKEN}", "fragment": ""} | parts
    return "peer://{host}{port}/{id}{query}{fragment}".format(**given)


def test_peers() -> None:
    address = read(peer_text(fragment=f"#sha256={DIGEST}"))
    peer = peer_of(address)
    assert (peer.host, peer.port, peer.dlm_id, peer.certificate_sha256) == ("192.168.0.7", 7337, ID, None)
    assert peer.url() == f"http://192.168.0.7:7337/{ID}?token={TOKEN}"
    assert peer.url(".minisig") == f"http://192.168.0.7:7337/{ID}.minisig?token={TOKEN}"
    assert (address.kind, address.sha256, address.shown) == ("peer", DIGEST, f"peer://192.168.0.7:7337/{ID}")
    assert "not encrypted" in (address.warning or "")
    assert TOKEN not in repr(peer) + repr(address)


def test_peers_with_a_certificate() -> None:
    address = read(peer_text(host="[FE80::1]", query=f"?tls={DIGEST.upper()}&token={TOKEN}"))
    peer = peer_of(address)
    assert peer.url() == f"https://[fe80::1]:7337/{ID}?token={TOKEN}"
    assert (peer.certificate_sha256, address.warning) == (DIGEST, None)


@pytest.mark.parametrize(
    "parts",
    [
        {"port": ""},
        {"port": ":0"},
        {"port": ":70000"},
        {"port": ":x"},
        {"host": ""},
        {"host": "me@host"},
        {"host": "a b"},
        {"host": "[::1"},
        {"id": ID.lower()},
        {"id": ID[1:]},
        {"id": ID + "\n"},
        {"id": ID + "/"},
        {"id": f"../{ID}"},
        {"id": ""},
        {"query": ""},
        {"query": "?token="},
        {"query": f"?token={TOKEN}%0a"},
        {"query": f"?token={TOKEN}&token={TOKEN}"},
        {"query": f"?token={TOKEN}&x=1"},
        {"query": f"?token={TOKEN}&tls=ab"},
        {"query": f"?token={TOKEN}&tls="},
        {"query": f"?tls={DIGEST}"},
        {"query": "?token=" + "A" * 513},
        {"fragment": "#sha256=12"},
        {"fragment": "#x"},
    ],
)
def test_peers_that_are_refused(parts: dict[str, str]) -> None:
    error = refused(peer_text(**parts))
    assert error.code == "share.address"
    assert TOKEN not in f"{error.message} {error.hint}"


SECRET = st.text("abcdefgh-_0123456789%XYZ", min_size=8, max_size=30)


@given(SECRET, SECRET, st.text(max_size=20), st.text(max_size=20))
def test_no_secret_of_an_address_survives(user: str, value: str, before: str, after: str) -> None:
    text = f"https://{user}:{value}x@host.example/p?sig={value}&v=1"
    address = Address(kind="url", text=text, shown="https://host.example/p")
    for secret in (text, f"{user}:{value}x", f"{value}x", value):
        shown = redacted(f"{before} {secret} {after}", address)
        assert value not in shown.replace(before, "").replace(after, "")


@given(st.text())
def test_without_secrets_is_idempotent_and_leaves_words_alone(text: str) -> None:
    once = without_secrets(text)
    assert without_secrets(once) == once
    if "://" not in text:
        assert once == text


def test_addresses_inside_texts_lose_their_queries() -> None:
    assert (
        without_secrets("GET https://u:p@a.example/b?c=d \"HTTP/1.1 200\", (b'Location', b'http://x/?y#z')")
        == "GET https://a.example/b \"HTTP/1.1 200\", (b'Location', b'http://x/')"
    )
    address = read("https://host.example/x")
    assert redacted("failed: Bearer abc", address, "Bearer abc", None) == "failed: ***"


@given(st.text(max_size=60), st.booleans())
def test_any_text_is_an_address_or_a_usage_error(text: str, exists: bool) -> None:
    try:
        address = read(text, exists=exists)
    except UsageError:
        return
    assert address.text == text
