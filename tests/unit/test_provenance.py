"""What provenance says of a pack, and how the digests come about."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.domain.errors import SignatureError
from dlm.domain.minisign import PublicKey
from dlm.domain.provenance import (
    NO_REVISION,
    NO_SHA256,
    Chain,
    Provenance,
    broken_links,
    chain_of,
    chain_of_pack,
    content_digest,
    live_weights,
    provenance_from_json,
    provenance_to_json,
    signed_content,
    state,
    statement_comment,
    with_signature,
)
from signed_packs import MOMENT, REVISION, contents, sha256

KEY = PublicKey(key_id=bytes(range(1, 9)), key=bytes(range(32)), comment="Änne")
CHAIN = Chain(adapter_sha256="a" * 64, base_revision="b" * 40, corpus_root_sha256="c" * 64, env_lock_digest="d" * 64)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
CHAINS = st.builds(
    Chain,
    adapter_sha256=DIGESTS,
    base_revision=st.one_of(DIGESTS, DIGESTS.map(lambda text: text[:40])),
    corpus_root_sha256=DIGESTS,
    env_lock_digest=DIGESTS,
)


def example() -> Provenance:
    return with_signature(state(CHAIN, signed_at=MOMENT, key=KEY), "a\nsignature\n")


def test_the_signed_bytes_are_canonical_json_of_six_fields() -> None:
    digests = (
        f'"adapter_sha256":"{"a" * 64}","base_revision":"{"b" * 40}",'
        f'"corpus_root_sha256":"{"c" * 64}","env_lock_digest":"{"d" * 64}"'
    )
    key = "untrusted comment: \\u00c4nne\\nRWQBAgMEBQYHCAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\\n"
    text = f'{{{digests},"signed_at":"2026-04-23T18:42:11Z","signer_public_key":"{key}"}}'
    assert example().signed_bytes() == text.encode()


def test_the_file_is_sorted_indented_ascii() -> None:
    text = provenance_to_json(example())
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"
    assert text.isascii()
    assert set(json.loads(text)) == {
        "adapter_sha256",
        "base_revision",
        "corpus_root_sha256",
        "env_lock_digest",
        "signed_at",
        "signer_public_key",
        "signature",
    }


@given(CHAINS, st.text(st.characters(categories=("L", "N")), min_size=1, max_size=20), st.text(max_size=50))
def test_what_is_written_is_read_back(chain: Chain, comment: str, signature: str) -> None:
    key = attrs.evolve(KEY, comment=comment)
    provenance = with_signature(state(chain, signed_at=MOMENT, key=key), signature)
    read = provenance_from_json(provenance_to_json(provenance))
    assert read == provenance
    assert read.signer == key
    assert read.signed_bytes() == provenance.signed_bytes()


@pytest.mark.parametrize(
    "changes",
    [
        {"adapter_sha256": "A" * 64},
        {"adapter_sha256": "a" * 63},
        {"adapter_sha256": "a" * 64 + "\n"},
        {"adapter_sha256": None},
        {"adapter_sha256": 1},
        {"base_revision": "main"},
        {"base_revision": "b" * 41},
        {"corpus_root_sha256": ""},
        {"env_lock_digest": "٠" * 64},
        {"signed_at": "yesterday"},
        {"signed_at": "2026-13-01T00:00:00Z"},
        {"signer_public_key": "RWQBAgMEBQYHCAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"},
        {"signer_public_key": ""},
        {"signature": None},
        {"signature": ["a"]},
        {"document_sha256": "a" * 64},
        {"signature": "x" * (1 << 16)},
    ],
)
def test_anything_else_is_refused(changes: dict[str, Any]) -> None:
    record = {**json.loads(provenance_to_json(example())), **changes}
    with pytest.raises(SignatureError) as caught:
        provenance_from_json(json.dumps(record))
    assert (caught.value.code, caught.value.exit_code) == ("verify.broken", 1)
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{}", '{"signature": "a", "signature": "b"}', "[" * 100_000, "\ud800"]
)
def test_rubbish_is_refused(text: str) -> None:
    with pytest.raises(SignatureError) as caught:
        provenance_from_json(text)
    assert caught.value.code == "verify.broken"


@pytest.mark.parametrize("missing", sorted(json.loads(provenance_to_json(example()))))
def test_every_field_is_needed(missing: str) -> None:
    record = json.loads(provenance_to_json(example()))
    del record[missing]
    with pytest.raises(SignatureError, match=missing):
        provenance_from_json(json.dumps(record))


@pytest.mark.parametrize("time", ["2026-04-23T18:42:11", "2026-04-23T18:42:11+02:00", "2026-04-23T18:42:11.5Z"])
def test_times_of_other_writers_are_read_and_stay_as_signed(time: str) -> None:
    record = {**json.loads(provenance_to_json(example())), "signed_at": time}
    assert f'"signed_at":"{time}"' in provenance_from_json(json.dumps(record)).signed_bytes().decode()


def chain(**changes: Any) -> Chain:
    values = {"weights": {None: "a" * 64}, "content_hashes": ("x",), "lock_sha256": "d" * 64, "base_revision": REVISION}
    return chain_of(**{**values, **changes})


def test_one_adapter_is_its_weights_and_several_are_a_list() -> None:
    assert chain().adapter_sha256 == "a" * 64
    assert chain(weights={}).adapter_sha256 == NO_SHA256
    assert chain(weights={"tone": "b" * 64}).adapter_sha256 == sha256("tone\n" + "b" * 64 + "\n")
    several = chain(weights={"tone": "b" * 64, None: "c" * 64, "facts": "a" * 64})
    listed = "default\n" + "c" * 64 + "\nfacts\n" + "a" * 64 + "\ntone\n" + "b" * 64 + "\n"
    assert several.adapter_sha256 == sha256(listed)


def test_the_corpus_is_its_sorted_section_ids() -> None:
    assert chain(content_hashes={"b": "b", "a": "a"}).corpus_root_sha256 == sha256("a\nb\n")
    assert chain(content_hashes=()).corpus_root_sha256 == hashlib.sha256().hexdigest()


def test_a_base_without_a_commit_is_known_by_its_files() -> None:
    assert chain().base_revision == REVISION
    assert chain(base_sha256="e" * 64).base_revision == REVISION
    for unknown in (None, "", "main", "A" * 40, "f" * 64):
        assert chain(base_revision=unknown, base_sha256="e" * 64).base_revision == "e" * 64
        assert chain(base_revision=unknown).base_revision == NO_REVISION


def test_no_lock_is_zeros() -> None:
    assert chain(lock_sha256=None).env_lock_digest == NO_SHA256


@given(CHAINS, CHAINS)
def test_broken_links_are_the_fields_that_differ(one: Chain, other: Chain) -> None:
    assert broken_links(one, one) == ()
    broken = broken_links(one, other)
    assert attrs.evolve(other, **{name: getattr(one, name) for name in broken}) == one
    assert broken_links(attrs.evolve(one, env_lock_digest="e" * 63 + "f"), one) in ((), ("env_lock_digest",))


def test_the_chain_of_a_pack_follows_from_its_checksums() -> None:
    pack = contents()
    found = chain_of_pack(pack.checksums, pack.manifest)
    assert found == Chain(
        adapter_sha256=sha256("new weights"),
        base_revision=REVISION,
        corpus_root_sha256=sha256("a" * 16 + "\n" + "b" * 16 + "\n"),
        env_lock_digest=sha256("a lock"),
    )


@pytest.mark.parametrize("ending", ["\n", "", "\r\n"])
@pytest.mark.parametrize("version", [1, 2, 12345])
def test_the_live_weights_are_those_the_pointers_name(version: int, ending: str) -> None:
    named = {
        f"store/adapter/tone/versions/v{number:04d}/adapter_model.safetensors": f"tone {number}"
        for number in (1, 2, 12345)
    }
    named["store/adapter/tone/current.txt"] = f"adapter/tone/versions/v{version:04d}{ending}"
    found = live_weights(contents().with_members(named).checksums)
    assert found == {None: sha256("new weights"), "tone": sha256(f"tone {version}")}


@pytest.mark.parametrize(
    "members",
    [
        {"store/adapter/current.txt": "adapter/versions/v0003\n"},
        {"store/adapter/current.txt": "adapter/versions/../versions/v0002\n"},
        {"store/adapter/current.txt": "adapter/tone/versions/v0001\n"},
        {"store/adapter/tone/current.txt": "adapter/versions/v0002\n"},
        {"store/adapter/versions/current.txt": "adapter/versions/v0002\n"},
        {"store/adapter/default/current.txt": "adapter/default/versions/v0001\n"},
    ],
)
def test_a_pointer_to_nothing_breaks_the_chain(members: dict[str, str]) -> None:
    with pytest.raises(SignatureError, match="adapter_sha256") as caught:
        live_weights(contents().with_members(members).checksums)
    assert caught.value.code == "verify.broken"


def test_many_hostile_members_take_no_time() -> None:
    many = {f"store/adapter/versions/v{number:04d}/adapter_model.safetensors": NO_SHA256 for number in range(50_000)}
    many |= {f"store/adapter/a{number}/current.txt": NO_SHA256 for number in range(50_000)}
    with pytest.raises(SignatureError):
        live_weights(many)


def test_the_content_is_every_member_but_header_and_provenance() -> None:
    pack = contents().checksums
    whole = content_digest(pack)
    assert content_digest(dict(reversed(pack.items()))) == whole
    assert content_digest({**pack, "PACK_HEADER.json": NO_SHA256, "provenance.json": NO_SHA256}) == whole
    for path in sorted(set(pack) - {"PACK_HEADER.json"}):
        assert content_digest({**pack, path: NO_SHA256}) != whole
        assert content_digest({name: digest for name, digest in pack.items() if name != path}) != whole
    lines = "".join(f"{path}\n{pack[path]}\n" for path in sorted(pack) if path != "PACK_HEADER.json")
    assert whole == sha256(lines)


def test_the_trusted_comment_carries_the_content() -> None:
    comment = statement_comment("e" * 64, signed_at=MOMENT)
    stamp = f"timestamp:{int(MOMENT.timestamp())}"
    assert comment == f"{stamp}\tfile:provenance.json\thashed\tdlm-content-sha256:{'e' * 64}"
    assert signed_content(comment) == "e" * 64
    assert signed_content("timestamp:1\tfile:x\thashed") is None
    assert signed_content("") is None
    for wrong in (f"{comment}\tdlm-content-sha256:{'f' * 64}", "dlm-content-sha256:", "dlm-content-sha256:" + "E" * 64):
        with pytest.raises(SignatureError):
            signed_content(wrong)
