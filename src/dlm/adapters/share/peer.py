"""Fetching from somebody who runs ``dlm serve``."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path
from typing import Any

import attrs

from dlm.adapters.share.files import require_digest, tell_warning
from dlm.adapters.share.wire import Wire
from dlm.domain.errors import ShareError
from dlm.domain.events import Emit
from dlm.domain.share import PACK_NAME, SIGNATURE_SUFFIX, Address, peer_of
from dlm.domain.transfer import LIMITS, TransferLimits
from dlm.ports.share import Fetched, Parcel

_REFUSED_HINT = "The address is used up or damaged. Ask for a new one; `dlm serve` prints it."


class PeerShare:
    """``SharePort`` for ``peer://`` addresses: fetching only.

    A peer gets the token of its address and nothing else: no credentials, no proxy in between, no redirect followed.
    An address with ``tls=`` is reached over TLS, and its token is sent only after the peer showed the certificate with
    that SHA-256.
    """

    kind = "peer"

    def __init__(self, *, limits: TransferLimits = LIMITS) -> None:
        self._limits = attrs.evolve(limits, redirects=0)

    def push(self, parcel: Parcel, to: Address, *, emit: Emit) -> str:
        """Refuse: a peer takes nothing."""
        raise ShareError(
            "share.peer-push",
            f"nothing can be pushed to {to.shown}: peers fetch",
            hint="Run `dlm serve <document>` here, and `dlm pull` there with the address that it prints.",
        )

    def pull(self, source: Address, into: Path, *, emit: Emit) -> Fetched:
        """Fetch a pack and its signature."""
        tell_warning(source, emit)
        peer = peer_of(source)
        wire = Wire(
            address=source,
            refused_hint=_REFUSED_HINT,
            limits=self._limits,
            proxies=False,
            encryption=lambda: pinned(peer.certificate_sha256 or ""),
        )
        pack = into / PACK_NAME
        wire.fetch(peer.url(), pack, cap=self._limits.pack_bytes, emit=emit)
        require_digest(pack, source)
        signature, problem = wire.fetch_signature(peer.url(SIGNATURE_SUFFIX), into / f"{PACK_NAME}{SIGNATURE_SUFFIX}")
        return Fetched(pack=pack, signature=signature, signature_problem=problem)


def pinned(certificate_sha256: str) -> ssl.SSLContext:
    """Give TLS settings that accept one certificate, by the SHA-256 of its DER bytes in lower-case hex.

    Neither name nor issuer nor dates are looked at: a peer makes its certificate itself, for one evening. The
    handshake fails before anything is sent over the link.
    """

    class Pinned(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            shown = self.getpeercert(binary_form=True)
            if shown is None or hashlib.sha256(shown).hexdigest() != certificate_sha256:
                raise ssl.SSLCertVerificationError("the certificate is not the one of the address")

    context: Any = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = Pinned
    settings: ssl.SSLContext = context
    return settings
