"""Where packs are sent to and fetched from: addresses, strictly read, and never shown with their secrets.

hf:org/repo[@revision]                                  a repository of the Hugging Face Hub
https://host/path[#sha256=<64 hex>]                     a web address; http:// on this machine, or when insisted on
peer://host:port/<id>?token=…[&tls=<64 hex>][#sha256=…] somebody who runs ``dlm serve``
./notes.dlm.pack, /folder/, ~/x, notes.dlm.pack         a file or folder
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Literal, NoReturn
from urllib.parse import unquote, urlsplit, urlunsplit

import attrs

from dlm.domain.base_models import REVISION, is_hub_id
from dlm.domain.errors import UsageError
from dlm.domain.frontmatter import ULID

AddressKind = Literal["hub", "url", "peer", "path"]

PACK_NAME = "adapter.dlm.pack"
"""Name of the pack in a Hub repository, and of every pack that was fetched."""

SIGNATURE_SUFFIX = ".minisig"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,512}")
_BRANCH = re.compile(r"(?![-/.])[A-Za-z0-9._/-]{1,200}(?<![/.])")
_PLAIN = re.compile(r"[!-~]+")
_SUFFIX = re.compile(r"[^/\\]\.[A-Za-z0-9_-]+\Z")
_SHORTEST_SECRET = 4
"""Characters; shorter values of a query, such as ``v=1``, are no secrets, and replacing them would garble messages."""


@attrs.frozen(kw_only=True)
class Address:
    """A place.

    Args:
        text: as it was given; may hold secrets.
        shown: the same for people: without token, query, user and password.
        revision: of a Hub repository, after ``@``.
        sha256: digest that the pack has to have, from ``#sha256=…``.
        warning: what a person should know before using it; None when there is nothing.
    """

    kind: AddressKind
    text: str = attrs.field(repr=False)
    shown: str
    revision: str | None = None
    sha256: str | None = None
    warning: str | None = None


@attrs.frozen(kw_only=True)
class Peer:
    """A pack that somebody serves.

    Args:
        host: name or number as it stands in an address; IPv6 in brackets.
        certificate_sha256: digest of the certificate the peer has to show; None for an unencrypted link.
    """

    host: str
    port: int
    dlm_id: str
    token: str = attrs.field(repr=False)
    certificate_sha256: str | None = None

    def url(self, suffix: str = "") -> str:
        """Give the web address of the pack, or with ``.minisig`` of its signature. Holds the token."""
        scheme = "http" if self.certificate_sha256 is None else "https"
        return f"{scheme}://{self.host}:{self.port}/{self.dlm_id}{suffix}?token={self.token}"


def parse_address(text: str, *, exists: Callable[[str], bool], insecure: bool = False) -> Address:
    """Read an address.

    Args:
        exists: whether a file or folder of this name is there; asked only for words that could be anything.
        insecure: unencrypted web addresses outside this machine are accepted, with a warning.

    Raises:
        UsageError: ``share.address``, ``share.insecure``. Messages hold no secrets.
    """
    scheme = _SCHEME.match(text)
    if scheme is not None:
        return _of_scheme(scheme[1].lower(), text, insecure=insecure)
    if text.startswith("hf:"):
        return _hub(text)
    if _looks_like_path(text) or (text and exists(text)):
        return _path(text)
    hint = f"For the Hub write hf:{text}, for a file ./{text}." if is_hub_id(text) else _FORMS
    return _refuse(f"{text!r:.100} is no address of a pack", hint)


_FORMS = (
    "Give hf:<org>/<repo>, https://…, a path such as ./notes.dlm.pack, or, to pull, the peer:// address that "
    "`dlm serve` printed."
)


def hub_repository(address: Address) -> str:
    """Give ``org/repo`` of a Hub address."""
    return address.text.removeprefix("hf:").partition("@")[0]


def web_url(address: Address) -> str:
    """Give a web address as it is asked for: without the digest behind ``#``. May hold secrets."""
    return address.text.partition("#")[0]


