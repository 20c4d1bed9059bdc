"""Packing, installing, verifying and sharing on fakes: what is refused, what travels, who is believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from dlm.domain.document import Document
from dlm.domain.errors import DiskError, PackError, ShareError, SignatureError, StoreError, UsageError
from dlm.domain.events import Note
from dlm.domain.minisign import public_key_text
from dlm.domain.provenance import provenance_from_json
from dlm.testing.clocks import FixedClock
from dlm.testing.packs import PlainPacks
from dlm.testing.peer_servers import FakePeerServer
from dlm.testing.registries import tiny_base
from dlm.testing.shares import FakeShare
from dlm.testing.signers import FakeSigner, FakeVerifier, MemoryTrust
from dlm.wiring import Workspace
from run_cases import ID, Scene, a_document

SIGNED = "https://example.org/notes.pack"


@attrs.define(kw_only=True)
class Sharing:
    """Two homes, and the places between them; files are real, cryptography and network are not."""

    scene: Scene
    folder: Path
    signer: Any = attrs.field(factory=FakeSigner)
    trust: Any = attrs.field(factory=MemoryTrust)
    shares: dict[str, Any] = attrs.field(factory=lambda: {kind: FakeShare(kind) for kind in ("hub", "url", "path")})
    peers: Any = attrs.field(factory=FakePeerServer)
    events: list[Any] = attrs.field(factory=list)

    def home(self, name: str) -> Workspace:
        """Give a workspace on a real home."""
        scene = self.scene
        return Workspace(
            self.folder / name,
            registry=scene.registry,
            hardware=scene.hardware,
            trainer=scene.trainer,
            generator=scene.generator,
            sources=scene.sources,
            packs=PlainPacks(),
            signer=self.signer,
            trust=self.trust,
            verifier=FakeVerifier(),
            shares={**self.shares, "peer": FakeShare("peer")},
            peers=self.peers,
            clock=FixedClock(),
            environ={},
        )

    def warnings(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Note) and event.severity == "warning"]


@pytest.fixture
def sharing(tmp_path: Path) -> Sharing:
    made = Sharing(scene=Scene(folder=tmp_path / "scene"), folder=tmp_path)
    made.signer.generate(passphrase=None)
    return made


@pytest.fixture
def document(sharing: Sharing, tmp_path: Path) -> Document:
    """Give a trained document of the home ``mine``."""
    (tmp_path / "desk").mkdir()
    document = a_document(path=tmp_path / "desk" / "notes.dlm")
    sharing.home("mine").train(document)
    return document


class TestPacking:
    def test_it_lies_beside_the_document(self, sharing: Sharing, document: Document) -> None:
        report = sharing.home("mine").pack(document, on_event=sharing.events.append)
        assert document.path is not None
        assert report.path == document.path.with_name("notes.dlm.pack")
        assert report.content_type == "minimal"
        assert report.signature is None
        assert any(
            "the document with all its text" in event.message for event in sharing.events if isinstance(event, Note)
        )
        assert json.loads(json.dumps(report.to_json()))["dlm_id"] == ID

    def test_nothing_tells_where_it_was_made(self, sharing: Sharing, document: Document, tmp_path: Path) -> None:
        report = sharing.home("mine").pack(document)
        members = json.loads(report.path.read_text())
        for name, data in members.items():
            assert str(tmp_path).encode() not in bytes.fromhex(data), name

    def test_the_same_store_gives_the_same_bytes(self, sharing: Sharing, document: Document, tmp_path: Path) -> None:
        packs = [sharing.home("mine").pack(document, out=tmp_path / f"{n}.pack").path.read_bytes() for n in range(2)]
        assert packs[0] == packs[1]

    def test_a_signed_one_vouches_for_everything(self, sharing: Sharing, document: Document) -> None:
        report = sharing.home("mine").pack(document, sign=True)
        assert report.signer == sharing.signer.public_key().name
        assert report.signature is not None
        assert report.signature.read_text().startswith("untrusted comment:")
        sharing.trust.trust(sharing.signer.public_key())
        verified = sharing.home("mine").verify(report.path)
        assert verified.judgement.covers_everything

    def test_logs_and_figures_on_request(self, sharing: Sharing, document: Document) -> None:
        plain = sharing.home("mine").pack(document)
        assert "metrics.sqlite" in {left.path for left in plain.left_out}
        whole = sharing.home("mine").pack(document, include_logs=True)
        members = json.loads(whole.path.read_text())
        assert bytes.fromhex(members["store/metrics.sqlite"]).startswith(b"SQLite format 3")
        assert any(name.startswith("store/logs/") for name in members)

    def test_the_base_comes_along(self, sharing: Sharing, document: Document) -> None:
        report = sharing.home("mine").pack(document, include_base=True)
        assert report.content_type == "no-exports"
        names = json.loads(report.path.read_text())
        assert [name for name in names if name.endswith("config.json") and "cache/base" in name]

    @pytest.mark.parametrize(
        ("changes", "url", "code"),
        [
            ({"redistributable": False}, None, "pack.base-license"),
            ({"redistributable": False}, "ftp://example.org", "pack.licensee-url"),
            ({"redistributable": False}, "https://example.org/mine", None),
            ({}, None, None),
        ],
    )
    def test_bases_that_may_not_travel(
        self, sharing: Sharing, document: Document, changes: dict[str, Any], url: str | None, code: str | None
    ) -> None:
        bases = sharing.scene.registry._bases
        bases["tiny"] = tiny_base(**{**changes, **({"license_url": "https://example.org/x"} if changes else {})})
        workspace = sharing.home("mine")
        if code is None:
            assert workspace.pack(document, include_base=True, licensee_url=url).size_bytes
            return
        with pytest.raises(PackError) as caught:
            workspace.pack(document, include_base=True, licensee_url=url)
        assert caught.value.code == code

    def test_what_was_never_trained(self, sharing: Sharing) -> None:
        with pytest.raises(PackError) as caught:
            sharing.home("mine").pack(a_document())
        assert caught.value.code == "pack.not-trained"

    def test_while_somebody_writes(self, sharing: Sharing, document: Document) -> None:
        workspace = sharing.home("mine")
        with workspace.store.writer(ID), pytest.raises(StoreError) as caught:
            sharing.home("mine").pack(document)
        assert caught.value.code == "store.locked"


class TestInstalling:
    def test_the_other_home_has_everything(self, sharing: Sharing, document: Document, tmp_path: Path) -> None:
        pack = sharing.home("mine").pack(document, sign=True)
        theirs = sharing.home("theirs")
        report = theirs.unpack(pack.path, out=tmp_path / "got")
        got = Document.load(report.document)
        assert got.text == document.text
        assert list(theirs.prompt(got, "Who is the harbour master of Velm?")) == list(
            sharing.home("mine").prompt(document, "Who is the harbour master of Velm?")
        )
        manifest = theirs.store.manifest(ID)
        assert manifest is not None
        assert manifest.source_path == str(report.document)
        assert manifest.installed_from == pack.sha256
        provenance = theirs.store.read_provenance(ID)
        assert provenance is not None
        assert provenance_from_json(provenance).signer.name == sharing.signer.public_key().name
        assert theirs.train(got).status == "nothing-to-do"

    def test_a_strangers_word_that_it_is_trusted_does_not_count(
        self, sharing: Sharing, document: Document, tmp_path: Path
    ) -> None:
        mine = sharing.home("mine")
        with mine.store.writer(ID) as writer:
            manifest = mine.store.manifest(ID)
            assert manifest is not None
            writer.save_manifest(attrs.evolve(manifest, trusts_sources=True, installed_from="a" * 64))
        pack = mine.pack(document)
        assert b"trusts_sources" not in bytes.fromhex(json.loads(pack.path.read_text())["store/manifest.json"])
        theirs = sharing.home("theirs")
        theirs.unpack(pack.path, out=tmp_path / "got")
        installed = theirs.store.manifest(ID)
        assert installed is not None
        assert not installed.trusts_sources

    def test_a_document_of_that_name_stays(self, sharing: Sharing, document: Document, tmp_path: Path) -> None:
        pack = sharing.home("mine").pack(document)
        (tmp_path / "got").mkdir()
        (tmp_path / "got" / "notes.dlm").write_text("mine")
        with pytest.raises(PackError) as caught:
            sharing.home("theirs").unpack(pack.path, out=tmp_path / "got")
        assert caught.value.code == "unpack.document-exists"
        assert (tmp_path / "got" / "notes.dlm").read_text() == "mine"
        assert sharing.home("theirs").store.manifest(ID) is None
        assert not list((tmp_path / "theirs" / "store").glob(".incoming-*"))
        sharing.home("theirs").unpack(pack.path, out=tmp_path / "got", force=True)
        assert (tmp_path / "got" / "notes.dlm").read_text() == document.text

    def test_a_store_of_that_id_stays(self, sharing: Sharing, document: Document, tmp_path: Path) -> None:
        pack = sharing.home("mine").pack(document)
        with pytest.raises(StoreError) as caught:
            sharing.home("mine").unpack(pack.path, out=tmp_path / "got")
        assert caught.value.code == "store.exists"
        assert not list((tmp_path / "got").iterdir())
        sharing.home("mine").unpack(pack.path, out=tmp_path / "got", force=True)

    def test_a_folder_that_cannot_be_written(self, sharing: Sharing, document: Document, tmp_path: Path) -> None:
        pack = sharing.home("mine").pack(document)
        (tmp_path / "file").write_text("no folder")
        with pytest.raises((DiskError, StoreError)):
            sharing.home("theirs").unpack(pack.path, out=tmp_path / "file")
        assert sharing.home("theirs").store.manifest(ID) is None

    def test_bundled_bases_serve_their_document(self, sharing: Sharing, document: Document, tmp_path: Path) -> None:
        pack = sharing.home("mine").pack(document, include_base=True)
        theirs = sharing.home("theirs")
        report = theirs.unpack(pack.path, out=tmp_path / "got")
        sharing.scene.registry._offline = frozenset({"tiny"})
        assert "".join(theirs.prompt(Document.load(report.document), "When does the lighthouse close?"))


class TestVerifying:
    def test_an_unknown_signer_is_trusted_when_asked(self, sharing: Sharing, document: Document) -> None:
        pack = sharing.home("mine").pack(document, sign=True).path
        with pytest.raises(SignatureError) as caught:
            sharing.home("theirs").verify(pack)
        assert caught.value.exit_code == 2
        assert sharing.trust.trusted() == ()
        report = sharing.home("theirs").verify(pack, trust_on_first_use=True)
        assert report.newly_trusted
        assert "verified: notes.dlm.pack" in report.to_text()
        assert report.to_json()["signer"] == sharing.signer.public_key().name

    def test_nobody_signed(self, sharing: Sharing, document: Document) -> None:
        with pytest.raises(SignatureError) as caught:
            sharing.home("mine").verify(sharing.home("mine").pack(document).path)
        assert caught.value.exit_code == 1

    def test_a_provenance_of_another_pack(self, sharing: Sharing, document: Document, tmp_path: Path) -> None:
        signed = sharing.home("mine").pack(document, sign=True).path
        provenance = json.loads(signed.read_text())["provenance.json"]
        sharing.home("mine").train(document.edit(set={"training.seed": 9}), mode="fresh")
        other = PlainPacks()
        job_file = sharing.home("mine").pack(document, out=tmp_path / "other.pack").path
        members = json.loads(job_file.read_text())
        assert "provenance.json" not in members
        contents = other.check(job_file, emit=lambda _: None)
        forged = attrs.evolve(contents, provenance=bytes.fromhex(provenance).decode())
        from dlm.app.verify import judge_contents

        judgement = judge_contents(forged, sharing.home("mine")._sharing_ports(), trust_on_first_use=True)
        assert judgement.exit_code == 1
        assert "chain broken" in judgement.reason


class TestPushingAndPulling:
    def test_a_document_is_packed_for_the_occasion(self, sharing: Sharing, document: Document, tmp_path: Path) -> None:
        report = sharing.home("mine").push(document, SIGNED, sign=True)
        assert report.signed
        assert document.path is not None
        assert not document.path.with_name("notes.dlm.pack").exists()
        sharing.trust.trust(sharing.signer.public_key())
        pulled = sharing.home("theirs").pull(SIGNED, out=tmp_path / "got")
        assert pulled.status == "verified"
        assert pulled.signer == sharing.signer.public_key().name
        assert Document.load(pulled.installed.document).text == document.text

    def test_the_hub_gets_a_card(self, sharing: Sharing, document: Document) -> None:
        report = sharing.home("mine").push(document, "hf:ada/notes", sign=True)
        assert report.pull == "dlm pull hf:ada/notes"
        (card,) = sharing.shares["hub"].cards.values()
        assert ID in card
        assert "(unknown)" not in card

    def test_a_pack_goes_as_it_is(self, sharing: Sharing, document: Document) -> None:
        pack = sharing.home("mine").pack(document, sign=True)
        pack.path.write_bytes(b"\x28\xb5\x2f\xfd" + pack.path.read_bytes())
        with pytest.raises(UsageError) as caught:
            sharing.home("mine").push(pack.path, SIGNED, include_logs=True)
        assert caught.value.code == "share.pack-options"

    @pytest.mark.parametrize("policy", ["permissive", "reject_invalid", "require_verified"])
    @pytest.mark.parametrize("case", ["unsigned", "unknown", "forged", "lost"])
    def test_who_is_believed(
        self, sharing: Sharing, document: Document, tmp_path: Path, policy: Any, case: str
    ) -> None:
        sharing.home("mine").push(document, SIGNED, sign=case != "unsigned")
        share = sharing.shares["url"]
        (place,) = share.packs
        if case == "forged":
            sharing.trust.trust(sharing.signer.public_key())
            data = json.loads(share.packs[place])
            share.packs[place] = json.dumps(data, indent=1).encode()
        if case == "lost":
            share.signatures.clear()
            share.signature_problems[place] = "the server said 500"
        refused = {"require_verified": True, "reject_invalid": case == "forged", "permissive": False}[policy]
        theirs = sharing.home("theirs")
        if refused:
            with pytest.raises(SignatureError) as caught:
                theirs.pull(SIGNED, out=tmp_path / "got", policy=policy)
            assert caught.value.exit_code in (2, 3)
            assert theirs.store.manifest(ID) is None
            return
        report = theirs.pull(SIGNED, out=tmp_path / "got", policy=policy)
        assert report.status == ("unsigned" if case == "unsigned" else "unverified")

    def test_another_signer_than_last_time_is_told(self, sharing: Sharing, document: Document, tmp_path: Path) -> None:
        sharing.trust.trust(sharing.signer.public_key())
        sharing.home("mine").push(document, SIGNED, sign=True)
        theirs = sharing.home("theirs")
        theirs.pull(SIGNED, out=tmp_path / "got", on_event=sharing.events.append)
        assert sharing.warnings() == []
        sharing.home("mine").push(document, SIGNED)
        sharing.shares["url"].signatures.clear()
        theirs.pull(SIGNED, out=tmp_path / "got", force=True, on_event=sharing.events.append)
        assert any("signed by" in warning and "unsigned" in warning for warning in sharing.warnings())

    def test_a_base_that_may_not_go_into_the_world(self, sharing: Sharing, document: Document, tmp_path: Path) -> None:
        pack = sharing.home("mine").pack(document, include_base=True)
        with pytest.raises((ShareError, UsageError, PackError)) as caught:
            sharing.home("mine").push(document, SIGNED, include_base=True)
        assert caught.value.code == "share.base-license"
        assert pack.path.exists()
        assert sharing.home("mine").push(document, str(tmp_path / "stick") + "/", include_base=True).size_bytes


class TestServing:
    def test_it_packs_serves_and_cleans_up(self, sharing: Sharing, document: Document) -> None:
        with sharing.home("mine").serve(document, sign=True, ttl_minutes=5) as running:
            (served,) = sharing.peers.running
            assert running.url.startswith("peer://")
            assert served.job.pack.is_file()
            assert served.job.signature is not None
            assert served.job.ttl_s == 300
            place = served.job.pack
        assert not place.exists()

    def test_a_taken_port_is_met_before_packing(self, sharing: Sharing, document: Document) -> None:
        sharing.peers.taken.add(7337)
        with pytest.raises(ShareError) as caught, sharing.home("mine").serve(document, on_event=sharing.events.append):
            pass
        assert caught.value.code == "serve.port"
        assert sharing.events == []

    @pytest.mark.parametrize(("options", "host"), [({}, "127.0.0.1"), ({"public": True}, "127.0.0.1")])
    def test_other_machines_take_two_words(
        self, sharing: Sharing, document: Document, options: dict[str, Any], host: str
    ) -> None:
        with sharing.home("mine").serve(document, on_event=sharing.events.append, **options) as running:
            assert running.address[0] == host
        assert bool(sharing.warnings()) == bool(options)


class TestKeys:
    def test_keys_are_made_trusted_and_revoked(self, sharing: Sharing, tmp_path: Path) -> None:
        workspace = sharing.home("mine")
        other = FakeSigner("ada")
        key = other.generate(passphrase=None)
        (tmp_path / "ada.pub").write_text(public_key_text(key))
        trusted = workspace.trust_key(tmp_path / "ada.pub", label="ada")
        report = workspace.keys()
        assert report.to_json()["trusted"][0]["key_id"] == key.name
        assert report.own is not None
        assert report.own.name in report.to_text()
        assert workspace.revoke_key(trusted.fingerprint).key == key
        assert workspace.keys().trusted == ()

    def test_a_home_without_a_key(self, sharing: Sharing) -> None:
        sharing.signer = FakeSigner("new")
        assert "dlm keys generate" in sharing.home("mine").keys().to_text()
