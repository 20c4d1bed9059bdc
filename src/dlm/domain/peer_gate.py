"""Who gets a pack from a peer server, and who hears what instead."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Literal

import attrs

from dlm.domain.peer_limits import AddressLimits, Admit, Refuse, TokenLimits
from dlm.domain.peer_token import PeerToken, read_token

METHODS = ("GET", "HEAD")
SIGNATURE_SUFFIX = ".minisig"

Served = Literal["pack", "signature"]

_SHOWN = 64
_ORDINARY = re.compile(r"[A-Za-z0-9._/-]*")


@attrs.frozen(kw_only=True)
class PeerRequest:
    """A request as it came in.

    Args:
        path: not decoded, without the query.
        query: what follows the question mark; holds the token.
        client: the address it came from.
    """

    method: str
    path: str
    query: str = attrs.field(default="", repr=False)
    client: str

    @property
    def shown(self) -> str:
        """The path for people: ordinary characters only, too short for a token that was put into it by mistake."""
        ordinary = _ORDINARY.match(self.path)
        cut = ordinary.group()[:_SHOWN] if ordinary else ""
        return cut if cut == self.path else f"{cut}…"

    @property
    def token(self) -> str | None:
        """The token; of several there is none that could hold."""
        given = [part[6:] for part in self.query.split("&") if part.startswith("token=")]
        return "&".join(given) or None


class PeerGate:
    """Decides about each request: 404, 405, 401, 403, 410, 429, in this order, else it is admitted.

    Not for several threads at once. ``close`` ends all tokens: the secret is gone, and everything is 410.
    """

    def __init__(self, dlm_id: str, *, secret: bytes, is_signed: bool, max_concurrency: int, rate_limit: int) -> None:
        self._dlm_id = dlm_id
        self._secret: bytes | None = secret
        self._served: dict[str, Served] = {f"/{dlm_id}": "pack"}
        if is_signed:
            self._served[f"/{dlm_id}{SIGNATURE_SUFFIX}"] = "signature"
        self._tokens = TokenLimits(max_concurrency=max_concurrency, rate_limit=rate_limit)
        self._addresses = AddressLimits()

    def what(self, request: PeerRequest) -> Served | None:
        """Say what lies at the path of a request."""
        return self._served.get(request.path)

    def decide(
        self, request: PeerRequest, *, now: datetime, tick: float, is_withdrawn: Callable[[], bool]
    ) -> Admit | Refuse:
        """Decide about a request.

        Args:
            now: for the expiry of tokens.
            tick: for the limits: seconds of a clock that never goes back.
            is_withdrawn: whether the pack's file is gone; asked only on behalf of those with a valid token.
        """
        token = self._token(request, now)
        misplaced = self._misplaced(request)
        if isinstance(token, Refuse):
            refusal = misplaced or token
            return refusal if token.status == 410 else self._addresses.admit(request.client, tick) or refusal
        if misplaced is not None:
            return misplaced
        return Refuse(410) if is_withdrawn() else self._tokens.admit(token.nonce, tick)

    def release(self, admitted: Admit) -> None:
        """Give the slot of an admitted request back."""
        self._tokens.release(admitted)

    def active(self) -> int:
        """Give the number of admitted requests that were not released."""
        return self._tokens.active()

    def close(self) -> None:
        """End all tokens."""
        self._secret = None

    def _misplaced(self, request: PeerRequest) -> Refuse | None:
        if self.what(request) is None:
            return Refuse(404)
        return None if request.method in METHODS else Refuse(405)

    def _token(self, request: PeerRequest, now: datetime) -> PeerToken | Refuse:
        if request.token is None:
            return Refuse(401)
        if self._secret is None:
            return Refuse(410)
        read = read_token(request.token, self._dlm_id, secret=self._secret, now=now)
        return read if isinstance(read, PeerToken) else Refuse(403)
