"""Names, bytes and permissions of a store on disk."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from dlm.adapters.filesystem import FileStore
from dlm.domain.errors import StoreError
from dlm.testing.clocks import FixedClock
from dlm.testing.store_contract import ID, a_lock, a_manifest, commit, fill_version, weights


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "home", FixedClock())


def test_reading_leaves_a_missing_home_missing(store: FileStore) -> None:
    store.manifest(ID)
    store.lock(ID)
    store.current(ID)
    store.checkpoint(ID)
    store.size(ID)
    store.free_bytes()
    store.read_log(ID, "train")
    store.read_summary(ID, "train")
    store.discard(ID)
    assert not store.home.exists()


def test_the_tree_has_the_agreed_names(store: FileStore) -> None:
    with store.writer(ID) as writer:
        writer.save_manifest(a_manifest())
        writer.save_lock(a_lock())
        commit(writer, "one")
        commit(writer, "code", "code")
        writer.save_summary("train-000001-20260423T184211", {"é": 1})
        writer.append_log("train-000001-20260423T184211", {"b": "é", "a": 1})
    root = store.home / "store" / ID
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    version = {"adapter_config.json", "adapter_model.safetensors", "tokenizer/vocab.txt"}
    assert files == {
        "manifest.json",
        "dlm.lock",
        "adapter/current.txt",
        "adapter/code/current.txt",
        "logs/train-000001-20260423T184211.jsonl",
        "logs/train-000001-20260423T184211.summary.json",
        *(f"adapter/versions/v0001/{name}" for name in version),
        *(f"adapter/code/versions/v0001/{name}" for name in version),
    }
    assert (root / "adapter/current.txt").read_bytes() == b"adapter/versions/v0001\n"
    assert (root / "adapter/code/current.txt").read_bytes() == b"adapter/code/versions/v0001\n"
    assert (root / "logs/train-000001-20260423T184211.jsonl").read_bytes() == b'{"a": 1, "b": "\\u00e9"}\n'
    assert (root / "logs/train-000001-20260423T184211.summary.json").read_bytes() == b'{\n  "\\u00e9": 1\n}\n'
    assert "/home/ада/notes.dlm".encode() in (root / "manifest.json").read_bytes()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits; folders there inherit the user's own")
def test_a_home_that_dlm_makes_is_private_and_an_existing_one_is_left_alone(tmp_path: Path) -> None:
    for made in (True, False):
        home = tmp_path / str(made) / "home"
        if not made:
            home.mkdir(parents=True, mode=0o755)
        with FileStore(home, FixedClock()).writer(ID):
            pass
        assert stat.S_IMODE(home.stat().st_mode) == (0o700 if made else 0o755)


def test_numbers_are_never_used_twice_even_when_folders_are_deleted(store: FileStore) -> None:
    versions = store.location(ID) / "adapter" / "versions"
    with store.writer(ID) as writer:
        commit(writer, "one")
        for name in ("v0007-rejected-3", "v0005-failed", "unrelated", "v12"):
            (versions / name).mkdir()
        assert commit(writer, "two").version == 8
        for path in (versions / "v0008").rglob("*"):
            if path.is_file():
                path.unlink()
        (versions / "v0008" / "tokenizer").rmdir()
        (versions / "v0008").rmdir()
        assert commit(writer, "three").version == 9


def test_version_numbers_widen(store: FileStore) -> None:
    with store.writer(ID) as writer:
        (store.location(ID) / "adapter" / "versions" / "v9999").mkdir()
        ref = commit(writer, "one")
    assert ref.folder.name == "v10000"
    current = store.current(ID)
    assert current is not None
    assert current.version == 10000


def test_a_version_may_not_hold_links(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("elsewhere")

    def stage_link(writer: object) -> None:
        with writer.stage_version() as staged:  # type: ignore[attr-defined]  # the port's writer
            fill_version(staged.folder, "one")
            (staged.folder / "link").symlink_to(tmp_path / "secret")
            staged.commit()

    with store.writer(ID) as writer:
        with pytest.raises(StoreError) as caught:
            stage_link(writer)
        assert caught.value.code == "store.not-a-file"
        assert commit(writer, "two").version == 1


def test_ending_a_version_twice_is_a_mistake_of_the_caller(store: FileStore) -> None:
    with store.writer(ID) as writer, writer.stage_version() as staged:
        fill_version(staged.folder, "one")
        staged.commit()
        with pytest.raises(RuntimeError):
            staged.reject()


def test_a_new_writer_sweeps_what_dead_ones_left(store: FileStore) -> None:
    dead, alive = 4_194_305, os.getpid()  # above the largest pid Linux gives
    with store.writer(ID) as writer:
        commit(writer, "one", "code")
    root = store.location(ID)
    swept = [
        root / f"manifest.json.tmp.{dead}.0123abcd",
        root / f"adapter/code/current.txt.tmp.{dead}",
        root / f"logs/x.summary.json.tmp.{dead}.0123abcd",
    ]
    kept = [root / f"manifest.json.tmp.{alive}.0123abcd", root / "notes.tmp.txt", root / "logs/a.tmp.b"]
    for path in (*swept, *kept):
        path.write_text("x")
    folders = [root / f"adapter/{name}/.staging-{alive}-0123abcd" for name in ("versions", "code/versions")]
    folders.append(root.parent / f".discarded-{dead}-0123abcd")
    for folder in folders:
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / "file").write_text("x")
    with store.writer(ID):
        pass
    assert [path for path in (*swept, *folders) if path.exists()] == []
    assert [path for path in kept if not path.exists()] == []


def test_the_sweep_follows_no_links(store: FileStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / ".staging-1-0123abcd").mkdir(parents=True)
    with store.writer(ID):
        pass
    (store.location(ID) / "adapter" / "code").symlink_to(outside, target_is_directory=True)
    with store.writer(ID):
        pass
    assert (outside / ".staging-1-0123abcd").is_dir()


def test_a_torn_log_line_costs_itself_only(store: FileStore) -> None:
    path = store.location(ID) / "logs" / "train.jsonl"
    with store.writer(ID) as writer:
        writer.append_log("train", {"step": 1})
    with path.open("ab") as file:
        file.write(b'{"step": 2, "lo\xc3')
    assert store.read_log(ID, "train") == ({"step": 1},)
    with store.writer(ID) as writer:
        writer.append_log("train", {"step": 3})
    assert store.read_log(ID, "train") == ({"step": 1}, {"step": 3})


def test_size_counts_files_once_and_follows_no_links(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 10_000)
    with store.writer(ID):
        pass
    root = store.location(ID)
    (root / "replay").mkdir()
    (root / "replay" / "corpus.zst").write_bytes(b"x" * 300)
    (root / "blob").write_bytes(b"x" * 50)
    (root / "link").symlink_to(tmp_path / "big")
    size = store.size(ID)
    assert size.replay == 300
    assert 350 <= size.total < 1000


def test_a_home_below_a_file_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = FileStore(tmp_path / "file" / "home", FixedClock())
    with pytest.raises(StoreError), store.writer(ID):
        pass
    with pytest.raises(StoreError):
        store.manifest(ID)


def test_checkpoints_clear_away_older_ones(store: FileStore) -> None:
    with store.writer(ID) as writer:
        for step in range(3):
            writer.checkpoints().save(lambda folder, step=step: fill_version(folder, str(step)))
    folder = store.location(ID) / "adapter" / "_checkpoint"
    assert [path.name for path in folder.iterdir()] == ["c000003"]
    assert weights(store.checkpoint(ID)) == "2"


def test_discard_leaves_no_trace(store: FileStore) -> None:
    with store.writer(ID) as writer:
        writer.save_manifest(a_manifest())
    store.discard(ID)
    assert list((store.home / "store").iterdir()) == []
