"""What packing, verifying and sharing need from the world."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from dlm.domain.share import AddressKind
from dlm.ports.clock import Clock
from dlm.ports.metrics import MetricsPort
from dlm.ports.packs import InstallPort, PackPort
from dlm.ports.peer_server import PeerServerPort
from dlm.ports.registry import RegistryPort
from dlm.ports.share import SharePort
from dlm.ports.signatures import SignatureVerifier
from dlm.ports.signing import AskPassphrase, SignerPort, TrustPort
from dlm.ports.store import StorePort


@attrs.frozen(kw_only=True)
class SharingPorts:
    """Everything for packs.

    Args:
        shares: by kind of address.
        platform: what the machine is, for the pack's header: ``linux``.
        ask: asks for the passphrase of the own key.
        verifier: checks detached signatures.
    """

    store: StorePort
    registry: RegistryPort
    packs: PackPort
    installs: InstallPort
    signer: SignerPort
    trust: TrustPort
    verifier: SignatureVerifier
    shares: Mapping[AddressKind, SharePort]
    peers: PeerServerPort
    metrics: MetricsPort
    clock: Clock
    platform: str
    ask: AskPassphrase
