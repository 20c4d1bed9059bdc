"""``provenance.json``: who vouches for a pack, and for what in it.

Four digests describe a pack's contents, and the signature covers them with the time and the signer:

=====================  ===============================================================================================
``adapter_sha256``     SHA-256 of the live ``adapter_model.safetensors``. With named adapters: of the lines
                       ``<name> LF <its sha256> LF``, sorted; a document's unnamed adapter beside them counts as
                       ``default``. 64 zeros when nothing was trained.
``base_revision``      40-digit commit of the base; without one, as for a local folder, the 64-digit SHA-256 of its
                       files; 40 zeros when neither is known.
``corpus_root_sha256`` SHA-256 of the lines ``<section_id> LF``, sorted: the keys of ``content_hashes`` in the store's
                       manifest, the sections of the last successful run.
``env_lock_digest``    SHA-256 of ``dlm.lock``; 64 zeros without one.
=====================  ===============================================================================================

The file may hold nothing else, yet these do not cover the document's own bytes, older versions, replay or settings.
So the trusted comment of the signature, which is signed too and free in form, carries the digest of everything in the
pack: :data:`CONTENT_FIELD`. Other readers pass over it; a signature without it vouches for the four digests alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import attrs

from dlm.domain.errors import ConfigError, SignatureError
from dlm.domain.json_record import RecordError, dump_object, in_seconds, in_utc, parse_object, structure
from dlm.domain.manifest import ADAPTER_NAME, RESERVED_ADAPTER_NAMES, Manifest
from dlm.domain.minisign import PublicKey, parse_public_key, public_key_text, trusted_comment
from dlm.domain.pack import HEADER, PROVENANCE, STORE
from dlm.domain.store_layout import LOCK, POINTER

MAX_PROVENANCE_BYTES = 1 << 16
CONTENT_FIELD = "dlm-content-sha256:"
"""Field of the trusted comment: digest of all members but the header and ``provenance.json``."""
NO_SHA256, NO_REVISION = "0" * 64, "0" * 40
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REVISION = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_POINTER = re.compile(rf"{STORE}adapter/(?:({ADAPTER_NAME.pattern})/)?{re.escape(POINTER)}")
_WEIGHTS_NAME = "adapter_model.safetensors"
_WEIGHTS = re.compile(
    rf"{STORE}adapter/(?:({ADAPTER_NAME.pattern})/)?versions/(v[0-9]{{4,18}})/{re.escape(_WEIGHTS_NAME)}"
)


def _is_sha256(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not _SHA256.fullmatch(value):
        raise ValueError(f"{attribute.name} must be 64 lower-case hex digits, found {value[:80]!r}")


def _is_revision(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not _REVISION.fullmatch(value):
        raise ValueError(f"{attribute.name} must be 40 or 64 lower-case hex digits, found {value[:80]!r}")


def _is_time(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    try:
        in_utc(datetime.fromisoformat(value))
    except (ValueError, OverflowError) as exc:
        message = f"{attribute.name} must be a time such as 2026-04-23T18:42:11Z, found {value[:80]!r}"
        raise ValueError(message) from exc


def _is_public_key(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    try:
        parse_public_key(value.strip().encode())
    except ConfigError as exc:
        raise ValueError(f"{attribute.name} is {exc.message}") from exc


@attrs.frozen(kw_only=True)
class Chain:
    """The four digests of a pack's contents; see the top of this module."""

    adapter_sha256: str = attrs.field(validator=_is_sha256)
    base_revision: str = attrs.field(validator=_is_revision)
    corpus_root_sha256: str = attrs.field(validator=_is_sha256)
    env_lock_digest: str = attrs.field(validator=_is_sha256)


@attrs.frozen(kw_only=True)
class Statement(Chain):
    """What is signed: the chain, when (UTC, seconds, with ``Z``), and the signer's ``.pub`` text."""

    signed_at: str = attrs.field(validator=_is_time)
    signer_public_key: str = attrs.field(validator=_is_public_key)

    @property
    def signer(self) -> PublicKey:
        """The signer's key, whoever that is: nothing is said yet about trusting it."""
        return parse_public_key(self.signer_public_key.strip().encode())

    def signed_bytes(self) -> bytes:
        """Give the canonical JSON of the six fields: sorted keys, no blanks, non-ASCII characters escaped."""
        record = {field.name: getattr(self, field.name) for field in attrs.fields(Statement)}
        return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


@attrs.frozen(kw_only=True)
class Provenance(Statement):
    """A statement with its signature, the text of a ``.minisig`` file over :meth:`signed_bytes`. Not checked yet."""

    signature: str


def state(chain: Chain, *, signed_at: datetime, key: PublicKey) -> Statement:
    """Give the statement to be signed."""
    moment = in_seconds(signed_at).replace(tzinfo=None).isoformat() + "Z"
    return Statement(**_fields(chain, Chain), signed_at=moment, signer_public_key=public_key_text(key))


def statement_comment(content_sha256: str, *, signed_at: datetime) -> str:
    """Give the trusted comment for the signature of a statement."""
    return trusted_comment(int(in_utc(signed_at).timestamp()), PROVENANCE, CONTENT_FIELD + content_sha256)


def with_signature(statement: Statement, signature: str) -> Provenance:
    """Give the statement with the signature over it."""
    return Provenance(**_fields(statement, Statement), signature=signature)


def provenance_to_json(provenance: Provenance) -> str:
    """Give the text of ``provenance.json``: sorted keys, two-space indent, final LF, non-ASCII characters escaped."""
    return dump_object(_fields(provenance, Provenance), ascii_only=True)


