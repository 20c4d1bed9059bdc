"""Exports killed or failed at any step: the export that was there stays whole, and the next one is right."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from dlm.adapters.filesystem import FileExports
from dlm.domain.errors import DiskError, StoreError
from dlm.testing.store_contract import ID
from filesystem_steps import at_step, survives_kill_before, watched_steps

NAME = "Q8_0"


def exports_in(folder: Path) -> FileExports:
    return FileExports(lambda dlm_id: folder / dlm_id)


def export(folder: Path, text: str) -> None:
    with exports_in(folder).stage(ID, NAME) as staged:
        for name in ("base.gguf", "Modelfile"):
            (staged.folder / name).write_text(text)
        staged.commit()


def found(folder: Path) -> set[str]:
    place = exports_in(folder).location(ID, NAME)
    texts = {path.read_text() for path in place.iterdir()}
    assert len(list(place.iterdir())) == 2
    return texts


def _killed_before(step: int, folder: Path) -> bool:
    return not survives_kill_before(step, lambda: export(folder, "new"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the kill harness forks; the protocol is the same on Windows")
def test_a_kill_at_any_step_loses_nothing(tmp_path: Path) -> None:
    step, seen = 0, set()
    while True:
        step += 1
        folder = tmp_path / str(step)
        export(folder, "old")
        if not _killed_before(step, folder):
            break
        place = exports_in(folder).location(ID, NAME)
        if place.exists():
            seen |= found(folder)
            assert found(folder) in ({"old"}, {"new"})
        with exports_in(folder).stage(ID, NAME, wait_s=0.0):
            assert found(folder) in ({"old"}, {"new"})  # what the exchange had taken away is back
        export(folder, "next")
        assert found(folder) == {"next"}
        assert sorted(path.name for path in place.parent.iterdir()) == [f".lock-{NAME}", NAME]
    assert step >= 10
    assert seen == {"old", "new"}


def test_a_full_disk_at_any_step_leaves_the_old_export_or_the_new_one(tmp_path: Path) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    failures = own_files = 0
    for step in range(1, 100):
        folder = tmp_path / str(step)
        export(folder, "old")
        try:
            with watched_steps(at_step(step, full)):
                export(folder, "new")
        except DiskError:
            failures += 1
        except OSError:
            own_files += 1
        else:
            break
        with exports_in(folder).stage(ID, NAME):
            assert found(folder) in ({"old"}, {"new"})
    assert failures >= 8
    assert own_files == 2  # those the test writes itself


def test_a_link_is_not_exported(tmp_path: Path) -> None:
    with exports_in(tmp_path).stage(ID, NAME) as staged:
        (staged.folder / "base.gguf").symlink_to("/etc/hostname")
        with pytest.raises(StoreError) as caught:
            staged.commit()
    assert caught.value.code == "store.not-a-file"
    assert not exports_in(tmp_path).location(ID, NAME).exists()


def test_a_hard_link_to_a_cached_file_is_an_ordinary_file(tmp_path: Path) -> None:
    cached = tmp_path / "cached.gguf"
    cached.write_text("weights")
    with exports_in(tmp_path).stage(ID, NAME) as staged:
        os.link(cached, staged.folder / "base.gguf")
        place = staged.commit()
    assert (place / "base.gguf").samefile(cached)