def signature_url(url: str) -> str:
    """Give the web address of a pack's signature: ``.minisig`` at the end of the path, the query kept behind."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path + SIGNATURE_SUFFIX, parts.query, ""))


def peer_of(address: Address) -> Peer:
    """Give the parts of a peer's address.

    Raises:
        UsageError: ``share.address``.
    """
    return _peer(address.text)[0]


def host_and_port(url: str) -> tuple[str, int | None]:
    """Give the host of a web address, IPv6 in brackets, and the port if it is named.

    Raises:
        ValueError: anything that two programs could read in two ways, and names that no name server can know.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    place = parts.netloc.rpartition("@")[2]
    if place.startswith("["):
        host = f"[{ipaddress.IPv6Address(host)}]"
    elif not _HOST.fullmatch(host):
        raise ValueError(host)
    if port == 0 or place.endswith(":") or "%" in place:
        raise ValueError(place)
    return host, port


def is_loopback(host: str) -> bool:
    """Whether a host's name or number is this machine's own; names are not looked up."""
    bare = host.strip("[]").rstrip(".").lower()
    if bare == "localhost" or bare.endswith(".localhost"):
        return True
    try:
        number = ipaddress.ip_address(bare)
    except ValueError:
        return False
    mapped = getattr(number, "ipv4_mapped", None)
    return (mapped or number).is_loopback or number.is_unspecified


