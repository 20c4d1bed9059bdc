"""Whether to believe a pack: what it is → what was signed → who signed → whether the signature holds. In this order.

A key is trusted on first use only after its signature held, and a signature vouches for nothing before the digests it
speaks of are those of the pack.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import attrs

from dlm.domain.errors import ConfigError, SignatureError
from dlm.domain.minisign import PublicKey, Verdict, parse_signature
from dlm.domain.provenance import Chain, Provenance, broken_links, provenance_from_json, signed_content

Standing = Literal["verified", "unsigned", "broken", "untrusted", "rejected"]

EXIT_CODES: dict[Standing, int] = {"verified": 0, "unsigned": 1, "broken": 1, "untrusted": 2, "rejected": 3}

Verify = Callable[[bytes, bytes, Sequence[PublicKey]], Verdict]
"""Checks a signature: what was signed, the text of the ``.minisig`` file, the keys that may have made it. Refuses the
old, not pre-hashed kind."""


@attrs.frozen(kw_only=True)
class Judgement:
    """What is to be thought of a pack.

    Args:
        standing: ``verified``; ``unsigned`` without provenance; ``broken`` when it speaks of other contents or cannot
            be read; ``untrusted`` when nobody here trusts the signer; ``rejected`` when the signature does not hold.
        reason: one sentence part, for messages.
        provenance: as far as it could be read; its statements count only when verified.
        newly_trusted: verified, and the signer is now to be added to the trusted keys.
        covers_everything: verified, and the signature vouches for every file of the pack, not for the chain alone.
    """

    standing: Standing
    reason: str
    provenance: Provenance | None = None
    newly_trusted: bool = False
    covers_everything: bool = False

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.standing]

    def refusal(self) -> SignatureError | None:
        """Give the error to raise; None when verified."""
        if self.standing == "verified":
            return None
        code, hint = _REFUSALS[self.standing]
        return SignatureError(code, self.reason, exit_code=self.exit_code, hint=hint)


_GET_AGAIN = "Do not install it; get it from its author again."
_REFUSALS: dict[Standing, tuple[str, str]] = {
    "unsigned": ("verify.unsigned", "Ask its author for one made with dlm pack --sign."),
    "broken": ("verify.broken", _GET_AGAIN),
    "untrusted": (
        "verify.untrusted",
        "Compare the fingerprint with its author's; then add --trust-on-first-use, or use dlm keys trust.",
    ),
    "rejected": ("verify.rejected", _GET_AGAIN),
}


def judge(
    provenance: str | None,
    *,
    found: Chain,
    content_sha256: str,
    trusted: Sequence[PublicKey],
    verify: Verify,
    trust_on_first_use: bool = False,
) -> Judgement:
    """Judge a pack whose own checksums were found right.

    Args:
        provenance: text of ``provenance.json``; None without one.
        found: the chain of what the pack really holds.
        content_sha256: digest of everything in the pack, from :func:`dlm.domain.provenance.content_digest`.
    """
    if provenance is None:
        return Judgement(standing="unsigned", reason="nobody signed the pack")
    try:
        stated = provenance_from_json(provenance)
    except SignatureError as exc:
        return Judgement(standing="broken", reason=exc.message)
    if (unreadable := _unreadable_signature(stated)) is not None:
        return Judgement(standing="rejected", reason=unreadable, provenance=stated)
    if broken := broken_links(stated, found):
        return Judgement(standing="broken", reason=f"chain broken: {', '.join(broken)}", provenance=stated)
    signer = stated.signer
    is_known = any(key.raw == signer.raw for key in trusted)
    if not is_known and not trust_on_first_use:
        reason = f"signed by {signer.name} (fingerprint {signer.fingerprint}), a key not trusted here"
        return Judgement(standing="untrusted", reason=reason, provenance=stated)
    return _judge_signature(stated, content_sha256, verify, is_known=is_known)


def _judge_signature(stated: Provenance, content_sha256: str, verify: Verify, *, is_known: bool) -> Judgement:
    verdict = verify(stated.signed_bytes(), _signature(stated), [stated.signer])
    if verdict.outcome != "valid":
        # The only key on offer is the one that the provenance names.
        other = verdict.outcome == "unknown-key"
        reason = f"signed by {verdict.signer}, not by {stated.signer.name}" if other else verdict.reason
        return Judgement(standing="rejected", reason=reason, provenance=stated)
    try:
        content = signed_content(verdict.trusted_comment or "")
    except SignatureError as exc:
        return Judgement(standing="broken", reason=exc.message, provenance=stated)
    if content not in (None, content_sha256):
        return Judgement(standing="broken", reason="chain broken: content", provenance=stated)
    return Judgement(
        standing="verified",
        reason=verdict.reason,
        provenance=stated,
        newly_trusted=not is_known,
        covers_everything=content is not None,
    )


def _unreadable_signature(stated: Provenance) -> str | None:
    try:
        parse_signature(_signature(stated))
    except ConfigError as exc:
        return exc.message
    return None


def _signature(stated: Provenance) -> bytes:
    return stated.signature.strip().encode()
