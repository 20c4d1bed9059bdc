"""Serving a pack to other machines on the network."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import attrs

from dlm.domain.errors import ShareError
from dlm.domain.events import Emit

DEFAULT_PORT = 7337


def _positive(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if value <= 0:
        raise ShareError("serve.limits", f"{attribute.name} is {value}; it has to be more than 0")


@attrs.frozen(kw_only=True)
class PeerJob:
    """A pack to serve. Raises ``ShareError`` ``serve.limits``.

    Args:
        sha256: of the pack; goes into the address, and is its strong ETag.
        signature: the pack's ``.minisig`` file; None when it is not signed.
        ttl_s: seconds in which a download may start.
        max_concurrency: requests of one token at once.
        rate_limit: requests of one token in 60 s.
        is_encrypted: TLS with a certificate made for this run, whose digest goes into the address.
    """

    dlm_id: str
    pack: Path
    sha256: str
    signature: Path | None = None
    ttl_s: float = attrs.field(default=900.0, validator=_positive)
    max_concurrency: int = attrs.field(default=4, validator=_positive)
    rate_limit: int = attrs.field(default=30, validator=_positive)
    is_encrypted: bool = False


class RunningPeer(Protocol):
    """A server that answers until it is stopped. Leaving its ``with`` block stops it.

    Attributes:
        url: the address for ``dlm pull``; holds the token. A server that listens everywhere names this machine's
            address in the network, or ``<address>`` when it is not known.
        address: host and port that it listens at.
        expires: when the token does.
        certificate_sha256: of an encrypted server's certificate, in hex.
    """

    @property
    def url(self) -> str: ...

    @property
    def address(self) -> tuple[str, int]: ...

    @property
    def expires(self) -> datetime: ...

    @property
    def certificate_sha256(self) -> str | None: ...

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the server has stopped; False when it still runs after ``timeout_s``. Ctrl-C ends the wait, not
        the server. Raises what an observer raised, and ``ShareError`` ``serve.failed``."""
        ...

    def stop(self) -> None:
        """End all tokens at once, let running transfers finish for up to 10 s, and free the port.

        A second call, from another thread or after the first was interrupted, cuts the transfers off. Calls on a
        stopped server do nothing. Raises as ``wait`` does.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class BoundPeer(Protocol):
    """A port that is taken and not served yet; who connects waits. Leaving its ``with`` block frees it, and stops what
    still runs on it.

    Attributes:
        address: host and the real port.
    """

    @property
    def address(self) -> tuple[str, int]: ...

    def start(self, job: PeerJob, *, emit: Emit) -> RunningPeer:
        """Serve a pack from a thread of its own; once. ``emit`` gets ``PeerAnswered`` there, for each request; what it
        raises stops the server. Raises ``ShareError`` ``serve.unreadable``."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class PeerServerPort(Protocol):
    """Serves packs over HTTP: ``GET`` and ``HEAD`` of ``/<dlm_id>`` and ``/<dlm_id>.minisig`` with ``?token=…``.

    Statuses as ``PeerGate`` decides; single ranges; no secret in any event or log line.
    """

    def bind(self, host: str, port: int = DEFAULT_PORT) -> BoundPeer:
        """Take a port; 0 for one that is free. Raises ``ShareError`` ``serve.port`` when another program has it, and
        ``serve.bind``."""
        ...