def provenance_from_json(text: str) -> Provenance:
    """Read ``provenance.json``, strictly: seven texts, each of its form. The signature is only taken as text.

    Raises:
        SignatureError: ``verify.broken``.
    """
    try:
        if len(text.encode("utf-8", "surrogatepass")) > MAX_PROVENANCE_BYTES:
            raise RecordError(f"larger than {MAX_PROVENANCE_BYTES >> 10} KiB")
        return structure(Provenance, parse_object(text))
    except RecordError as exc:
        raise _broken(f"{PROVENANCE} cannot be read: {exc.message}") from exc


def chain_of(
    *,
    weights: Mapping[str | None, str],
    content_hashes: Iterable[str],
    lock_sha256: str | None,
    base_revision: str | None,
    base_sha256: str | None = None,
) -> Chain:
    """Give the chain of a pack.

    Args:
        weights: SHA-256 of each live adapter's weights by its name; None is a document's only adapter.
        content_hashes: section ids of the last successful run.
        lock_sha256: of ``dlm.lock``; None without one.
        base_revision: as the manifest has it. What is no 40-digit commit counts as none.
        base_sha256: of the base's files; stands in for a missing revision.
    """
    has_revision = base_revision is not None and len(base_revision) == 40 and _REVISION.fullmatch(base_revision)
    return Chain(
        adapter_sha256=_adapters_digest(weights),
        base_revision=(base_revision if has_revision else None) or base_sha256 or NO_REVISION,
        corpus_root_sha256=_sha256("".join(f"{name}\n" for name in sorted(set(content_hashes)))),
        env_lock_digest=lock_sha256 or NO_SHA256,
    )


def chain_of_pack(checksums: Mapping[str, str], manifest: Manifest) -> Chain:
    """Give the chain of a pack from its members' checksums (by path in the pack) and the store's manifest in it.

    Raises:
        SignatureError: ``verify.broken``: a live adapter has no weights in the pack.
    """
    return chain_of(
        weights=live_weights(checksums),
        content_hashes=manifest.content_hashes,
        lock_sha256=checksums.get(STORE + LOCK),
        base_revision=manifest.base_model_revision,
        base_sha256=manifest.base_model_sha256,
    )


def live_weights(checksums: Mapping[str, str]) -> dict[str | None, str]:
    """Give the weights' SHA-256 of each adapter's live version by name; None is a document's only adapter.

    The texts of the pointers are not needed: a pointer is one line that names a version, so its digest tells which.

    Raises:
        SignatureError: ``verify.broken``: a pointer names no version that has weights in the pack.
    """
    versions: dict[str | None, list[str]] = {}
    for path in checksums:
        if match := _WEIGHTS.fullmatch(path):
            versions.setdefault(match[1], []).append(match[2])
    pointers = [match[1] for path in checksums if (match := _POINTER.fullmatch(path))]
    return {adapter: _pointed_weights(checksums, adapter, versions.get(adapter, ())) for adapter in pointers}


def content_digest(checksums: Mapping[str, str]) -> str:
    """Give the digest of all that a pack holds: SHA-256 over ``<path> LF <sha256> LF`` in the order of paths.

    The header, which tells when and by what the pack was made, is left out, and so is ``provenance.json``, which
    cannot hold its own digest. The pack's manifest has no checksum; it is checked against the members.
    """
    digest = hashlib.sha256()
    for path in sorted(checksums.keys() - {HEADER, PROVENANCE}):
        digest.update(f"{path}\n{checksums[path]}\n".encode())
    return digest.hexdigest()


def signed_content(comment: str) -> str | None:
    """Give the digest of everything that a checked trusted comment speaks of; None when it does not.

    Raises:
        SignatureError: ``verify.broken``: it names several digests, or something that is none.
    """
    found = [field.removeprefix(CONTENT_FIELD) for field in comment.split("\t") if field.startswith(CONTENT_FIELD)]
    if not found:
        return None
    if len(found) > 1 or not _SHA256.fullmatch(found[0]):
        raise _broken("chain broken: content: the signature names no single digest of it")
    return found[0]


def broken_links(stated: Chain, found: Chain) -> tuple[str, ...]:
    """Give the names of the fields in which a statement differs from what the pack really holds."""
    names = (field.name for field in attrs.fields(Chain))
    return tuple(name for name in names if getattr(stated, name) != getattr(found, name))


def _adapters_digest(weights: Mapping[str | None, str]) -> str:
    if not weights:
        return NO_SHA256
    if set(weights) == {None}:
        return weights[None]
    named = {name or "default": digest for name, digest in weights.items()}
    return _sha256("".join(f"{name}\n{named[name]}\n" for name in sorted(named)))


def _pointed_weights(checksums: Mapping[str, str], adapter: str | None, versions: Iterable[str]) -> str:
    folder = f"adapter/{adapter}" if adapter else "adapter"
    pointer = f"{STORE}{folder}/{POINTER}"
    if adapter in RESERVED_ADAPTER_NAMES:
        raise _broken(f"chain broken: adapter_sha256: {pointer} belongs to no adapter, whose name is reserved")
    for version in versions:
        line = f"{folder}/versions/{version}"
        if checksums[pointer] in {_sha256(line + end) for end in ("\n", "", "\r\n")}:
            return checksums[f"{STORE}{line}/{_WEIGHTS_NAME}"]
    raise _broken(f"chain broken: adapter_sha256: {pointer} names no version with weights in the pack")


def _fields(value: Chain, kind: type[Chain]) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in attrs.fields(kind)}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _broken(message: str) -> SignatureError:
    return SignatureError(
        "verify.broken", message, hint="The pack was changed or damaged. Get it from its author again."
    )
