"""Packs that say what is not so, and packs that were changed on their way."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from dlm.adapters.packs import TarZstdPacks
from dlm.domain.errors import PackError
from dlm.domain.events import ignore
from dlm.domain.pack import PackContents
from dlm.testing.packs_contract import SETTINGS, VERSION, code_of, store_texts
from dlm.testing.store_contract import ID, OTHER_ID
from packs_made import changed_manifest, folded, honest, pack_at, tar_of

PACKS = TarZstdPacks()
PLACES = 1000
Members = dict[str, bytes]


def store(**changes: Any) -> Members:
    texts = store_texts()
    manifest = json.loads(texts["store/manifest.json"]) | changes
    return texts | {"store/manifest.json": json.dumps(manifest).encode()}


def settings(**changes: Any) -> Members:
    return honest(store_texts() | {f"{VERSION}/adapter_config.json": json.dumps(SETTINGS | changes).encode()})


def without(name: str) -> Members:
    return {key: data for key, data in honest().items() if key != name}


def with_entry(size: int) -> Members:
    members = honest()
    entries = json.loads(members["manifest.json"])["entries"]
    return changed_manifest(members, entries=entries | {"dlm/notes.dlm": size})


LIES: dict[str, tuple[Callable[[], Members], str]] = {
    "another id": (lambda: changed_manifest(honest(), dlm_id=OTHER_ID), "pack.inconsistent"),
    "an id that is a path": (lambda: changed_manifest(honest(), dlm_id="../../x"), "pack.unsafe"),
    "an id that is an absolute path": (lambda: changed_manifest(honest(), dlm_id="/etc"), "pack.unsafe"),
    "an id with a line feed": (lambda: changed_manifest(honest(), dlm_id=f"{ID}\n"), "pack.unsafe"),
    "a store of another id": (lambda: honest(store(dlm_id=OTHER_ID)), "pack.inconsistent"),
    "a store of no id": (lambda: honest(store(dlm_id="../x")), "pack.damaged"),
    "another base": (lambda: changed_manifest(honest(), base_model="llama-3.2-1b"), "pack.inconsistent"),
    "another revision": (
        lambda: changed_manifest(honest(store(base_model_revision="a" * 40)), base_model_revision="b" * 40),
        "pack.inconsistent",
    ),
    "another version": (lambda: changed_manifest(honest(), adapter_version=2), "pack.inconsistent"),
    "a size too small": (lambda: with_entry(1), "pack.inconsistent"),
    "a size as truth value": (lambda: with_entry(True), "pack.damaged"),
    "an empty list of sizes": (lambda: changed_manifest(honest(), entries={}), "pack.inconsistent"),
    "another rollup": (lambda: changed_manifest(honest(), content_sha256="0" * 64), "pack.inconsistent"),
    "a member that is not listed": (lambda: honest() | {"store/logs/x": b""}, "pack.inconsistent"),
    "a member that is missing": (lambda: without(f"{VERSION}/adapter_model.safetensors"), "pack.inconsistent"),
    "other weights": (lambda: honest() | {f"{VERSION}/adapter_model.safetensors": b"other"}, "pack.damaged"),
    "a signature that is not listed": (lambda: honest() | {"provenance.json": b"{}"}, "pack.inconsistent"),
    "no document": (lambda: honest({k: v for k, v in store_texts().items() if k[0] != "d"}), "pack.inconsistent"),
    "two documents": (lambda: honest({**store_texts(), "dlm/b.dlm": b""}), "pack.inconsistent"),
    "no header": (lambda: without("PACK_HEADER.json"), "pack.inconsistent"),
    "no manifest": (lambda: without("manifest.json"), "pack.inconsistent"),
    "no checksums": (lambda: without("CHECKSUMS.sha256"), "pack.inconsistent"),
    "no store": (lambda: without("store/manifest.json"), "pack.inconsistent"),
    "a newer format": (lambda: honest(header={"pack_format_version": 2, "new": 1}), "pack.newer"),
    "a base that is not mentioned": (
        lambda: honest({**store_texts(), "store/cache/base/x/model.safetensors": b""}),
        "pack.inconsistent",
    ),
    "exports that are not mentioned": (lambda: honest({**store_texts(), "store/exports/x": b""}), "pack.inconsistent"),
    "a program": (lambda: honest(header={"executables": ["store/manifest.json"]}), "pack.unsafe"),
    "a program outside": (lambda: honest(header={"executables": ["../x_launch.sh"]}), "pack.unsafe"),
    "a program that is not there": (
        lambda: honest(header={"executables": ["store/exports/x_launch.sh"], "content_type": "no-base"}),
        "pack.unsafe",
    ),
    "weights as pickle": (lambda: honest({**store_texts(), f"{VERSION}/adapter_model.bin": b""}), "pack.pickle"),
    "weights as pickle in capitals": (
        lambda: honest({**store_texts(), "store/adapter/x/versions/v0001/Pytorch_Model.PT": b""}),
        "pack.pickle",
    ),
    "code in settings": (lambda: settings(auto_map={"AutoModel": "evil.Model"}), "pack.unsafe-adapter"),
    "an import in settings": (lambda: settings(auto_mapping={"parent_library": "os"}), "pack.unsafe-adapter"),
    "a folder as base": (lambda: settings(base_model_name_or_path="/home/victim"), "pack.unsafe-adapter"),
    "an address as base": (lambda: settings(base_model_name_or_path="http://x/y"), "pack.unsafe-adapter"),
    "settings that are no text": (
        lambda: honest({**store_texts(), f"{VERSION}/adapter_config.json": b"\xff\xfe"}),
        "pack.unsafe-adapter",
    ),
    "settings beside the live version": (
        lambda: honest({**store_texts(), "store/adapter/x/versions/v0001/adapter_config.json": b"{}"}),
        "pack.unsafe-adapter",
    ),
    "a pointer outside": (
        lambda: honest({**store_texts(), "store/adapter/current.txt": b"../../x/versions/v0001"}),
        "pack.unsafe",
    ),
    "a pointer of an odd adapter": (
        lambda: honest({**store_texts(), "store/adapter/versions/current.txt": b"adapter/versions/versions/v0001"}),
        "pack.unsafe",
    ),
    "a pointer to nothing": (
        lambda: honest({**store_texts(), "store/adapter/tone/current.txt": b"adapter/tone/versions/v0001"}),
        "pack.inconsistent",
    ),
}


@pytest.mark.parametrize("lie", sorted(LIES))
def test_lies(lie: str, tmp_path: Path) -> None:
    make, code = LIES[lie]
    assert code_of(PACKS, pack_at(tmp_path / "pack", make())) == code


def test_pickles_beside_an_adapter_are_dropped_and_told(tmp_path: Path) -> None:
    names = ("training_state.pt", "training_state.pt.sha256", "optimizer.pt", "rng_state.pth", "x.PKL", "x.ckpt")
    members = honest(store_texts() | {f"{VERSION}/{name}": b"\x80\x04." for name in names})
    (tmp_path / "into").mkdir()
    contents = PACKS.extract(pack_at(tmp_path / "pack", members), tmp_path / "into", emit=ignore)
    found = {path.name for path in (tmp_path / "into").rglob("*") if path.is_file()}
    assert not found & {*names}
    (note,) = contents.notes
    assert note.startswith("adapter: 6 files not unpacked: it could run code while it is read")


def whole(pack: Path) -> PackContents:
    return attrs.evolve(PACKS.check(pack, emit=ignore), sha256="", size_bytes=0)


def accepted_unlike(pack: Path, expected: PackContents) -> bool | None:
    """Tell whether a pack is accepted and not the same; None when it is refused."""
    try:
        return whole(pack) != expected
    except PackError:
        return None


def test_flipped_bits_anywhere(tmp_path: Path) -> None:
    chance = random.Random(7)
    tar = tar_of(honest())
    pack = pack_at(tmp_path / "pack", honest())
    expected, plain = whole(pack), pack.read_bytes()
    results = []
    for source, finish in ((plain, bytes), (tar, folded)):
        for _ in range(PLACES):
            data = bytearray(source)
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            pack.write_bytes(finish(bytes(data)))
            results.append(accepted_unlike(pack, expected))
    assert True not in results
    assert results.count(None) > 1.9 * PLACES


def test_cut_off_anywhere(tmp_path: Path) -> None:
    chance = random.Random(7)
    pack = pack_at(tmp_path / "pack", honest())
    data = pack.read_bytes()
    for _ in range(PLACES):
        pack.write_bytes(data[: chance.randrange(len(data))])
        with pytest.raises(PackError) as caught:
            PACKS.check(pack, emit=ignore)
        assert caught.value.code == "pack.damaged"
