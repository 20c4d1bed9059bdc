"""Packs whose tar holds what no pack needs: refused before anything of it is touched."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from dlm.adapters.packs import TarZstdPacks, tar
from dlm.domain.errors import PackError
from dlm.testing.packs_contract import code_of
from packs_made import folded, honest, member, pack_at, padded, tar_of, with_sum

PACKS = TarZstdPacks()
LONG = "store/logs/" + "x" * 150


def refused(path: Path, *extra: bytes) -> str:
    """Give the code for a pack that is honest but for these members at its end; nothing may be left outside."""
    inner = path / "inner"
    inner.mkdir()
    code = code_of(PACKS, pack_at(inner / "pack", honest(), extra))
    assert sorted(entry.name for entry in inner.iterdir()) == ["pack", "pack.out"]
    assert [entry.name for entry in path.iterdir()] == ["inner"]
    return code


@pytest.mark.parametrize(
    "name",
    [
        "../escaped", "store/../../escaped", "store/./x", "store//x", "/tmp/escaped", "//server/x", "..\\escaped",
        "C:\\escaped", "C:escaped", "store/x:stream", "store/nul", "store/COM1.txt", "store/x.", "store/x ",
        "store/x\n", "store/x\x1b[2J", "store/\u202egpj.x", "store/e\u0301", "store/" + "a/" * 40 + "x",
        "store/" + "y" * 1100,
        "store/" + "y" * 256, "elsewhere", "dlm/sub/x.dlm", "dlm/.dlm", "dlm", "store",
    ],
)  # fmt: skip
def test_hostile_names(name: str, tmp_path: Path) -> None:
    assert refused(tmp_path, member(name, b"escaped")) == "pack.unsafe"


@pytest.mark.parametrize("name", [b"store/a\0../../x", b"store/\xff\xfe", b"", b"store/x/"])
def test_hostile_names_that_are_no_text(name: bytes, tmp_path: Path) -> None:
    header = bytearray(member("store/x"))
    header[:100] = name.ljust(100, b"\0")
    if name == b"store/a\0../../x":  # what follows the zero is not part of the name
        assert tar.read_header(with_sum(bytes(header)), {}) == tar.TarMember(name="store/a", size=0)
        return
    assert refused(tmp_path, with_sum(bytes(header))) == "pack.unsafe"


@pytest.mark.parametrize(
    "pair",
    [
        ("store/logs/x", "store/logs/x"),
        ("store/logs/x", "store/logs/X"),
        ("store/logs/x", "store/Logs/y"),
        ("store/logs/x", "store/logs/x/y"),
        ("store/logs/ß", "store/logs/SS"),
        ("store/logs/x", "store/manifest.json"),
        ("store/logs/x", "PACK_HEADER.json"),
        ("store/logs/x", "manifest.json"),
    ],
)
def test_names_that_clash(pair: tuple[str, str], tmp_path: Path) -> None:
    assert refused(tmp_path, *(member(name, b"{}") for name in pair)) == "pack.unsafe"


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"6", b"g", b"S", b"L", b"K", b"7", b"V", b"Z", b"\xff"])
def test_links_devices_and_other_kinds(kind: bytes, tmp_path: Path) -> None:
    target = "../01KPXZ0000000000000000000B/adapter"
    assert refused(tmp_path, member("store/logs", type=kind, linkname=target)) == "pack.unsafe"


def test_nothing_but_files_and_folders() -> None:
    for number in range(256):
        header = member("store/x", type=bytes([number]))
        if number in (0, *b"05x"):
            assert tar.read_header(header, {})
        else:
            with pytest.raises(PackError):
                tar.read_header(header, {})


def test_a_file_that_also_links(tmp_path: Path) -> None:
    assert refused(tmp_path, member("store/logs/x", b"x", linkname="/etc/passwd")) == "pack.unsafe"


def extended(*records: str, kind: bytes = b"x") -> bytes:
    data = b""
    for record in records:
        body = f" {record}\n".encode()
        length = len(body) + 1
        while len(str(length)) + len(body) != length:
            length += 1
        data += str(length).encode() + body
    return member("pax", data, type=kind)


@pytest.mark.parametrize(
    "header",
    [
        extended("path=../../escaped"),
        extended("path=/etc/passwd"),
        extended("path=store/logs/x\0y"),
        extended("GNU.sparse.major=1", "GNU.sparse.minor=0"),
        extended("linkpath=/etc/passwd"),
        extended("size=0"),
        extended("size=5"),
        extended("size=-5"),
        extended("size=8589934592"),
        extended("path=store/logs/a", "path=store/logs/b"),
        extended("mtime=0"),
        extended("path=store/logs/a", kind=b"g"),
        extended("path=store/logs/a") + extended("path=store/logs/b"),
        extended("path=" + "x" * 70_000),
    ],
)
def test_oddities_of_extended_headers(header: bytes, tmp_path: Path) -> None:
    assert refused(tmp_path, header + member("store/logs/x", b"hello")) == "pack.unsafe"


@pytest.mark.parametrize(
    "data", [b"x", b"5 a=\n", b"99 path=x\n", b"0 path=x\n", b"9 path=xx", b"11 path=x\n ", b"-9 path=x\n"]
)
def test_extended_headers_that_cannot_be_read(data: bytes, tmp_path: Path) -> None:
    broken = member("pax", data, type=b"x")
    assert refused(tmp_path, broken + member("store/logs/x")) in ("pack.damaged", "pack.unsafe")


@pytest.mark.parametrize(
    "size",
    [
        b"\x80" + bytes(10) + b"\x05",
        b"\xff" * 12,
        b"0000000000-5",
        b"0x000000005\0",
        b" " * 12,
        b"000000000009",
        bytes(12),
    ],
)
def test_odd_sizes(size: bytes, tmp_path: Path) -> None:
    header = bytearray(member("store/logs/x"))
    header[124:136] = size
    assert refused(tmp_path, with_sum(bytes(header)) + padded(b"12345")) == "pack.unsafe"


def test_headers_of_other_archives(tmp_path: Path) -> None:
    header = bytearray(member("store/logs/x"))
    for magic in (b"ustar\x0001", bytes(8), b"070701 \0"):
        header[257:265] = magic
        with pytest.raises(PackError):
            tar.read_header(with_sum(bytes(header)), {})


def test_a_folder_with_content(tmp_path: Path) -> None:
    assert refused(tmp_path, member("store/logs", b"hidden", type=tarfile.DIRTYPE)) == "pack.unsafe"


@pytest.mark.parametrize(
    "tail",
    [b"x", bytes(511) + b"x", bytes(20_000) + b"x", bytes(3 << 20), member("store/logs/x", b"behind the end")],
)
def test_something_behind_the_last_member(tail: bytes, tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    pack.write_bytes(folded(tar_of(honest()) + tail))
    assert code_of(PACKS, pack) == "pack.damaged"


def test_something_between_members(tmp_path: Path) -> None:
    tar = bytearray(tar_of(honest()))
    at = tar.index(b"\0" * 100, 512 + len(honest()["CHECKSUMS.sha256"]))
    assert at % 512
    tar[at + 3] = 1
    (tmp_path / "pack").write_bytes(folded(bytes(tar)))
    assert code_of(PACKS, tmp_path / "pack") == "pack.damaged"


@pytest.mark.parametrize("blocks", [1, 0])
def test_no_end(blocks: int, tmp_path: Path) -> None:
    (tmp_path / "pack").write_bytes(folded(tar_of(honest())[:-1024] + bytes(512 * blocks)))
    assert code_of(PACKS, tmp_path / "pack") == "pack.damaged"


SKIPPABLE = b"\x50\x2a\x4d\x18\x05\0\0\0hello"


@pytest.mark.parametrize(
    ("before", "after"), [(b"", b"x"), (b"", SKIPPABLE), (SKIPPABLE, b""), (b"", folded(b"")), (b"", folded(b"x"))]
)
def test_more_than_one_frame(before: bytes, after: bytes, tmp_path: Path) -> None:
    (tmp_path / "pack").write_bytes(before + folded(tar_of(honest())) + after)
    assert code_of(PACKS, tmp_path / "pack") == "pack.damaged"
