"""Any web address that takes a POST and gives a GET."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dlm.adapters.share.files import require_digest, tell_warning
from dlm.adapters.share.wire import Wire
from dlm.domain.errors import ShareError
from dlm.domain.events import Emit, ignore
from dlm.domain.share import PACK_NAME, SIGNATURE_SUFFIX, Address, signature_url, web_url
from dlm.domain.transfer import LIMITS, TransferLimits
from dlm.ports.share import Fetched, Parcel

AUTH_VARIABLE = "DLM_SHARE_AUTH"

_REFUSED_HINT = f"Set {AUTH_VARIABLE} to what this place wants in its Authorization header, such as 'Bearer <token>'."


class HttpShare:
    """``SharePort`` for ``https://`` addresses.

    The pack and, before it, its signature are sent with POST and fetched with GET. ``DLM_SHARE_AUTH``, else user and
    password of the address, go along in the ``Authorization`` header, to the address's own origin only.
    """

    kind = "url"

    def __init__(self, environ: Mapping[str, str], *, limits: TransferLimits = LIMITS) -> None:
        self._auth = environ.get(AUTH_VARIABLE) or None
        self._limits = limits

    def push(self, parcel: Parcel, to: Address, *, emit: Emit) -> str:
        """Send a pack; the signature first, so that there is no unsigned moment."""
        tell_warning(to, emit)
        wire, url = self._wire(to)
        if parcel.signature is not None:
            try:
                wire.send(signature_url(url), parcel.signature, emit=ignore)
            except ShareError as exc:
                raise ShareError(
                    exc.code, f"the signature was not accepted, so nothing was sent: {exc.message}", hint=exc.hint
                ) from exc
        wire.send(url, parcel.pack, emit=emit)
        return to.shown

    def pull(self, source: Address, into: Path, *, emit: Emit) -> Fetched:
        """Fetch a pack and its signature."""
        tell_warning(source, emit)
        wire, url = self._wire(source)
        pack = into / PACK_NAME
        wire.fetch(url, pack, cap=self._limits.pack_bytes, emit=emit)
        require_digest(pack, source)
        signature, problem = wire.fetch_signature(signature_url(url), into / f"{PACK_NAME}{SIGNATURE_SUFFIX}")
        return Fetched(pack=pack, signature=signature, signature_problem=problem)

    def _wire(self, address: Address) -> tuple[Wire, str]:
        """Give the network for an address, and the address without user and password."""
        parts = urlsplit(web_url(address))
        user, _, place = parts.netloc.rpartition("@")
        auth = _checked(self._auth) if self._auth is not None else _basic(user)
        wire = Wire(address=address, auth=auth, refused_hint=_REFUSED_HINT, limits=self._limits)
        return wire, parts._replace(netloc=place).geturl()


def _checked(auth: str) -> str:
    """Refuse what no header can hold, before the HTTP library does so with the value in its message."""
    if re.fullmatch(r"[!-~]+( +[!-~]+)*", auth):
        return auth
    raise ShareError(
        "share.auth",
        f"{AUTH_VARIABLE} holds a line break, or another sign that cannot be sent",
        hint=f"Set {AUTH_VARIABLE} again, in one line, such as 'Bearer <token>'.",
    )


def _basic(user: str) -> str | None:
    """Give the header for ``user:password`` of an address. Source: RFC 7617."""
    if not user:
        return None
    name, _, password = user.partition(":")
    return "Basic " + base64.b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode()
