"""Strangers who want a pack of theirs believed, or a pack of ours changed."""

from __future__ import annotations

import base64
import string
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlm.adapters.minisign.signer import MinisignSigner
from dlm.adapters.minisign.trust import TrustFolder
from dlm.domain.minisign import (
    PublicKey,
    parse_signature,
    public_key_text,
    signature_text,
)
from dlm.domain.provenance import NO_SHA256, provenance_to_json
from dlm.domain.trust import EXIT_CODES
from dlm.testing.signer_contract import never
from signed_packs import Contents, contents, judged, make_signer, signed

PACK = contents()


@pytest.fixture(scope="module")
def anna(tmp_path_factory: pytest.TempPathFactory) -> MinisignSigner:
    return make_signer(tmp_path_factory.mktemp("anna"))


@pytest.fixture(scope="module")
def mallory(tmp_path_factory: pytest.TempPathFactory) -> MinisignSigner:
    return make_signer(tmp_path_factory.mktemp("mallory"))


def test_an_honest_pack_is_verified(anna: MinisignSigner) -> None:
    found = judged(PACK, signed(PACK, anna), anna.public_key())
    assert (found.standing, found.exit_code, found.refusal()) == ("verified", 0, None)
    assert found.covers_everything
    assert not found.newly_trusted


def test_exit_codes_are_those_of_verify() -> None:
    assert EXIT_CODES == {"verified": 0, "unsigned": 1, "broken": 1, "untrusted": 2, "rejected": 3}


def test_every_refusal_is_an_error_with_its_exit_code(anna: MinisignSigner) -> None:
    honest = signed(PACK, anna)
    cases = {
        "verify.unsigned": judged(PACK, None, anna.public_key()),
        "verify.broken": judged(PACK, "{}", anna.public_key()),
        "verify.untrusted": judged(PACK, honest),
        "verify.rejected": judged(PACK, attrs.evolve(honest, signature="x"), anna.public_key()),
    }
    for code, found in cases.items():
        error = found.refusal()
        assert error is not None
        assert (error.code, error.exit_code, error.subject) == (code, found.exit_code, "verify")
        assert error.hint
    assert anna.public_key().fingerprint in cases["verify.untrusted"].reason


@pytest.mark.parametrize(
    ("path", "link"),
    [
        ("store/adapter/versions/v0002/adapter_model.safetensors", "adapter_sha256"),
        ("store/dlm.lock", "env_lock_digest"),
        ("dlm/notes.dlm", "content"),
        ("store/manifest.json", "content"),
        ("store/adapter/versions/v0001/adapter_model.safetensors", "content"),
        ("store/adapter/versions/v0002/adapter_config.json", "content"),
        ("store/replay/corpus.zst", "content"),
    ],
)
def test_provenance_in_a_pack_with_another_file_is_broken(anna: MinisignSigner, path: str, link: str) -> None:
    honest = signed(PACK, anna)
    found = judged(PACK.with_members({path: "something else"}), honest, anna.public_key(), first_use=True)
    assert (found.standing, found.reason) == ("broken", f"chain broken: {link}")


def test_a_pack_with_a_file_less_is_broken(anna: MinisignSigner) -> None:
    honest = signed(PACK, anna)
    for path in set(PACK.members) - {"PACK_HEADER.json", "store/adapter/versions/v0002/adapter_model.safetensors"}:
        less = attrs.evolve(PACK, members={name: text for name, text in PACK.members.items() if name != path})
        assert judged(less, honest, anna.public_key()).standing == "broken", path


def test_pointing_to_an_older_version_is_broken(anna: MinisignSigner) -> None:
    older = PACK.with_members({"store/adapter/current.txt": "adapter/versions/v0001\n"})
    found = judged(older, signed(PACK, anna), anna.public_key())
    assert (found.standing, found.reason) == ("broken", "chain broken: adapter_sha256")


def test_another_base_or_corpus_is_broken(anna: MinisignSigner) -> None:
    honest = signed(PACK, anna)
    for changes, link in (
        ({"base_model_revision": "c" * 40}, "base_revision"),
        ({"base_model_revision": None}, "base_revision"),
        ({"content_hashes": {"a" * 16: "a" * 16}}, "corpus_root_sha256"),
    ):
        other = Contents(members=PACK.members, manifest=attrs.evolve(PACK.manifest, **changes))
        found = judged(other, honest, anna.public_key())
        assert (found.standing, found.reason) == ("broken", f"chain broken: {link}")


def test_statements_changed_after_signing_are_rejected(anna: MinisignSigner) -> None:
    found = judged(PACK, attrs.evolve(signed(PACK, anna), signed_at="2027-01-01T00:00:00Z"), anna.public_key())
    assert (found.standing, found.exit_code) == ("rejected", 3)


