"""What every signer, with its verifier, and every keeper of trusted keys promises, as tests. Needs pytest.

class TestMySigner(SignerContract):
    @pytest.fixture
    def signer(self, home):
        return MySigner(home)

    @pytest.fixture
    def verifier(self):
        return MyVerifier()
"""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import attrs
import pytest

from dlm.domain.errors import SignatureError
from dlm.domain.minisign import PublicKey, parse_signature, trusted_comment
from dlm.ports.signatures import SignatureVerifier
from dlm.ports.signing import AskPassphrase, SignerPort, TrustPort

COMMENT = trusted_comment(1_700_000_000, "notes.dlm.pack")
WORDS = "open sesame"


def never(prompt: str) -> NoReturn:
    """Fail when asked."""
    raise AssertionError(f"asked {prompt!r}")


def saying(answer: str | None) -> AskPassphrase:
    """Give the same answer to every question; None when there is nobody to ask."""
    return lambda _: answer


def code_of(caught: pytest.ExceptionInfo[SignatureError]) -> tuple[str, str]:
    """Give the code of an error and whom it is about."""
    return caught.value.code, caught.value.subject


class SignerContract:
    """Subclass it; give the fixtures ``signer`` (without a key) and ``verifier``."""

    @pytest.fixture
    def signer(self) -> SignerPort:
        raise NotImplementedError("override the signer fixture")

    @pytest.fixture
    def verifier(self) -> SignatureVerifier:
        raise NotImplementedError("override the verifier fixture")

    def test_without_a_key_nothing_is_signed(self, signer: SignerPort) -> None:
        for attempt in (signer.public_key, lambda: signer.sign_bytes(b"x", trusted_comment=COMMENT, ask=never)):
            with pytest.raises(SignatureError) as caught:
                attempt()
            assert code_of(caught) == ("sign.no-key", "sign")

    def test_what_it_signs_is_valid_and_nothing_else_is(self, signer: SignerPort, verifier: SignatureVerifier) -> None:
        key = signer.generate(passphrase=None, comment="me")
        assert (signer.public_key(), key.comment) == (key, "me")
        text = signer.sign_bytes(b"hello", trusted_comment=COMMENT, ask=never).encode()
        assert parse_signature(text).prehashed
        verdict = verifier.verify(b"hello", text, keys=[key], require_prehashed=True)
        assert (verdict.outcome, verdict.signer, verdict.trusted_comment) == ("valid", key.name, COMMENT)
        assert verifier.verify(b"hello!", text, keys=[key]).outcome == "invalid"
        assert verifier.verify(b"hello", text, keys=[]).outcome == "unknown-key"
        assert verifier.verify(b"hello", text[:-9], keys=[key]).outcome == "malformed"
        forged = text.replace(b"1700000000", b"1800000000")
        assert verifier.verify(b"hello", forged, keys=[key]).outcome == "invalid"

    def test_a_file_is_signed_and_checked_as_its_bytes_are(
        self, signer: SignerPort, verifier: SignatureVerifier, tmp_path: Path
    ) -> None:
        key = signer.generate(passphrase=None)
        path = tmp_path / "a file"
        data = bytes(range(256)) * 8193  # two pieces and a bit
        path.write_bytes(data)
        text = signer.sign_file(path, trusted_comment=COMMENT, ask=never)
        assert text == signer.sign_bytes(data, trusted_comment=COMMENT, ask=never)
        assert verifier.verify_file(path, text.encode(), keys=[key], require_prehashed=True).outcome == "valid"
        path.write_bytes(data[:-1])
        assert verifier.verify_file(path, text.encode(), keys=[key]).outcome == "invalid"

    def test_a_file_that_cannot_be_read_is_told(
        self, signer: SignerPort, verifier: SignatureVerifier, tmp_path: Path
    ) -> None:
        key = signer.generate(passphrase=None)
        text = signer.sign_bytes(b"x", trusted_comment=COMMENT, ask=never).encode()
        for path in (tmp_path / "none", tmp_path):
            with pytest.raises(SignatureError) as caught:
                signer.sign_file(path, trusted_comment=COMMENT, ask=never)
            assert code_of(caught) == ("sign.unreadable", "sign")
            with pytest.raises(SignatureError) as caught:
                verifier.verify_file(path, text, keys=[key])
            assert code_of(caught) == ("sign.unreadable", "verify")

    def test_a_passphrase_is_asked_for_and_has_to_be_right(
        self, signer: SignerPort, verifier: SignatureVerifier
    ) -> None:
        key = signer.generate(passphrase=WORDS)
        text = signer.sign_bytes(b"x", trusted_comment=COMMENT, ask=lambda _: WORDS).encode()
        assert verifier.verify(b"x", text, keys=[key]).outcome == "valid"
        answers = {"open": "sign.passphrase", "": "sign.passphrase", None: "sign.no-terminal"}
        for answer, code in answers.items():
            with pytest.raises(SignatureError) as caught:
                signer.sign_bytes(b"x", trusted_comment=COMMENT, ask=saying(answer))
            assert code_of(caught) == (code, "sign")

    def test_one_question_opens_the_key_for_several_signatures(
        self, signer: SignerPort, verifier: SignatureVerifier, tmp_path: Path
    ) -> None:
        key = signer.generate(passphrase=WORDS)
        path = tmp_path / "file"
        path.write_bytes(b"x")
        answers = [WORDS]
        with signer.unlock(lambda _: answers.pop()) as unlocked:
            texts = [
                unlocked.sign_bytes(b"x", trusted_comment=COMMENT),
                unlocked.sign_file(path, trusted_comment=COMMENT),
            ]
        assert answers == []
        assert all(verifier.verify(b"x", text.encode(), keys=[key]).outcome == "valid" for text in texts)

    def test_a_key_is_replaced_only_by_force(self, signer: SignerPort, verifier: SignatureVerifier) -> None:
        old = signer.generate(passphrase=WORDS)
        with pytest.raises(SignatureError) as caught:
            signer.generate(passphrase=None)
        assert code_of(caught) == ("sign.key-exists", "sign")
        assert signer.public_key() == old
        new = signer.generate(passphrase=None, force=True)
        assert signer.public_key() == new
        assert new.raw != old.raw
        text = signer.sign_bytes(b"x", trusted_comment=COMMENT, ask=never).encode()
        assert verifier.verify(b"x", text, keys=[old]).outcome == "unknown-key"

    def test_an_empty_passphrase_is_refused(self, signer: SignerPort) -> None:
        with pytest.raises(SignatureError) as caught:
            signer.generate(passphrase="")
        assert code_of(caught) == ("sign.empty-passphrase", "sign")

    @pytest.mark.parametrize("comment", ["two\nlines", "\x1b[2J", "x" * 9000])
    def test_comments_are_one_short_line(self, signer: SignerPort, comment: str) -> None:
        with pytest.raises(SignatureError) as caught:
            signer.generate(passphrase=None, comment=comment)
        assert code_of(caught) == ("sign.comment", "sign")
        signer.generate(passphrase=None)
        with pytest.raises(SignatureError) as caught:
            signer.sign_bytes(b"x", trusted_comment=comment, ask=never)
        assert code_of(caught) == ("sign.comment", "sign")

    def test_a_key_that_was_just_made_is_in_order(self, signer: SignerPort) -> None:
        signer.generate(passphrase=None)
        assert not signer.problems()


