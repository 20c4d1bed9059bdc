"""Send a document or pack somewhere; fetch one, check who signed it, and install it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import attrs

from dlm.app.callers import shielded, unwrapped
from dlm.app.pack import SIDECAR, PackOptions, default_name, pack, sign_beside
from dlm.app.share_ports import SharingPorts
from dlm.app.unpack import UnpackReport, unpack
from dlm.domain.base_rows import BASES
from dlm.domain.document import Document
from dlm.domain.errors import ShareError, SignatureError, UsageError
from dlm.domain.events import Emit, Note, ignore
from dlm.domain.hub_card import hub_card
from dlm.domain.pack import PackContents
from dlm.domain.provenance import provenance_from_json
from dlm.domain.share import hub_repository, parse_address
from dlm.domain.text_files import disk_error
from dlm.ports.share import Fetched, Parcel

SignaturePolicy = Literal["permissive", "reject_invalid", "require_verified"]
SignatureStatus = Literal["verified", "unverified", "unsigned"]

_SIGNATURE_BYTES = 8 << 10


@attrs.frozen(kw_only=True)
class PushReport:
    """A pack was sent. ``to`` is where it is now, without secrets; ``pull`` the command that fetches it."""

    to: str
    sha256: str
    size_bytes: int
    signed: bool
    pull: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Give one object, as ``dlm push --json`` prints it."""
        return attrs.asdict(self)