def test_a_signer_unknown_here_is_told_apart(anna: MinisignSigner, mallory: MinisignSigner) -> None:
    found = judged(PACK, signed(PACK, mallory), anna.public_key())
    assert (found.standing, found.exit_code) == ("untrusted", 2)


def test_a_stranger_who_signs_again_does_not_become_the_author(anna: MinisignSigner, mallory: MinisignSigner) -> None:
    evil = PACK.with_members({"dlm/notes.dlm": "evil"})
    as_anna = signed(evil, mallory, signer_public_key=public_key_text(anna.public_key()))
    found = judged(evil, as_anna, anna.public_key())
    assert (found.standing, found.exit_code) == ("rejected", 3)
    assert mallory.public_key().name in found.reason
    # The key's id is anybody's choice: under Anna's the signature still does not fit.
    raw = parse_signature(as_anna.signature.encode())
    renamed = signature_text(attrs.evolve(raw, key_id=anna.public_key().key_id))
    assert judged(evil, attrs.evolve(as_anna, signature=renamed), anna.public_key()).standing == "rejected"


def test_a_key_with_a_trusted_id_or_comment_is_another_key(anna: MinisignSigner, mallory: MinisignSigner) -> None:
    key = anna.public_key()
    lookalike = PublicKey(key_id=key.key_id, key=mallory.public_key().key, comment=key.comment)
    provenance = signed(PACK, mallory, signer_public_key=public_key_text(lookalike))
    raw = parse_signature(provenance.signature.encode())
    provenance = attrs.evolve(provenance, signature=signature_text(attrs.evolve(raw, key_id=key.key_id)))
    assert judged(PACK, provenance, key).standing == "untrusted"
    assert judged(PACK, provenance, key, lookalike).standing == "verified"  # it really is its own signature


def test_trust_on_first_use_comes_after_everything_else(
    anna: MinisignSigner, mallory: MinisignSigner, home: Path
) -> None:
    trust = TrustFolder(home=home)
    honest = signed(PACK, anna)
    raw = parse_signature(honest.signature.encode())
    flipped = bytes([raw.signature[0] ^ 1]) + raw.signature[1:]
    bad = {
        "rejected": attrs.evolve(honest, signature=signature_text(attrs.evolve(raw, signature=flipped))),
        "broken": signed(PACK, anna, adapter_sha256=NO_SHA256),
    }
    for standing, provenance in bad.items():
        found = judged(PACK, provenance, first_use=True)
        assert (found.standing, found.newly_trusted) == (standing, False)
    changed = PACK.with_members({"dlm/notes.dlm": "evil"})
    assert not judged(changed, honest, first_use=True).newly_trusted
    found = judged(PACK, honest, mallory.public_key(), first_use=True)
    assert (found.standing, found.newly_trusted) == ("verified", True)
    assert found.provenance is not None
    kept = trust.trust(found.provenance.signer)
    assert kept.path.name == f"{kept.key.name}-{kept.fingerprint}.pub"
    (entry,) = trust.trusted()
    again = judged(PACK, honest, entry.key)
    assert (again.standing, again.newly_trusted) == ("verified", False)


def test_comments_around_a_trusted_key_do_not_matter(anna: MinisignSigner) -> None:
    text = "  untrusted comment: somebody\r\n" + public_key_text(anna.public_key()).splitlines()[1]
    assert judged(PACK, signed(PACK, anna, signer_public_key=text), anna.public_key()).standing == "verified"


def test_a_signature_without_the_content_vouches_for_less(anna: MinisignSigner) -> None:
    provenance = signed(PACK, anna, comment="timestamp:1\tfile:provenance.json\thashed")
    found = judged(PACK, provenance, anna.public_key())
    assert (found.standing, found.covers_everything) == ("verified", False)
    changed = judged(PACK.with_members({"dlm/notes.dlm": "evil"}), provenance, anna.public_key())
    assert (changed.standing, changed.covers_everything) == ("verified", False)


def test_the_content_cannot_be_taken_out_of_or_put_into_a_signature(anna: MinisignSigner) -> None:
    evil = PACK.with_members({"dlm/notes.dlm": "evil"})
    honest = signed(PACK, anna)
    raw = parse_signature(honest.signature.encode())
    short = parse_signature(signed(PACK, anna, comment="timestamp:1").signature.encode())
    other = parse_signature(signed(evil, anna, signed_at="2027-01-01T00:00:00Z").signature.encode())
    forged = [
        attrs.evolve(raw, trusted_comment=raw.trusted_comment.split("\tdlm-")[0]),
        attrs.evolve(raw, trusted_comment=short.trusted_comment),
        attrs.evolve(raw, trusted_comment=other.trusted_comment, global_signature=other.global_signature),
        attrs.evolve(raw, global_signature=short.global_signature),
    ]
    for signature in forged:
        found = judged(evil, attrs.evolve(honest, signature=signature_text(signature)), anna.public_key())
        assert found.standing == "rejected"


