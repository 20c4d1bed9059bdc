"""Whether to believe a pack: that it is whole, who signed it, and whether that key counts here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from dlm.app.callers import shielded, unwrapped
from dlm.app.share_ports import SharingPorts
from dlm.domain.events import Emit, ignore
from dlm.domain.manifest import manifest_from_json
from dlm.domain.pack import STORE, PackContents
from dlm.domain.provenance import chain_of_pack, content_digest
from dlm.domain.store_layout import MANIFEST
from dlm.domain.trust import Judgement, judge
from dlm.ports.signing import TrustedKey


@attrs.frozen(kw_only=True)
class VerifyReport:
    """A pack that is what it says, signed by a key that counts here.

    Args:
        key: the trusted key, and where it lies.
    """

    path: Path
    contents: PackContents
    judgement: Judgement
    key: TrustedKey

    @property
    def newly_trusted(self) -> bool:
        """Whether the key was trusted just now."""
        return self.judgement.newly_trusted

    def to_json(self) -> dict[str, Any]:
        """Give one object, as ``dlm verify --json`` prints it."""
        manifest = self.contents.manifest
        return {
            "path": str(self.path),
            "dlm_id": manifest.dlm_id,
            "base_model": manifest.base_model,
            **dict(self._facts()),
        }

    def to_text(self) -> str:
        """Give a few lines for a person."""
        lines = [f"verified: {self.path.name}"]
        lines += [f"{name.replace('_', ' ')}: {value}" for name, value in self._facts() if value is not None]
        return "\n".join(lines)

    def _facts(self) -> list[tuple[str, Any]]:
        stated = self.judgement.provenance
        assert stated is not None
        return [
            ("signer", self.key.key.name),
            ("fingerprint", self.key.fingerprint),
            ("trusted_key", str(self.key.path)),
            ("newly_trusted", self.newly_trusted),
            ("covers_everything", self.judgement.covers_everything),
            ("signed_at", stated.signed_at),
            ("adapter_sha256", stated.adapter_sha256),
            ("base_revision", stated.base_revision),
            ("corpus_root_sha256", stated.corpus_root_sha256),
            ("env_lock_digest", stated.env_lock_digest),
            ("sha256", self.contents.sha256),
        ]


def verify(pack: Path, *, trust_on_first_use: bool = False, ports: SharingPorts, emit: Emit = ignore) -> VerifyReport:
    """Check a pack from its first byte to its signer. Installs nothing.

    Raises:
        PackError: it is damaged or hostile.
        SignatureError: with the exit code 1 for a chain that does not hold or no signature, 2 for a signer that nobody
            trusts here, 3 for a signature that does not hold.
    """
    with unwrapped():
        contents = ports.packs.check(pack, emit=shielded(emit))
    judgement = judge_contents(contents, ports, trust_on_first_use=trust_on_first_use)
    refusal = judgement.refusal()
    if refusal is not None:
        raise refusal
    assert judgement.provenance is not None
    signer = judgement.provenance.signer
    key = ports.trust.trust(signer) if judgement.newly_trusted else _kept(signer.raw, ports)
    return VerifyReport(path=pack, contents=contents, judgement=judgement, key=key)


def judge_contents(contents: PackContents, ports: SharingPorts, *, trust_on_first_use: bool = False) -> Judgement:
    """Judge a pack that was read and found whole."""
    manifest = manifest_from_json(contents.store_manifest, f"{STORE}{MANIFEST}")
    return judge(
        contents.provenance,
        found=chain_of_pack(contents.checksums, manifest),
        content_sha256=content_digest(contents.checksums),
        trusted=[trusted.key for trusted in ports.trust.trusted()],
        verify=lambda data, signature, keys: ports.verifier.verify(data, signature, keys=keys, require_prehashed=True),
        trust_on_first_use=trust_on_first_use,
    )


def _kept(raw: bytes, ports: SharingPorts) -> TrustedKey:
    return next(trusted for trusted in ports.trust.trusted() if trusted.key.raw == raw)
