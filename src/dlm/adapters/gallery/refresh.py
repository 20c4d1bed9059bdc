"""Fetching a published gallery: nothing is kept unless all of it checks out.

Order: signature over the exact bytes of the index → expiry → serial → each file by size and digest → its description
and its document. The first thing that does not hold ends the refresh.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import attrs

from dlm.adapters.gallery.cache import CacheState, GalleryCache
from dlm.adapters.gallery.index import (
    MAX_INDEX_BYTES,
    MAX_SIGNATURE_BYTES,
    Index,
    IndexEntry,
    IndexFile,
    needs_newer,
    parse_index,
)
from dlm.domain.errors import NetworkError, StoreError, TemplateError
from dlm.domain.events import Emit, Note, Progress
from dlm.domain.json_record import RecordError
from dlm.domain.minisign import PublicKey, Verdict
from dlm.domain.templates import RefreshResult, parse_template
from dlm.ports.clock import Clock
from dlm.ports.http import HttpPort
from dlm.ports.signatures import SignatureVerifier

# Trouble that may pass by itself, as opposed to an answer that had to be refused.
_PASSING = frozenset({"http.unreachable", "http.status", "http.missing"})


class _RefusalError(Exception):
    """What the gallery offered is refused."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


@attrs.frozen(kw_only=True)
class Refresher:
    """One way to get a newer gallery.

    Args:
        url: address of the folder that holds ``index.json``.
        keys: whoever signs with one of these is trusted.
        dlm_version: templates that need a newer one are skipped.
    """

    url: str
    keys: Sequence[PublicKey]
    http: HttpPort
    verifier: SignatureVerifier
    cache: GalleryCache
    clock: Clock
    dlm_version: str

    def run(self, *, accept_unsigned: bool, emit: Emit) -> RefreshResult:
        """Fetch, check and swap in. Never raises for what the network or the gallery does."""
        try:
            return self._run(accept_unsigned, emit)
        except _RefusalError as exc:
            return _refused(str(exc), exc.hint)
        except NetworkError as exc:
            if exc.code not in _PASSING:
                return _refused(exc.message, exc.hint)
            message = f"no newer gallery was fetched: {exc.message}"
            return RefreshResult(ok=True, warning=True, message=message, hint=exc.hint)
        except (TemplateError, StoreError) as exc:
            return _refused(exc.message, exc.hint)

    def _run(self, accept_unsigned: bool, emit: Emit) -> RefreshResult:
        self.cache.sweep()
        data = self.http.get(self._address("index.json"), limit_bytes=MAX_INDEX_BYTES)
        verdict = self._signer(data, accept_unsigned)
        signed = verdict is not None and verdict.outcome == "valid"
        index = self._read_index(data)
        before = self._state_before(signed)
        _check_serial(index.serial, before, signed)
        files = self._fetch_all(index, signed=signed, emit=emit)
        state = CacheState(
            serial=index.serial,
            fetched_at=self.clock.now(),
            index_sha256=hashlib.sha256(data).hexdigest(),
            signer_key_id=verdict.signer if verdict else None,
            unsigned=not signed,
            signed_serial=index.serial if signed else (before.signed_serial if before else None),
        )
        self.cache.replace(files, state)
        by = f"signed by {state.signer_key_id}" if signed else "nobody you trust vouches for it"
        return RefreshResult(
            ok=True, warning=not signed, message=f"fetched {len(files) // 2} templates, serial {index.serial} ({by})"
        )

    def _signer(self, index: bytes, accept_unsigned: bool) -> Verdict | None:
        """Give the verdict on the index; None when there is no signature and that is accepted."""
        try:
            signature = self.http.get(self._address("index.json.minisig"), limit_bytes=MAX_SIGNATURE_BYTES)
        except NetworkError as exc:
            if exc.code != "http.missing":
                raise
            if accept_unsigned:
                return None
            raise _RefusalError("the gallery is not signed", _UNSIGNED_HINT) from exc
        verdict = self.verifier.verify(index, signature, keys=self.keys, require_prehashed=True)
        if verdict.outcome == "valid" or (verdict.outcome == "unknown-key" and accept_unsigned):
            return verdict
        hint = _UNSIGNED_HINT if verdict.outcome == "unknown-key" else None
        raise _RefusalError(f"the signature of the gallery is refused: {verdict.reason}", hint)

    def _read_index(self, data: bytes) -> Index:
        try:
            index = parse_index(data)
        except RecordError as exc:
            raise _RefusalError(f"index.json is refused: {exc.message}") from exc
        if index.expires_at <= self.clock.now():
            raise _RefusalError(
                f"index.json expired on {index.expires_at:%Y-%m-%d}",
                "Check this machine's clock; if it is right, the gallery must be published again.",
            )
        return index

    def _state_before(self, signed: bool) -> CacheState | None:
        try:
            return self.cache.state()
        except TemplateError:
            # A damaged state says nothing about serials. Only a trusted signature may take its place.
            if signed:
                return None
            raise

    def _fetch_all(self, index: Index, *, signed: bool, emit: Emit) -> dict[str, bytes]:
        files: dict[str, bytes] = {}
        for done, entry in enumerate(index.templates, start=1):
            if needs_newer(entry, self.dlm_version):
                message = f"{entry.name} needs dlm {entry.min_dlm_version} or newer; it is skipped"
                emit(Note(subject="templates", message=message, severity="warning"))
            else:
                files |= self._fetch_pair(entry, signed=signed)
            emit(Progress(stage="templates", done=done, total=len(index.templates), unit="templates"))
        return files

    def _fetch_pair(self, entry: IndexEntry, *, signed: bool) -> dict[str, bytes]:
        document, meta = self._fetch(entry.dlm), self._fetch(entry.meta)
        parse_template(entry.name, document=document, meta=meta, source="cache" if signed else "cache-unsigned")
        return {f"{entry.name}.dlm": document, f"{entry.name}.meta.yaml": meta}

    def _fetch(self, file: IndexFile) -> bytes:
        data = self.http.get(self._address(file.path), limit_bytes=file.size)
        if len(data) != file.size or hashlib.sha256(data).hexdigest() != file.sha256:
            raise _RefusalError(f"{file.path} is not the file that index.json describes")
        return data

    def _address(self, name: str) -> str:
        return f"{self.url.rstrip('/')}/{name}"


_UNSIGNED_HINT = (
    "If you know where it comes from, put its public key into the trusted-keys folder of your dlm home, "
    "or accept it as it is with --accept-unsigned."
)


def _check_serial(serial: int, before: CacheState | None, signed: bool) -> None:
    if before is None:
        return
    floor = before.signed_serial if signed else before.serial
    if floor is not None and serial < floor:
        raise _RefusalError(f"the gallery's serial {serial} is older than {floor}, which was fetched before")


def _refused(message: str, hint: str | None) -> RefreshResult:
    return RefreshResult(ok=False, message=f"{message}; the templates here stay as they were", hint=hint)
