"""Full disks, read-only disks, and what must be flushed before what."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dlm.adapters.filesystem import FileStore
from dlm.domain.errors import DiskError, StoreError
from dlm.testing.clocks import FixedClock
from dlm.testing.store_contract import ID, commit, fill_version, weights
from filesystem_scenarios import SCENARIOS, new_manifest, old_manifest, play, prepare
from filesystem_steps import Before, watched_steps

# Freeing never fails for want of room; on a read-only disk everything does.
FAULTS = {
    errno.ENOSPC: ("disk.full", {"fsync", "mkdir", "rename", "replace", "link", "open"}),
    errno.EROFS: ("disk.read-only", None),
}


def _error_of(action: Callable[[], None], before: Before) -> StoreError | None:
    """Give the store's error; any other one fails the test."""
    try:
        with watched_steps(before):
            action()
    except StoreError as exc:
        return exc
    return None


@pytest.mark.parametrize("number", FAULTS, ids=lambda number: errno.errorcode[number])
@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_a_fault_from_any_step_on_is_named_and_loses_nothing(scenario: str, number: int, tmp_path: Path) -> None:
    code, names = FAULTS[number]
    failed_at = 0
    seed = prepare(tmp_path / "seed").home
    for step in range(1, 400):
        store = FileStore(shutil.copytree(seed, tmp_path / str(step)), FixedClock())

        def fail(count: int, name: str, args: tuple[Any, ...], step: int = step) -> None:
            folders = Path(str(args[0])).parts[:-1]
            is_trainers_own = name in ("open", "mkdir") and any(part.startswith(".staging-") for part in folders)
            if count >= step and (names is None or name in names) and not is_trainers_own:
                raise OSError(number, os.strerror(number))

        error = _error_of(lambda home=store.home: play(scenario, home), fail)
        if error is None:
            break
        assert error.code == code, f"step {step}: {error}"
        failed_at = step
        current = store.current(ID)
        assert current is not None
        assert weights(current.folder) in {"old", "new"}
        assert weights(store.location(ID) / "adapter" / "versions" / "v0001") == "old"
        assert store.manifest(ID) in (old_manifest(), new_manifest())
        (store.location(ID) / ".lock").unlink(missing_ok=True)  # a read-only disk keeps even the lock
        with store.writer(ID) as writer:
            commit(writer, "next")
        assert not list(store.location(ID).rglob(".staging*"))
    assert failed_at >= 15


