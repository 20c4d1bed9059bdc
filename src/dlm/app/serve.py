"""Serve a document's pack to other machines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs

from dlm.app.callers import shielded, unwrapped
from dlm.app.pack import PackOptions, default_name, pack
from dlm.app.share_ports import SharingPorts
from dlm.domain.document import Document
from dlm.domain.errors import ShareError
from dlm.domain.events import Emit, Note, ignore
from dlm.domain.peer_limits import bind_host
from dlm.ports.peer_server import DEFAULT_PORT, PeerJob, RunningPeer


@attrs.frozen(kw_only=True)
class ServeOptions:
    """The words of ``dlm serve``.

    Args:
        port: 0 for one that is free.
        public, acknowledged: listen for other machines; takes both.
        ttl_minutes: how long a download may start.
        encrypted: TLS with a certificate made for this run; its digest is part of the address.
        sign: with the home's own key.
    """

    port: int = DEFAULT_PORT
    public: bool = False
    acknowledged: bool = False
    max_concurrency: int = 4
    rate_limit: int = 30
    ttl_minutes: float = 15.0
    encrypted: bool = False
    sign: bool = False


@contextmanager
def serve(
    document: Document, options: ServeOptions, *, ports: SharingPorts, emit: Emit = ignore
) -> Iterator[RunningPeer]:
    """Serve for the length of a ``with`` block. The port is taken first; the pack is made for the occasion and removed
    at the end, whatever happens.

    Raises:
        ShareError: the port is taken.
        PackError: the document was never trained.
    """
    host = bind_host(options.public, options.acknowledged)
    if options.public and not options.acknowledged:
        emit(Note(subject="serve", message=host.reason, severity="warning"))
    with unwrapped(), ports.peers.bind(host.value, options.port) as bound, _folder() as folder:
        made = pack(
            document,
            PackOptions(out=folder / default_name(document).name, sign=options.sign),
            ports=ports,
            emit=emit,
        )
        job = PeerJob(
            dlm_id=document.dlm_id,
            pack=made.path,
            sha256=made.sha256,
            signature=made.signature,
            ttl_s=options.ttl_minutes * 60.0,
            max_concurrency=options.max_concurrency,
            rate_limit=options.rate_limit,
            is_encrypted=options.encrypted,
        )
        with bound.start(job, emit=shielded(emit)) as running:
            yield running


@contextmanager
def _folder() -> Iterator[Path]:
    try:
        holder = TemporaryDirectory(prefix="dlm-serve-")
    except OSError as exc:
        raise ShareError("serve.no-room", f"no temporary folder can be made: {exc.strerror}") from exc
    with holder as folder:
        yield Path(folder)