ANNA = PublicKey(key_id=bytes(range(1, 9)), key=bytes(range(32)), comment="Anna")
BERT = PublicKey(key_id=bytes(range(2, 10)), key=bytes(range(1, 33)), comment="Bert")


class TrustContract:
    """Subclass it and give the fixture ``trust``, empty."""

    @pytest.fixture
    def trust(self) -> TrustPort:
        raise NotImplementedError("override the trust fixture")

    def test_at_first_nobody_is_trusted(self, trust: TrustPort) -> None:
        assert not trust.trusted()
        assert not trust.problems()

    def test_a_trusted_key_is_kept_until_it_is_revoked(self, trust: TrustPort) -> None:
        anna, bert = trust.trust(ANNA, label="anna"), trust.trust(BERT)
        assert anna.path.name == f"anna-{ANNA.fingerprint}.pub"
        assert bert.path.name == f"{BERT.name}-{BERT.fingerprint}.pub"
        assert trust.trusted() == tuple(sorted([anna, bert], key=lambda kept: kept.path.name))
        assert {anna.key, bert.key} == {ANNA, BERT}
        assert trust.revoke(ANNA.fingerprint) == anna
        assert trust.revoke(BERT.name) == bert
        assert not trust.trusted()

    def test_trusting_again_changes_nothing(self, trust: TrustPort) -> None:
        first = trust.trust(ANNA, label="anna")
        again = trust.trust(attrs.evolve(ANNA, comment="Somebody else"), label="other")
        assert again == first
        assert trust.trusted() == (first,)

    def test_only_named_keys_are_revoked(self, trust: TrustPort) -> None:
        kept = trust.trust(ANNA)
        for name in ("", "anna", BERT.fingerprint, BERT.name, ANNA.fingerprint[:11], "../x"):
            with pytest.raises(SignatureError) as caught:
                trust.revoke(name)
            assert code_of(caught) == ("sign.unknown-key", "keys")
        assert trust.trusted() == (kept,)

    def test_an_id_that_two_keys_have_names_neither(self, trust: TrustPort) -> None:
        impostor = attrs.evolve(BERT, key_id=ANNA.key_id)
        trust.trust(ANNA)
        trust.trust(impostor)
        with pytest.raises(SignatureError) as caught:
            trust.revoke(ANNA.name)
        assert code_of(caught) == ("sign.ambiguous-key", "keys")
        assert trust.revoke(impostor.fingerprint).key == impostor
        assert trust.revoke(ANNA.name).key == ANNA

    @pytest.mark.parametrize("label", ["../x", "a/b", "-a", ".a", "a b", "a\n", "a\\b", "ä"])
    def test_labels_are_plain_names(self, trust: TrustPort, label: str) -> None:
        with pytest.raises(SignatureError) as caught:
            trust.trust(ANNA, label=label)
        assert code_of(caught) == ("sign.bad-label", "keys")
        assert not trust.trusted()