def shown_url(url: str) -> str:
    """Give ``url`` without user, password, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the address"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


_USER = re.compile(r"(?<=://)[^\s/?#'\"@]*@")
_QUERY = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://[^\s?#'\"<>]*)[?#][^\s'\"<>]*")


def without_secrets(text: str) -> str:
    """Give a text whose web addresses have lost users, passwords, queries and fragments. Idempotent."""
    return _QUERY.sub(r"\1", _USER.sub("", text))


def redacted(text: str, address: Address, *secrets: str | None) -> str:
    """Give ``text`` without what ``address`` keeps secret, and without other secrets such as an access token."""
    hidden = {*_secrets_of(address), *(secret for secret in secrets if secret)}
    for secret in sorted(hidden, key=lambda secret: (-len(secret), secret)):
        text = text.replace(secret, "***")
    return without_secrets(text)


def _secrets_of(address: Address) -> set[str]:
    if address.kind not in ("url", "peer"):
        return set()
    parts = urlsplit(address.text)
    user = parts.netloc.rpartition("@")[0]
    values = [item.partition("=")[2] or item for item in parts.query.split("&")]
    values = [value for value in values if len(value) >= _SHORTEST_SECRET]
    found = {parts.query, user, user.partition(":")[2], *values} - {""}
    return found | {unquote(secret) for secret in found}


def _of_scheme(scheme: str, text: str, *, insecure: bool) -> Address:
    if not _PLAIN.fullmatch(text) or "\\" in text:
        _refuse(
            f"an address that begins with {scheme}:// holds a blank or another sign that no address may hold",
            "Copy the address again; other alphabets have to be written with % or xn--.",
        )
    if scheme in ("http", "https"):
        return _url(text, scheme, insecure=insecure)
    if scheme == "peer":
        return _peer(text)[1]
    hint = "Give the path itself." if scheme == "file" else _FORMS
    return _refuse(f"{scheme}:// addresses cannot be used", hint)


def _url(text: str, scheme: str, *, insecure: bool) -> Address:
    shown = shown_url(text)
    host, _, fragment = _checked(text, shown)
    if scheme == "https" or is_loopback(host):
        return Address(kind="url", text=text, shown=shown, sha256=_digest(fragment, shown))
    if not insecure:
        raise UsageError(
            "share.insecure",
            f"{shown} is not encrypted: whoever is in between could read and change the pack",
            subject="share",
            hint="Use the https:// address, or add --insecure if you accept that.",
        )
    warning = (
        f"{shown} is not encrypted: whoever is in between can read and change what is sent, DLM_SHARE_AUTH included"
    )
    return Address(kind="url", text=text, shown=shown, sha256=_digest(fragment, shown), warning=warning)


def _peer(text: str) -> tuple[Peer, Address]:
    shown = shown_url(text)
    host, port, fragment = _checked(text, shown)
    parts = urlsplit(text)
    dlm_id = parts.path[1:]
    if "@" in parts.netloc or port is None or parts.path[:1] != "/" or not re.match(ULID, dlm_id):
        _refuse(f"{shown} is not peer://<host>:<port>/<id>", _COPY)
    given = [item.partition("=")[::2] for item in parts.query.split("&") if item]
    values = dict(given)
    if len(values) != len(given) or not values.keys() <= {"token", "tls"}:
        _refuse(f"{shown} is followed by something else than one token and one tls", _COPY)
    if not _TOKEN.fullmatch(values.get("token", "")):
        _refuse(f"{shown} comes without its token, or with a damaged one", _COPY)
    if "tls" in values and not _DIGEST.fullmatch(values["tls"]):
        _refuse(f"{shown}: what follows tls= is not the 64 hex digits of a certificate", _COPY)
    certificate = values["tls"].lower() if "tls" in values else None
    peer = Peer(host=host, port=port, dlm_id=dlm_id, token=values["token"], certificate_sha256=certificate)
    warning = None
    if certificate is None and not is_loopback(host):
        warning = f"{shown} is not encrypted: others in this network can read the pack"
    digest = _digest(fragment, shown)
    return peer, Address(kind="peer", text=text, shown=shown, sha256=digest, warning=warning)


_COPY = "Copy the whole address that `dlm serve` printed, in quotes."


def _checked(text: str, shown: str) -> tuple[str, int | None, str]:
    """Give host, port and fragment."""
    try:
        return *host_and_port(text), urlsplit(text).fragment
    except ValueError:
        _refuse(f"{shown} has no usable host or port", _FORMS)


def _digest(fragment: str, shown: str) -> str | None:
    """Read ``sha256=…``. Anything else behind ``#`` is refused: a digest with a typing error must not be ignored."""
    if not fragment:
        return None
    name, _, value = fragment.partition("=")
    if name != "sha256" or not _DIGEST.fullmatch(value):
        _refuse(f"what follows # in {shown} is not sha256=<64 hex digits>", "Correct it, or leave it out with the #.")
    return value.lower()


def _hub(text: str) -> Address:
    repository, at, revision = text.removeprefix("hf:").partition("@")
    if not is_hub_id(repository):
        _refuse(f"{text!r:.150} names no repository of the Hub", "Write hf:<org>/<repo>, for example hf:anna/notes.")
    if at and (not _BRANCH.fullmatch(revision) or ".." in revision or "//" in revision):
        _refuse(f"{text!r:.150} names no branch, tag or commit after @", "Write hf:<org>/<repo>@main, for example.")
    return Address(kind="hub", text=text, shown=text, revision=revision or None)


def is_commit(revision: str) -> bool:
    """Whether a revision of the Hub names one commit for ever, not a branch or tag."""
    return REVISION.fullmatch(revision) is not None


def _looks_like_path(text: str) -> bool:
    return text.startswith(("/", "./", "../", "~", ".\\", "..\\")) or text in (".", "..") or _ends_like_path(text)


def _ends_like_path(text: str) -> bool:
    return text.endswith(("/", "\\")) or _SUFFIX.search(text) is not None


def _path(text: str) -> Address:
    if "\0" in text:
        _refuse("a path holds a zero byte", "Give the path of a file or folder.")
    return Address(kind="path", text=text, shown=text)


def _refuse(message: str, hint: str) -> NoReturn:
    raise UsageError("share.address", message, subject="share", hint=hint)
