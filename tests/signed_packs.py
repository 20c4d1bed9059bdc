"""Signed packs as plain values: what a pack holds, and what its author says about it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from dlm.adapters.minisign.signer import MinisignSigner
from dlm.adapters.minisign.verifier import NaclVerifier
from dlm.domain.manifest import Manifest
from dlm.domain.minisign import PublicKey, Verdict
from dlm.domain.minisign_secret import KdfLimits
from dlm.domain.provenance import (
    Provenance,
    chain_of_pack,
    content_digest,
    provenance_to_json,
    state,
    statement_comment,
    with_signature,
)
from dlm.domain.trust import Judgement, judge
from dlm.testing.signer_contract import never

MOMENT = datetime(2026, 4, 23, 18, 42, 11, 999, tzinfo=UTC)
REVISION = "ab" * 20


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@attrs.frozen(kw_only=True)
class Contents:
    """Texts of a pack's members by path, and the store's manifest among them as a value."""

    members: Mapping[str, str]
    manifest: Manifest

    @property
    def checksums(self) -> dict[str, str]:
        return {path: sha256(text) for path, text in self.members.items()}

    def with_members(self, texts: Mapping[str, str]) -> Contents:
        """Give contents with other, or more, members."""
        return attrs.evolve(self, members={**self.members, **texts})


def contents() -> Contents:
    """Give the contents of a pack with one adapter at its second version."""
    manifest = Manifest.new("01ARZ3NDEKTSV4RRFFQ69G5FAV", "tiny", REVISION, None, MOMENT)
    manifest = attrs.evolve(manifest, content_hashes={"a" * 16: "a" * 16, "b" * 16: "b" * 16})
    texts = {
        "PACK_HEADER.json": "{}",
        "dlm/notes.dlm": "a document",
        "store/manifest.json": "a manifest",
        "store/dlm.lock": "a lock",
        "store/adapter/current.txt": "adapter/versions/v0002\n",
        "store/adapter/versions/v0001/adapter_model.safetensors": "old weights",
        "store/adapter/versions/v0002/adapter_model.safetensors": "new weights",
    }
    return Contents(members=texts, manifest=manifest)


def make_signer(home: Path) -> MinisignSigner:
    """Give a signer with an open key."""
    signer = MinisignSigner(home=home, limits=KdfLimits(opslimit=32768, memlimit=1 << 24))
    signer.generate(passphrase=None)
    return signer


def signed(pack: Contents, signer: MinisignSigner, *, comment: str | None = None, **stated: Any) -> Provenance:
    """Give the provenance that ``signer`` makes for a pack; ``stated`` overrides fields before they are signed."""
    statement = attrs.evolve(
        state(chain_of_pack(pack.checksums, pack.manifest), signed_at=MOMENT, key=signer.public_key()), **stated
    )
    trusted = statement_comment(content_digest(pack.checksums), signed_at=MOMENT) if comment is None else comment
    return with_signature(statement, signer.sign_bytes(statement.signed_bytes(), trusted_comment=trusted, ask=never))


def verify(data: bytes, signature: bytes, keys: Any) -> Verdict:
    """Check a signature as verifying a pack does."""
    return NaclVerifier().verify(data, signature, keys=keys, require_prehashed=True)


def judged(
    pack: Contents, provenance: Provenance | str | None, *trusted: PublicKey, first_use: bool = False
) -> Judgement:
    """Judge a pack with some provenance in it."""
    text = provenance_to_json(provenance) if isinstance(provenance, Provenance) else provenance
    return judge(
        text,
        found=chain_of_pack(pack.checksums, pack.manifest),
        content_sha256=content_digest(pack.checksums),
        trusted=trusted,
        verify=verify,
        trust_on_first_use=first_use,
    )
