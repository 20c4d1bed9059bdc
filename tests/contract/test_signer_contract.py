"""Signing and trust in memory and with real keys keep the same promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlm.adapters.minisign.signer import MinisignSigner
from dlm.adapters.minisign.trust import TrustFolder
from dlm.adapters.minisign.verifier import NaclVerifier
from dlm.domain.minisign_secret import KdfLimits
from dlm.testing.signer_contract import SignerContract, TrustContract
from dlm.testing.signers import FakeSigner, FakeVerifier, MemoryTrust

FAST = KdfLimits(opslimit=32768, memlimit=1 << 24)


class TestFakeSigner(SignerContract):
    @pytest.fixture
    def signer(self) -> FakeSigner:
        return FakeSigner()

    @pytest.fixture
    def verifier(self) -> FakeVerifier:
        return FakeVerifier()


class TestMinisignSigner(SignerContract):
    @pytest.fixture
    def signer(self, home: Path) -> MinisignSigner:
        return MinisignSigner(home=home, limits=FAST)

    @pytest.fixture
    def verifier(self) -> NaclVerifier:
        return NaclVerifier()


class TestMemoryTrust(TrustContract):
    @pytest.fixture
    def trust(self) -> MemoryTrust:
        return MemoryTrust()


class TestTrustFolder(TrustContract):
    @pytest.fixture
    def trust(self, home: Path) -> TrustFolder:
        return TrustFolder(home=home)
