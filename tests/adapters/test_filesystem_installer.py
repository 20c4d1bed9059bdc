"""Installations killed, failed or disturbed at any step: the old store or the new one is there, whole."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from dlm.adapters.filesystem import FileInstaller, FileStore, installer
from dlm.adapters.filesystem.exchanging import exchange
from dlm.domain.errors import DiskError, StoreError
from dlm.testing.clocks import FixedClock
from dlm.testing.installers_contract import fill, install, texts_in
from dlm.testing.store_contract import ID, OTHER_ID
from dlm.wiring.parts import Parts
from filesystem_steps import at_step, survives_kill_before, watched_steps

CAN_EXCHANGE = sys.platform.startswith("linux")
ONE_STEP = pytest.param(True, marks=pytest.mark.skipif(not CAN_EXCHANGE, reason="folders cannot change places here"))


def installer_in(home: Path, **options: Any) -> FileInstaller:
    return FileInstaller(home, FixedClock(), **options)


def store_in(home: Path) -> Path:
    return home / "store" / ID


def _full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _killed_before(step: int, home: Path) -> bool:
    return not survives_kill_before(step, lambda: install(installer_in(home), "new", replace=True))


def unlocked(home: Path) -> set[str]:
    """Give the texts of the store, the lock of a process that was killed left out."""
    lock = store_in(home) / ".lock"
    if lock.exists():
        staged = installer_in(home).stage()
        with pytest.raises(StoreError) as caught:
            installer_in(home).install(ID, staged, replace=True)
        assert caught.value.code == "store.lock-stale"
        installer_in(home).discard(staged)
        lock.unlink()
    for left in store_in(home).glob(".lock.tmp.*"):
        left.unlink()
    return texts_in(store_in(home))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the kill harness forks; the protocol is the same on Windows")
@pytest.mark.parametrize("in_one_step", [ONE_STEP, False])
def test_a_kill_at_any_step_leaves_a_whole_store(
    in_one_step: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not in_one_step:
        monkeypatch.setattr(installer, "exchange", lambda *_: False)
    step, seen, hidden = 0, set(), 0
    while True:
        step += 1
        home = tmp_path / str(step)
        install(installer_in(home), "old")
        if not _killed_before(step, home):
            break
        hidden += not store_in(home).exists()
        assert store_in(home).exists() or not in_one_step
        FileStore(home, FixedClock()).recover()
        found = unlocked(home)
        assert found in ({"old"}, {"new"}), step
        seen |= found
        install(installer_in(home), "next", replace=True)
        assert texts_in(store_in(home)) == {"next"}
        left = sorted(path.name for path in (home / "store").iterdir())
        assert left == [".installing.lock", ID], step
    assert step >= 10
    assert seen == {"old", "new"}
    assert hidden == (0 if in_one_step else 1)


@pytest.mark.parametrize("in_one_step", [ONE_STEP, False])
def test_a_full_disk_at_any_step_leaves_a_whole_store(
    in_one_step: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not in_one_step:
        monkeypatch.setattr(installer, "exchange", lambda *_: False)
    failures = 0
    for step in range(1, 100):
        home = tmp_path / str(step)
        install(installer_in(home), "old")
        staged = installer_in(home).stage()
        fill(staged, "new")
        try:
            with watched_steps(at_step(step, _full)):
                installer_in(home).install(ID, staged, replace=True)
        except DiskError as exc:
            failures += exc.code == "disk.full"
        else:
            break
        assert texts_in(store_in(home)) in ({"old"}, {"new"}), step
        installer_in(home).discard(staged)
        install(installer_in(home), "next", replace=True)
        assert texts_in(store_in(home)) == {"next"}
    assert failures == step - 1
    assert failures >= 6
    assert texts_in(store_in(home)) == {"new"}


def test_a_store_in_use_is_not_replaced(tmp_path: Path) -> None:
    install(installer_in(tmp_path), "old")
    staged = installer_in(tmp_path).stage()
    fill(staged, "new")
    with FileStore(tmp_path, FixedClock()).writer(ID), pytest.raises(StoreError) as caught:
        installer_in(tmp_path).install(ID, staged, replace=True)
    assert caught.value.code == "store.locked"
    assert (store_in(tmp_path) / "manifest.json").read_text() == "old"
    assert staged.is_dir()


def test_a_lock_left_behind_is_broken_on_request(tmp_path: Path) -> None:
    install(installer_in(tmp_path), "old")
    (store_in(tmp_path) / ".lock").write_text(f"999999999\n{socket.gethostname()}\n1\n\n")
    staged = installer_in(tmp_path).stage()
    fill(staged, "new")
    with pytest.raises(StoreError) as caught:
        installer_in(tmp_path).install(ID, staged, replace=True)
    assert caught.value.code == "store.lock-stale"
    installer_in(tmp_path).install(ID, staged, replace=True, break_stale=True)
    assert texts_in(store_in(tmp_path)) == {"new"}


def test_a_store_that_was_only_begun_is_no_store(tmp_path: Path) -> None:
    with FileStore(tmp_path, FixedClock()).writer(ID):
        pass
    assert texts_in(install(installer_in(tmp_path), "new")) == {"new"}


def test_somebody_who_comes_in_the_moment_without_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installer, "exchange", lambda *_: False)
    install(installer_in(tmp_path), "old")
    staged = installer_in(tmp_path).stage()
    fill(staged, "new")
    rename = Path.rename
    begun: list[AbstractContextManager[object]] = []

    def disturbed(path: Path, target: Path) -> Path:
        if path == staged and not begun:
            begun.append(FileStore(tmp_path, FixedClock()).writer(ID))
            begun[0].__enter__()
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", disturbed)
    installer_in(tmp_path).install(ID, staged, replace=True)
    assert texts_in(store_in(tmp_path)) == {"new"}
    assert len(begun) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the kill harness forks; the protocol is the same on Windows")
def test_whoever_writes_next_gets_the_store_that_a_kill_took_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installer, "exchange", lambda *_: False)
    for step in range(1, 100):
        home = tmp_path / str(step)
        install(installer_in(home), "old")
        assert _killed_before(step, home), "no kill left the document without a store"
        if not store_in(home).exists():
            break
    with FileStore(home, FixedClock()).writer(ID):
        assert (store_in(home) / "manifest.json").read_text() == "old"
    installer_in(home).stage()
    assert (store_in(home) / "manifest.json").read_text() == "old"


def test_the_library_sees_the_store_that_a_kill_took_away(tmp_path: Path) -> None:
    install(installer_in(tmp_path), "old")
    store_in(tmp_path).rename(tmp_path / "store" / f".replaced-{ID}")
    assert (Parts(tmp_path).store.location(ID) / "manifest.json").read_text() == "old"


def test_two_at_once(tmp_path: Path) -> None:
    codes, texts = [], []

    def one(text: str) -> None:
        try:
            install(installer_in(tmp_path), text)
            texts.append(text)
        except StoreError as exc:
            codes.append(exc.code)

    threads = [threading.Thread(target=one, args=[str(number)]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == ["store.exists"] * 7
    assert texts_in(store_in(tmp_path)) == {*texts}


def test_somebody_else_installs_for_too_long(tmp_path: Path) -> None:
    staged = installer_in(tmp_path).stage()
    fill(staged, "new")
    program = (
        "import sys\nfrom dlm.domain.kernel_lock import try_lock\n"
        "file = open(sys.argv[1], 'ab')\nprint(try_lock(file.fileno()), flush=True)\nsys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "store" / ".installing.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"True\n"
        with pytest.raises(StoreError) as caught:
            installer_in(tmp_path, wait_s=0.1).install(ID, staged, replace=False)
        other.communicate()
    assert caught.value.code == "store.locked"
    assert not store_in(tmp_path).exists()
    installer_in(tmp_path).install(ID, staged, replace=False)


def test_only_what_was_staged_is_installed_or_discarded(tmp_path: Path) -> None:
    install(installer_in(tmp_path), "old")
    for folder in (store_in(tmp_path), tmp_path, tmp_path / "store" / ".incoming-1-12345678" / ".."):
        with pytest.raises(StoreError):
            installer_in(tmp_path).discard(folder)
        with pytest.raises(StoreError):
            installer_in(tmp_path).install(OTHER_ID, folder, replace=True)
    assert texts_in(store_in(tmp_path)) == {"old"}


def test_stores_have_no_links_for_a_place(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "manifest.json").write_text("mine")
    staged = installer_in(tmp_path).stage()
    fill(staged, "new")
    store_in(tmp_path).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError) as caught:
        installer_in(tmp_path).install(ID, staged, replace=False)
    assert caught.value.code == "store.exists"
    assert (tmp_path / "elsewhere" / "manifest.json").read_text() == "mine"


@pytest.mark.skipif(not CAN_EXCHANGE, reason="folders cannot change places here")
def test_folders_change_places(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        (folder / folder.name).touch()
    assert exchange(one, two)
    assert [path.name for path in one.iterdir()] == ["two"]
    with pytest.raises(FileNotFoundError):
        exchange(one, tmp_path / "missing")
