"""Packs that would fill the disk, the memory or the day."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from dlm.adapters.packs import TarZstdPacks, members, unfolding
from dlm.domain.errors import PackError
from dlm.domain.events import ignore
from dlm.domain.pack import MAX_DOCUMENT_BYTES, MAX_MEMBER_BYTES, MAX_PROVENANCE_BYTES, MAX_TEXT_BYTES
from dlm.testing.packs_contract import a_job, code_of
from packs_made import changed_manifest, honest, member, pack_at, tar_of

PACKS = TarZstdPacks()


def bomb(path: Path, zeros: int) -> Path:
    """Write a pack with a member of that many zeros behind a well-formed start."""
    parameter = unfolding.zstd().CompressionParameter
    frame = unfolding.zstd().ZstdCompressor(options={parameter.compression_level: 1})
    with path.open("wb") as file:
        file.write(frame.compress(tar_of(honest())[:-1024] + member("store/logs/x", size=zeros)))
        for _ in range(zeros >> 20):
            file.write(frame.compress(bytes(1 << 20)))
        file.write(frame.compress(bytes(1024)) + frame.flush())
    return path


def test_a_bomb_is_refused_by_what_it_unfolds_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfolding, "RATIO_FROM_BYTES", 8 << 20)
    pack = bomb(tmp_path / "pack", 64 << 20)
    assert pack.stat().st_size < 20_000
    assert code_of(PACKS, pack) == "pack.too-large"
    written = sum(path.stat().st_size for path in (tmp_path / "pack.out").rglob("*") if path.is_file())
    assert written < 10 << 20


def test_the_total_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = bomb(tmp_path / "pack", 16 << 20)
    monkeypatch.setattr(unfolding, "MAX_TOTAL_BYTES", 8 << 20)
    assert code_of(PACKS, pack) == "pack.too-large"


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("store/logs/x", MAX_MEMBER_BYTES + 1),
        ("provenance.json", MAX_PROVENANCE_BYTES + 1),
        ("dlm/second.dlm", MAX_DOCUMENT_BYTES + 1),
        ("store/adapter/versions/v0009/adapter_config.json", MAX_TEXT_BYTES + 1),
        ("store/adapter/tone/current.txt", 1000),
    ],
)
def test_members_are_limited_before_they_are_read(name: str, size: int, tmp_path: Path) -> None:
    tracemalloc.start()
    assert code_of(PACKS, pack_at(tmp_path / "pack", honest(), [member(name, size=size)])) == "pack.too-large"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20


def test_members_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "MAX_MEMBERS", 500)
    many = [member(f"store/logs/{number}") for number in range(500)]
    assert code_of(PACKS, pack_at(tmp_path / "pack", honest(), many)) == "pack.too-large"


def test_folders_are_counted(tmp_path: Path) -> None:
    many = [member(f"store/logs/{number}/{'x/' * 20}x") for number in range(600)]
    assert code_of(PACKS, pack_at(tmp_path / "pack", honest(), many)) == "pack.unsafe"


@pytest.mark.parametrize("log", [30, 31, 41])
def test_a_frame_that_wants_a_large_window(log: int, tmp_path: Path) -> None:
    window = bytes([(log - 10) << 3])
    (tmp_path / "pack").write_bytes(b"\x28\xb5\x2f\xfd\x00" + window + b"\x01\x00\x00")
    assert code_of(PACKS, tmp_path / "pack") == "pack.damaged"


def test_json_made_to_hurt(tmp_path: Path) -> None:
    for number, text in enumerate(
        [b"[" * 50_000, b'{"a":' * 50_000, b"9" * 10_000, b'{"dlm_id":1,"dlm_id":2}', b"\xff"]
    ):
        for name in ("manifest.json", "PACK_HEADER.json"):
            pack = pack_at(tmp_path / f"pack{number}{name}", honest() | {name: text})
            assert code_of(PACKS, pack) == "pack.damaged"


def test_a_manifest_that_lies_about_a_size_by_ten_gigabytes(tmp_path: Path) -> None:
    lying = changed_manifest(honest(), entries={"store/manifest.json": 10 << 30})
    assert code_of(PACKS, pack_at(tmp_path / "pack", lying)) == "pack.inconsistent"


@pytest.mark.parametrize(
    "yaml",
    [
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b]",
        "x: " + "[" * 5000,
        "x: '" + "y" * 300_000 + "'",
        "x: !!python/object/apply:os.system [id]",
    ],
)
def test_yaml_made_to_hurt(yaml: str, tmp_path: Path) -> None:
    document = f"---\n{yaml}\n---\nhello\n".encode()
    PACKS.write(a_job(texts={"dlm/notes.dlm": document}), tmp_path / "pack", emit=ignore)
    assert code_of(PACKS, tmp_path / "pack") == "pack.bad-document"


def test_a_pack_that_would_look_like_a_bomb_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dlm.adapters.packs import writing

    monkeypatch.setattr(writing, "RATIO_FROM_BYTES", 1 << 20)
    with pytest.raises(PackError) as caught:
        PACKS.write(a_job(texts={"store/logs/x": bytes(8 << 20)}), tmp_path / "pack", emit=ignore)
    assert caught.value.code == "pack.too-large"
    assert list(tmp_path.iterdir()) == []