@attrs.frozen(kw_only=True)
class PullReport:
    """A pack was fetched and installed.

    Args:
        status: ``verified`` by a trusted key, ``unverified`` although there may be a signature, ``unsigned``.
        reason: why, in words.
        signer: key id of a verified signature.
    """

    source: str
    installed: UnpackReport
    status: SignatureStatus
    reason: str
    signer: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Give one object, as ``dlm pull --json`` prints it."""
        return {**attrs.asdict(self, recurse=False), "installed": self.installed.to_json()}


@attrs.frozen
class _Signature:
    status: SignatureStatus
    reason: str
    signer: str | None = None
    is_forged: bool = False


def push(
    path: Path,
    to: str,
    options: PackOptions,
    *,
    insecure: bool = False,
    ports: SharingPorts,
    emit: Emit = ignore,
) -> PushReport:
    """Send a pack, or a document as a pack made for the occasion.

    Args:
        path: a ``.dlm`` or a ``.pack``.
        options: of packing, for documents; a pack goes as it is.
        insecure: send unencrypted to another machine.

    Raises:
        UsageError: no address, or options that a finished pack cannot follow.
        PackError, ShareError, SignatureError.
    """
    address = parse_address(to, exists=_exists, insecure=insecure)
    share = ports.shares[address.kind]
    with unwrapped(), _parcel(path, options, ports, shielded(emit)) as parcel:
        contents = ports.packs.check(parcel.pack, emit=ignore)
        if address.kind in ("hub", "url"):
            _refuse_unlicensed(contents)
        if address.kind == "hub":
            card = hub_card(
                hub_repository(address),
                contents.header,
                contents.manifest,
                revision=address.revision,
                signed=parcel.signature is not None,
            )
            parcel = attrs.evolve(parcel, card=card)
        shown = share.push(parcel, address, emit=shielded(emit))
    return PushReport(
        to=shown,
        sha256=contents.sha256,
        size_bytes=contents.size_bytes,
        signed=parcel.signature is not None,
        pull=f"dlm pull {address.shown}" if address.kind == "hub" else None,
    )


def pull(
    source: str,
    *,
    out: Path | None = None,
    force: bool = False,
    policy: SignaturePolicy = "permissive",
    insecure: bool = False,
    ports: SharingPorts,
    emit: Emit = ignore,
) -> PullReport:
    """Fetch a pack, look who signed it, check all of it, and install it.

    Args:
        out: folder for the document; the current one when None.
        policy: ``permissive`` installs what is whole, whoever signed it; ``reject_invalid`` not what a trusted key is
            said to have signed and did not; ``require_verified`` only what a trusted key signed.

    Raises:
        UsageError: no address.
        ShareError, SignatureError, PackError, StoreError.
    """
    address = parse_address(source, exists=_exists, insecure=insecure)
    with unwrapped(), TemporaryDirectory(prefix="dlm-pull-") as folder:
        fetched = ports.shares[address.kind].pull(address, Path(folder), emit=shielded(emit))
        signature = _check(fetched, ports)
        _obey(policy, signature)
        installed = unpack(
            fetched.pack,
            out=out or Path.cwd(),
            force=force,
            confirm=lambda contents: _compare_signers(contents, signature, ports, emit),
            ports=ports,
            emit=emit,
        )
    return PullReport(
        source=address.shown,
        installed=installed,
        status=signature.status,
        reason=signature.reason,
        signer=signature.signer,
    )


@contextmanager
def _parcel(path: Path, options: PackOptions, ports: SharingPorts, emit: Emit) -> Iterator[Parcel]:
    if not _is_document(path):
        _refuse_pack_options(options)
        sidecar = path.with_name(path.name + SIDECAR)
        yield Parcel(pack=path, signature=_sign(path, ports) if options.sign else sidecar if sidecar.exists() else None)
        return
    document = Document.load(path)
    with TemporaryDirectory(prefix="dlm-push-") as folder:
        made = pack(
            document,
            attrs.evolve(options, out=Path(folder) / default_name(document).name),
            ports=ports,
            emit=emit,
        )
        yield Parcel(pack=made.path, signature=made.signature)


def _is_document(path: Path) -> bool:
    """Tell a document from a pack by its first bytes: a pack is a zstd stream."""
    try:
        with path.open("rb") as file:
            return file.read(4) != b"\x28\xb5\x2f\xfd"
    except OSError as exc:
        raise disk_error(exc, path) from exc


def _refuse_pack_options(options: PackOptions) -> None:
    given = {
        "--include-exports": options.include_exports,
        "--include-base": options.include_base,
        "--include-logs": options.include_logs,
        "--i-am-the-licensee": options.licensee_url is not None,
    }
    for name, is_given in given.items():
        if is_given:
            raise UsageError(
                "share.pack-options",
                f"{name} says what goes into a pack, and this one is made already",
                subject="push",
                hint="Push the document, or make the pack again with dlm pack.",
            )


def _sign(path: Path, ports: SharingPorts) -> Path:
    """Sign a finished pack beside it."""
    with ports.signer.unlock(ports.ask) as key:
        return sign_beside(path, key, ports)


def _refuse_unlicensed(contents: PackContents) -> None:
    """A pack with a base inside goes into the world only if that base may."""
    header = contents.header
    if header.content_type not in ("full", "no-exports") or header.licensee_acceptance_url:
        return
    row = BASES.get(contents.manifest.base_model)
    if row is None or not row.redistributable:
        raise ShareError(
            "share.base-license",
            f"the pack holds the weights of {contents.manifest.base_model}, which may not be passed on freely",
            hint="Pack again without --include-base, or with --i-am-the-licensee <address of your acceptance>.",
        )


def _check(fetched: Fetched, ports: SharingPorts) -> _Signature:
    """Look who signed what arrived, before anything in it is read."""
    if fetched.signature is None:
        if fetched.signature_problem is not None:
            return _Signature("unverified", f"its signature could not be fetched: {fetched.signature_problem}")
        return _Signature("unsigned", "it comes without a signature")
    try:
        text = fetched.signature.read_bytes()[:_SIGNATURE_BYTES]
    except OSError as exc:
        raise disk_error(exc, fetched.signature) from exc
    verdict = ports.verifier.verify_file(fetched.pack, text, keys=[trusted.key for trusted in ports.trust.trusted()])
    if verdict.outcome == "valid":
        return _Signature("verified", verdict.reason, verdict.signer)
    return _Signature("unverified", verdict.reason, is_forged=verdict.outcome == "invalid")


def _obey(policy: SignaturePolicy, signature: _Signature) -> None:
    if policy == "require_verified" and signature.status != "verified":
        raise SignatureError(
            "verify.untrusted", f"not installed: {signature.reason}", exit_code=2, hint="Trust its key: dlm keys trust."
        )
    if policy != "permissive" and signature.is_forged:
        raise SignatureError(
            "verify.rejected", f"not installed: {signature.reason}", exit_code=3, hint="Get it from its author again."
        )


def _compare_signers(contents: PackContents, signature: _Signature, ports: SharingPorts, emit: Emit) -> None:
    """Warn when what is here was signed by somebody, and what arrived is not signed by the same."""
    before = ports.store.read_provenance(contents.manifest.dlm_id)
    if before is None:
        return
    known = provenance_from_json(before).signer
    if signature.status == "verified" and signature.signer == known.name:
        return
    message = (
        f"the pack installed before was signed by {known.name}; this one is {signature.status} ({signature.reason}). "
        "Somebody else may have made it"
    )
    emit(Note(subject="pull", message=message, severity="warning"))


def _exists(name: str) -> bool:
    return Path(name).exists()