def test_a_full_disk_lets_go_of_lock_and_staging(tmp_path: Path) -> None:
    store = prepare(tmp_path)

    def fail(_: int, name: str, __: tuple[Any, ...]) -> None:
        if name in ("replace", "fsync"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(DiskError), store.writer(ID) as writer, watched_steps(fail):
        commit(writer, "new")
    root = store.location(ID)
    assert sorted(path.name for path in (root / "adapter" / "versions").iterdir()) == ["v0001"]
    assert not (root / ".lock").exists()


def test_a_checkpoint_that_finds_no_room_says_so(tmp_path: Path) -> None:
    store = prepare(tmp_path)

    def fill(_: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with store.writer(ID) as writer, pytest.raises(DiskError) as caught:
        writer.checkpoints().save(fill)
    assert caught.value.code == "disk.full"
    assert weights(store.checkpoint(ID)) == "old"


def test_a_version_whose_pointer_cannot_be_written_is_marked_failed(tmp_path: Path) -> None:
    store = prepare(tmp_path)

    def fail(_: int, name: str, args: tuple[Any, ...]) -> None:
        if name == "replace" and Path(args[1]).name == "current.txt":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with store.writer(ID) as writer:
        with pytest.raises(DiskError), watched_steps(fail):
            commit(writer, "new")
        assert commit(writer, "newer").version == 3
    names = sorted(path.name for path in (store.location(ID) / "adapter" / "versions").iterdir())
    assert names == ["v0001", "v0002-failed", "v0003"]


def test_a_pointer_that_moved_but_was_not_flushed_keeps_its_version(tmp_path: Path) -> None:
    store = prepare(tmp_path)
    moved = False

    def fail(_: int, name: str, args: tuple[Any, ...]) -> None:
        nonlocal moved
        if moved and name == "fsync":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        moved = moved or (name == "replace" and Path(args[1]).name == "current.txt")

    with pytest.raises(StoreError), store.writer(ID) as writer, watched_steps(fail):
        commit(writer, "new")
    current = store.current(ID)
    assert current is not None
    assert (current.version, weights(current.folder)) == (2, "new")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to tell which file a descriptor is")
def test_everything_is_flushed_before_it_is_shown(tmp_path: Path) -> None:
    store = prepare(tmp_path)
    steps: list[tuple[str, str]] = []

    def record(_: int, name: str, args: tuple[Any, ...]) -> None:
        if name == "fsync":
            steps.append((name, Path(f"/proc/self/fd/{args[0]}").readlink().name.split(".tmp.")[0]))
        elif name in ("rename", "replace"):
            steps.append((name, Path(args[1]).name))

    with store.writer(ID) as writer, writer.stage_version() as staged:
        fill_version(staged.folder, "new")
        staging = staged.folder.name
        with watched_steps(record):
            staged.commit()
    shown = steps.index(("rename", "v0002"))
    flushed = {name for kind, name in steps[:shown] if kind == "fsync"}
    assert flushed == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "vocab.txt",
        "tokenizer",
        staging,
    }
    assert steps[shown:] == [
        ("rename", "v0002"),
        ("fsync", "versions"),
        ("fsync", "current.txt"),
        ("replace", "current.txt"),
        ("fsync", "adapter"),
    ]


@contextmanager
def _small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root; the injected faults above cover the same paths")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine lets nobody mount; the injected faults above cover the same paths")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_really_full_disk(tmp_path: Path) -> None:
    with _small_disk(tmp_path / "disk", "1m") as disk:
        store = prepare(disk / "home")
        version = store.location(ID) / "adapter" / "versions" / "v0001"
        before = _digests(version)
        (disk / "ballast").write_bytes(b"x" * (disk_free(disk) - 16384))

        def overfill(folder: Path) -> None:
            (folder / "weights").write_bytes(b"x" * 100_000)

        with store.writer(ID) as writer:
            with pytest.raises(DiskError) as caught:
                writer.checkpoints().save(overfill)
            assert caught.value.code == "disk.full"
            with pytest.raises(DiskError):
                writer.save_summary("train", {"text": "x" * 100_000})
        assert _digests(version) == before
        assert store.manifest(ID) == old_manifest()
        assert weights(store.checkpoint(ID)) == "old"
        (disk / "ballast").unlink()
        with store.writer(ID) as writer:
            assert commit(writer, "new").version == 2


def test_a_disk_too_full_even_for_the_lock(tmp_path: Path) -> None:
    with _small_disk(tmp_path / "disk", "1m") as disk:
        store = prepare(disk / "home")
        (disk / "ballast").write_bytes(b"x" * disk_free(disk))
        with pytest.raises(DiskError) as caught, store.writer(ID):
            pass
        assert caught.value.code == "disk.full"
        assert not list(store.location(ID).glob(".lock*"))


def disk_free(disk: Path) -> int:
    return shutil.disk_usage(disk).free


def test_a_read_only_disk_reads_and_does_not_write(tmp_path: Path) -> None:
    with _small_disk(tmp_path / "disk", "1m") as disk:
        store = prepare(disk / "home")
        before = _digests(disk)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        current = store.current(ID)
        assert current is not None
        assert weights(current.folder) == "old"
        assert store.manifest(ID) == old_manifest()
        with pytest.raises(DiskError) as caught, store.writer(ID):
            pass
        assert caught.value.code == "disk.read-only"
        assert "--home" in (caught.value.hint or "")
        with pytest.raises(DiskError), FileStore(disk / "other", FixedClock()).writer(ID):
            pass
        assert _digests(disk) == before


@pytest.mark.skipif(
    hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere; see the mounts above"
)
def test_a_home_without_write_permission(tmp_path: Path) -> None:
    store = prepare(tmp_path / "home")
    root = store.location(ID)
    root.chmod(0o500)
    try:
        with pytest.raises(DiskError) as caught, store.writer(ID):
            pass
    finally:
        root.chmod(0o700)
    assert caught.value.code == "disk.read-only"
