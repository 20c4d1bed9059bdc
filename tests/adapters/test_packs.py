"""Packs on disk: laws, packs of other programs, programs that read ours, and everything that can fail on the way."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlm.adapters.packs import TarZstdPacks, tar, unfolding, writing
from dlm.domain.errors import DiskError, PackError, StoreError
from dlm.domain.events import Event, Progress, ignore
from dlm.domain.pack_adapter import adapter_settings_problem
from dlm.domain.pack_names import NameSet, member_problem
from dlm.testing.packs_contract import VERSION, a_header, a_job, store_texts
from filesystem_steps import watched_steps
from packs_made import honest, reference_pack

PACKS = TarZstdPacks()
PARTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).filter(
    lambda part: "/" not in part and member_problem(part) is None
)
NAMES = st.lists(PARTS, min_size=1, max_size=6).map(lambda parts: "store/logs/" + "/".join(parts))


def without_clashes(texts: dict[str, bytes]) -> dict[str, bytes]:
    names = NameSet()
    return {name: data for name, data in texts.items() if names.problem_of(name) is None}


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(NAMES, st.binary(max_size=1500), max_size=5).map(without_clashes))
def test_whatever_was_packed_comes_back(texts: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pack, again, into = Path(folder, "pack"), Path(folder, "again"), Path(folder, "into")
        into.mkdir()
        written = PACKS.write(a_job(texts=texts), pack, emit=ignore)
        contents = PACKS.extract(pack, into, emit=ignore)
        assert contents.checksums == written.checksums
        for name, data in texts.items():
            assert into.joinpath(name.removeprefix("store/")).read_bytes() == data
        files = {name: into / name.removeprefix("store/") for name in texts}
        assert PACKS.write(a_job(files), again, emit=ignore).sha256 == written.sha256
        assert again.read_bytes() == pack.read_bytes()


@given(NAMES, st.integers(0, 16 << 30))
def test_headers_come_back(name: str, size: int) -> None:
    data = tar.header_bytes(name, size)
    extended: dict[str, str] = {}
    member = tar.read_header(data[:512], {})
    if member is not None and member.is_extended:
        extended = tar.read_extended(data[512 : 512 + member.size])
        member = tar.read_header(data[-512:], extended)
    assert member == tar.TarMember(name=name, size=size)


@pytest.mark.parametrize("level", [1, 10, 19])
def test_packs_of_other_programs_are_read(level: int, tmp_path: Path) -> None:
    more = {"store/tokenized-cache/x": b"x", f"{VERSION}/training_state.pt": b"x", "store/" + "logs/" + "y" * 120: b"y"}
    pack = reference_pack(tmp_path / "pack", honest(store_texts() | more), level=level)
    (tmp_path / "into").mkdir()
    contents = PACKS.extract(pack, tmp_path / "into", emit=ignore)
    assert contents.header.executables == ()
    assert contents.header.tool_version == "0.9.0"
    assert len(contents.notes) == 2
    assert (tmp_path / "into" / VERSION.removeprefix("store/") / "adapter_model.safetensors").is_file()


@pytest.mark.skipif(not (shutil.which("zstd") and shutil.which("tar")), reason="needs the programs zstd and tar")
def test_other_programs_read_ours(tmp_path: Path) -> None:
    long = "store/logs/" + "é" * 90
    PACKS.write(a_job(texts={long: b"long"}), tmp_path / "pack", emit=ignore)
    subprocess.run(["zstd", "-q", "-d", tmp_path / "pack", "-o", tmp_path / "tar"], check=True)
    with tarfile.open(tmp_path / "tar") as archive:
        infos = archive.getmembers()
    assert [info.name for info in infos] == sorted(
        [*store_texts(), long, "PACK_HEADER.json", "manifest.json", "CHECKSUMS.sha256"]
    )
    assert {(i.mtime, i.uid, i.gid, i.uname, i.gname, i.mode, i.type) for i in infos} == {
        (0, 0, 0, "", "", 0o644, b"0")
    }
    assert (tmp_path / "tar").stat().st_size % 10240 == 0
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "-xf", tmp_path / "tar", "-C", tmp_path / "out"], check=True)
    assert (tmp_path / "out" / long).read_text() == "long"


def test_large_files_pass_in_pieces(tmp_path: Path) -> None:
    numbers = tmp_path / "numbers"
    piece = os.urandom(1 << 20)
    with numbers.open("wb") as file:
        for _ in range(96):
            file.write(piece)
    job = a_job({f"{VERSION}/x.safetensors": numbers})
    (tmp_path / "into").mkdir()
    seen: list[Event] = []
    tracemalloc.start()
    written = PACKS.write(job, tmp_path / "pack", emit=seen.append)
    PACKS.extract(tmp_path / "pack", tmp_path / "into", emit=seen.append)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20
    assert (tmp_path / "into" / VERSION.removeprefix("store/") / "x.safetensors").read_bytes() == piece * 96
    stages = {event.stage for event in seen if isinstance(event, Progress)}
    assert stages == {"checksums", "pack", "unpack"}
    assert 10 < len(seen) < 40
    assert written.size_bytes < 97 << 20


def test_numbers_are_folded_fast_and_text_well() -> None:
    def level(**sizes: int) -> int:
        return writing._level([writing._Source(name.replace("_", "."), size) for name, size in sizes.items()])

    assert level(a_safetensors=100 << 20, b_txt=1 << 20) == 1
    assert level(a_safetensors=10 << 20) == 10
    assert level(a_safetensors=40 << 20, b_txt=90 << 20) == 10


def refused(files: dict[str, Path], code: str, tmp_path: Path, **changes: Any) -> None:
    with pytest.raises((PackError, StoreError)) as caught:
        PACKS.write(a_job(files, **changes), tmp_path / "pack", emit=ignore)
    assert caught.value.code == code
    assert caught.value.subject != "unpack"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("pack")]


def test_what_is_no_ordinary_file_is_not_packed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    refused({"store/logs/x": tmp_path / "link"}, "pack.not-a-file", tmp_path)
    refused({"store/logs/x": tmp_path}, "pack.not-a-file", tmp_path)
    refused({"store/logs/x": tmp_path / "missing"}, "store.unreadable", tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        refused({"store/logs/x": tmp_path / "pipe"}, "pack.not-a-file", tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="there is no such bit on Windows")
def test_programs_are_not_packed_unless_they_are_launch_scripts(tmp_path: Path) -> None:
    script, other = tmp_path / "vllm_launch.sh", tmp_path / "other"
    script.write_text("#!/bin/sh\n")
    other.touch()
    script.chmod(0o755)
    name = "store/exports/vllm/vllm_launch.sh"
    files = {name: script, "store/logs/x": other}
    refused(files, "pack.executable", tmp_path, header=a_header(content_type="no-base"))
    allowed = a_header(content_type="no-base", executables=(name,))
    PACKS.write(a_job(files, header=allowed), tmp_path / "out", emit=ignore)
    other.chmod(0o755)  # a disk on which everything may be started, as on memory sticks
    PACKS.write(a_job({"store/logs/x": other}), tmp_path / "out", emit=ignore)


@pytest.mark.parametrize("name", ["store/x.pt", f"{VERSION}/optimizer.bin"])
def test_pickles_are_not_packed(name: str, tmp_path: Path) -> None:
    refused({}, "pack.pickle", tmp_path, texts=store_texts() | {name: b""})


def test_settings_that_nobody_would_accept_are_not_packed(tmp_path: Path) -> None:
    texts = store_texts() | {f"{VERSION}/adapter_config.json": b'{"peft_type": "LORA", "auto_map": {}}'}
    refused({}, "pack.unsafe-adapter", tmp_path, texts=texts)


def test_names_that_would_not_work_elsewhere_are_not_packed(tmp_path: Path) -> None:
    for name in ("store/logs/a:b", "store/logs/nul", "store/Adapter/x", "PACK_HEADER.json", "store/manifest.json"):
        (tmp_path / "file").touch()
        refused({name: tmp_path / "file"}, "pack.bad-name", tmp_path)


@pytest.mark.parametrize("change", ["longer", "shorter", "newer"])
def test_a_file_that_changes_meanwhile(change: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(20 << 20))

    def emit(event: Event) -> None:
        if isinstance(event, Progress) and event.stage == "checksums":
            if change == "newer":
                os.utime(file, (1, 1))
            else:
                file.write_bytes(bytes(30 << 20 if change == "longer" else 1 << 20))

    with pytest.raises(PackError) as caught:
        PACKS.write(a_job({"store/logs/x": file}), tmp_path / "pack", emit=emit)
    assert caught.value.code == "pack.changed"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def full(wanted: int) -> Any:
    def before(count: int, *_: object) -> None:
        if count == wanted:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return before


def test_a_full_disk_at_any_step_of_writing_leaves_the_pack_before(tmp_path: Path) -> None:
    PACKS.write(a_job(), tmp_path / "pack", emit=ignore)
    before, failures = (tmp_path / "pack").read_bytes(), 0
    for step in range(1, 50):
        try:
            with watched_steps(full(step)):
                PACKS.write(a_job(texts={"store/logs/x": b"new"}), tmp_path / "pack", emit=ignore)
        except DiskError as exc:
            failures += exc.code == "disk.full"
            assert (tmp_path / "pack").read_bytes() == before or step == failures
            assert [path.name for path in tmp_path.iterdir()] == ["pack"]
        else:
            break
    assert failures >= 3


def test_a_full_disk_at_any_step_of_unpacking(tmp_path: Path) -> None:
    PACKS.write(a_job(), tmp_path / "pack", emit=ignore)
    codes = []
    for step in range(1, 50):
        into = tmp_path / str(step)
        into.mkdir()
        try:
            with watched_steps(full(step)):
                PACKS.extract(tmp_path / "pack", into, emit=ignore)
        except DiskError as exc:
            codes.append(exc.code)
        else:
            break
    assert len(codes) >= 5
    assert {*codes} == {"disk.full"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_is_full_in_the_middle_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PACKS.write(a_job(texts={"store/logs/x": bytes(3 << 20)}), tmp_path / "pack", emit=ignore)
    (tmp_path / "into").mkdir()
    opened = Path.open

    def to_nowhere(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if path.name == "x":
            return opened(Path("/dev/full"), "wb")
        return opened(path, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", to_nowhere)
    with pytest.raises(DiskError) as caught:
        PACKS.extract(tmp_path / "pack", tmp_path / "into", emit=ignore)
    assert caught.value.code == "disk.full"


def test_files_that_are_there_already_stay(tmp_path: Path) -> None:
    PACKS.write(a_job(), tmp_path / "pack", emit=ignore)
    (tmp_path / "mine").write_text("mine")
    into = tmp_path / "into"
    into.mkdir()
    (into / "manifest.json").symlink_to(tmp_path / "mine")
    with pytest.raises(StoreError):
        PACKS.extract(tmp_path / "pack", into, emit=ignore)
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_pack_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PACKS.write(a_job(), tmp_path / "pack", emit=ignore)

    def broken(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    class Broken:
        read = broken

    stream = unfolding.Unfolding(tmp_path / "pack", Broken(), 1, lambda _: None)  # type: ignore[arg-type]
    with pytest.raises(PackError) as caught:
        stream.take(1)
    assert caught.value.code == "pack.unreadable"


def test_what_an_observer_raises_passes(tmp_path: Path) -> None:
    def emit(_: Event) -> None:
        raise OSError("the observer's own")

    PACKS.write(a_job(), tmp_path / "pack", emit=ignore)
    with pytest.raises(OSError, match="own"):
        PACKS.check(tmp_path / "pack", emit=emit)
    with pytest.raises(OSError, match="own"):
        PACKS.write(a_job(), tmp_path / "other", emit=lambda event: emit(event) if _is_last(event) else None)
    assert [path.name for path in tmp_path.iterdir()] == ["pack"]


def _is_last(event: Event) -> bool:
    return isinstance(event, Progress) and event.stage == "pack"


def test_whatever_peft_writes_of_itself_is_accepted() -> None:
    from peft import LoraConfig

    written = LoraConfig(r=8, target_modules="all-linear").to_dict()
    assert adapter_settings_problem(json.dumps(written, default=list)) is None