def test_a_signature_over_something_else_is_rejected(anna: MinisignSigner) -> None:
    honest = signed(PACK, anna)
    for data in (b"", b"hello", honest.signed_bytes() + b"\n", provenance_to_json(honest).encode()):
        text = anna.sign_bytes(data, trusted_comment="timestamp:1", ask=never)
        assert judged(PACK, attrs.evolve(honest, signature=text), anna.public_key()).standing == "rejected"


def test_the_old_kind_of_signature_is_rejected(anna: MinisignSigner) -> None:
    honest = signed(PACK, anna)
    raw = parse_signature(honest.signature.encode())
    old = attrs.evolve(honest, signature=signature_text(attrs.evolve(raw, prehashed=False)))
    assert judged(PACK, old, anna.public_key()).standing == "rejected"


def _other_spelling(text: str) -> str:
    """Set a bit that base64 throws away: the same bytes in another spelling."""
    lines = text.splitlines()
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    kept = lines[1].rstrip("=")
    again = kept[:-1] + alphabet[alphabet.index(kept[-1]) | 1] + "=" * (len(lines[1]) - len(kept))
    assert base64.b64decode(again) == base64.b64decode(lines[1])
    assert again != lines[1]
    return "\n".join([lines[0], again, *lines[2:]])


BREAKS: dict[str, Callable[[str], str]] = {
    "other spelling": _other_spelling,
    "empty": lambda text: "",
    "cut": lambda text: text[:-20],
    "two lines": lambda text: "\n".join(text.splitlines()[:2]),
    "twice": lambda text: text * 2,
    "no padding": lambda text: text.rstrip("\n").rstrip("="),
    "blank in base64": lambda text: text.replace("RU", "R U", 1),
    "url alphabet": lambda text: text.replace("RU", "R-", 1),
    "escape codes": lambda text: text.replace("timestamp", "\x1b[2Jtimestamp"),
    "no comment": lambda text: text.replace("trusted comment: timestamp", "timestamp"),
    "NUL": lambda text: text.replace("timestamp", "\0timestamp"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_signature_that_cannot_be_read_is_rejected(anna: MinisignSigner, name: str) -> None:
    honest = signed(PACK, anna)
    broken = attrs.evolve(honest, signature=BREAKS[name](honest.signature))
    found = judged(PACK, broken, anna.public_key())
    assert (found.standing, found.exit_code) == ("rejected", 3)
    assert "\x1b" not in found.reason


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(st.data())
def test_no_changed_byte_of_the_file_is_believed(anna: MinisignSigner, data: st.DataObject) -> None:
    honest = provenance_to_json(signed(PACK, anna))
    position = data.draw(st.integers(0, len(honest) - 1))
    char = data.draw(st.characters(max_codepoint=255).filter(lambda char: char != honest[position]))
    found = judged(PACK, honest[:position] + char + honest[position + 1 :], anna.public_key(), first_use=True)
    if found.standing == "verified":
        # What may change: white space between the parts of the JSON, and the comment above the signature.
        assert found.provenance is not None
        assert found.provenance.signed_bytes() == signed(PACK, anna).signed_bytes()
        assert found.provenance.signer == anna.public_key()
        assert found.covers_everything
    assert not found.newly_trusted


SMALL_POINTS = [bytes(32), b"\x01" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f", bytes(31) + b"\x80"]


@pytest.mark.parametrize("point", SMALL_POINTS)
@pytest.mark.parametrize("half", SMALL_POINTS)
def test_keys_of_small_order_sign_nothing(anna: MinisignSigner, point: bytes, half: bytes) -> None:
    # With such a key careless implementations find that a signature of zeros fits whatever was signed.
    honest, key = signed(PACK, anna), PublicKey(key_id=bytes(8), key=point)
    raw = parse_signature(honest.signature.encode())
    nothing = half + bytes(32)
    forged = attrs.evolve(raw, key_id=key.key_id, signature=nothing, global_signature=nothing)
    provenance = attrs.evolve(honest, signer_public_key=public_key_text(key), signature=signature_text(forged))
    assert judged(PACK, provenance, key, first_use=True).standing == "rejected"
