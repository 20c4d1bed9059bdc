"""What every store promises, as tests. Needs pytest.

class TestMyStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        return MyStore(tmp_path / "home")
"""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import attrs
import pytest

from dlm.domain.errors import StoreError
from dlm.domain.lock import Lock
from dlm.domain.manifest import Manifest
from dlm.ports.store import AdapterRef, StorePort, StoreWriter
from dlm.testing.clocks import A_MOMENT

ID = "01KPXZ0000000000000000000A"
OTHER_ID = "01KPXZ0000000000000000000B"


def a_manifest(dlm_id: str = ID) -> Manifest:
    """Give a manifest of a fresh store."""
    return Manifest.new(dlm_id, "smollm2-135m", None, "/home/ада/notes.dlm", A_MOMENT)


def a_lock(dlm_id: str = ID) -> Lock:
    """Give a lock of a first run on a CPU."""
    return Lock(
        created_at=A_MOMENT,
        dlm_id=dlm_id,
        dlm_sha256="a" * 64,
        base_model_revision=None,
        pinned_versions={"torch": "2.6.0", "bitsandbytes": None},
        hardware_tier="cpu",
        seed=42,
        determinism_class="advisory",
        last_run_id=1,
    )


def fill_version(folder: Path, text: str) -> None:
    """Write what an adapter folder holds, with a sub-folder, so that both are seen to survive."""
    (folder / "adapter_config.json").write_text("{}\n")
    (folder / "adapter_model.safetensors").write_text(text)
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "vocab.txt").write_text(text)


def commit(writer: StoreWriter, text: str, adapter: str | None = None) -> AdapterRef:
    """Commit one version whose weights are ``text``."""
    with writer.stage_version(adapter) as staged:
        fill_version(staged.folder, text)
        return staged.commit()


def weights(folder: Path | None) -> str | None:
    """Give the text that ``fill_version`` wrote, checked to be whole."""
    if folder is None:
        return None
    text = (folder / "adapter_model.safetensors").read_text()
    assert (folder / "tokenizer" / "vocab.txt").read_text() == text
    assert (folder / "adapter_config.json").read_text() == "{}\n"
    return text


class StoreContract:
    """Subclass it and give a ``store`` fixture: a fresh, empty store per test."""

    @pytest.fixture
    def store(self) -> StorePort:
        """Give the store under test."""
        raise NotImplementedError("override the store fixture")

    def test_reading_an_unknown_document_finds_nothing_and_makes_nothing(self, store: StorePort) -> None:
        assert store.manifest(ID) is None
        assert store.lock(ID) is None
        assert store.current(ID) is None
        assert store.current(ID, "code") is None
        assert store.checkpoint(ID) is None
        assert store.read_log(ID, "train-000001") == ()
        assert store.read_summary(ID, "train-000001") is None
        assert store.size(ID).total == 0
        assert store.free_bytes() > 0
        store.discard(ID)
        assert not store.location(ID).exists()

    def test_ids_that_are_not_ids_are_refused(self, store: StorePort) -> None:
        for bad in ("", "..", "../../etc", ID.lower(), ID + "A", "01KPXZ000000000000000000/A", f"{ID}\n"):
            with pytest.raises(StoreError) as caught:
                store.location(bad)
            assert caught.value.code == "store.bad-id"

    def test_manifest_and_lock_come_back_as_saved(self, store: StorePort) -> None:
        manifest, run_id = a_manifest().reserve_run(started_at=A_MOMENT, seed=42)
        with store.writer(ID) as writer:
            writer.save_manifest(a_manifest())
            writer.save_manifest(manifest)
            writer.save_lock(a_lock())
        assert run_id == 1
        assert store.manifest(ID) == manifest
        assert store.lock(ID) == a_lock()
        assert store.manifest(OTHER_ID) is None

    def test_a_store_refuses_what_belongs_to_another_document(self, store: StorePort) -> None:
        with store.writer(ID) as writer:
            with pytest.raises(StoreError) as caught:
                writer.save_manifest(a_manifest(OTHER_ID))
            assert caught.value.code == "store.wrong-document"
            with pytest.raises(StoreError) as caught:
                writer.save_lock(a_lock(OTHER_ID))
            assert caught.value.code == "store.wrong-document"

    def test_versions_count_up_and_the_newest_is_current(self, store: StorePort) -> None:
        with store.writer(ID) as writer:
            first, second = commit(writer, "one"), commit(writer, "two")
        assert (first.version, second.version) == (1, 2)
        assert (weights(first.folder), weights(second.folder)) == ("one", "two")
        assert second.sha256 == hashlib.sha256(b"two").hexdigest()
        assert second.config_sha256 == hashlib.sha256(b"{}\n").hexdigest()
        assert store.current(ID) == attrs.evolve(second, sha256=None, config_sha256=None)

    def test_a_rejected_version_stays_aside_and_spends_its_number(self, store: StorePort) -> None:
        with store.writer(ID) as writer:
            commit(writer, "good")
            with writer.stage_version() as staged:
                fill_version(staged.folder, "nan")
                rejected = staged.reject()
            assert (rejected.name, weights(rejected)) == ("v0002-rejected", "nan")
            current = store.current(ID)
            assert current is not None
            assert weights(current.folder) == "good"
            assert commit(writer, "better").version == 3

    def test_a_version_says_whether_its_base_was_4_bit(self, store: StorePort) -> None:
        said = {"": False, "{}": False, '{"use_qlora": false}': False, '{"use_qlora": true}': True}
        for text, expected in said.items():
            with store.writer(ID) as writer, writer.stage_version() as staged:
                fill_version(staged.folder, text)
                if text:
                    (staged.folder / "training_run.json").write_text(text)
                assert store.trained_with_qlora(staged.commit()) is expected
        (staged.folder / "training_run.json").write_text('{"use_qlora": "yes"}')
        current = store.current(ID)
        assert current is not None
        with pytest.raises(StoreError) as caught:
            store.trained_with_qlora(current)
        assert caught.value.code == "store.version-corrupt"

    def test_leaving_without_a_decision_leaves_nothing(self, store: StorePort) -> None:
        def leave(writer: StoreWriter, error: Exception | None) -> None:
            with writer.stage_version() as staged:
                fill_version(staged.folder, "half")
                if error is not None:
                    raise error

        with store.writer(ID) as writer:
            leave(writer, None)
            with pytest.raises(KeyError):
                leave(writer, KeyError("the trainer failed"))
            assert not list(store.location(ID).rglob("adapter_model.safetensors"))
            assert store.current(ID) is None
            assert commit(writer, "one").version == 1

    def test_an_empty_version_is_refused(self, store: StorePort) -> None:
        with store.writer(ID) as writer:
            with pytest.raises(StoreError) as caught, writer.stage_version() as staged:
                staged.commit()
            assert caught.value.code == "store.version-empty"
            assert store.current(ID) is None

    def test_named_adapters_count_for_themselves(self, store: StorePort) -> None:
        with store.writer(ID) as writer:
            commit(writer, "prose", "prose")
            commit(writer, "code", "code")
            assert commit(writer, "more code", "code").version == 2
        prose, code = store.current(ID, "prose"), store.current(ID, "code")
        assert prose is not None
        assert code is not None
        assert (weights(prose.folder), weights(code.folder)) == ("prose", "more code")
        assert store.current(ID) is None

    def test_adapter_names_that_would_break_the_layout_are_refused(self, store: StorePort) -> None:
        for bad in ("versions", "default", "", "..", "a/b", "Code", "_gate", "_checkpoint", "x" * 33, "x\n"):
            with pytest.raises(StoreError) as caught:
                store.current(ID, bad)
            assert caught.value.code == "store.bad-adapter-name"
            with store.writer(ID) as writer, pytest.raises(StoreError), writer.stage_version(bad):
                pass

    def test_one_checkpoint_is_kept_until_dropped(self, store: StorePort) -> None:
        with store.writer(ID) as writer:
            sink = writer.checkpoints()
            sink.save(lambda folder: fill_version(folder, "step 10"))
            sink.save(lambda folder: fill_version(folder, "step 20"))
            assert weights(store.checkpoint(ID)) == "step 20"
        assert weights(store.checkpoint(ID)) == "step 20"
        with store.writer(ID) as writer:
            writer.drop_checkpoint()
            writer.drop_checkpoint()
        assert store.checkpoint(ID) is None

    def test_a_checkpoint_that_fails_leaves_the_old_one(self, store: StorePort) -> None:
        def fail(folder: Path) -> None:
            (folder / "adapter_model.safetensors").write_text("half")
            raise KeyError("out of memory")

        with store.writer(ID) as writer:
            writer.checkpoints().save(lambda folder: fill_version(folder, "whole"))
            with pytest.raises(KeyError):
                writer.checkpoints().save(fail)
        assert weights(store.checkpoint(ID)) == "whole"

    def test_a_staged_version_can_become_the_checkpoint(self, store: StorePort) -> None:
        with store.writer(ID) as writer:
            with writer.stage_version() as staged:
                fill_version(staged.folder, "interrupted")
                staged.keep_as_checkpoint()
            assert weights(store.checkpoint(ID)) == "interrupted"
            assert store.current(ID) is None

    def test_logs_and_summaries_come_back(self, store: StorePort) -> None:
        name = "train-000001-20260423T184211"
        with store.writer(ID) as writer:
            writer.append_log(name, {"type": "step", "step": 1, "loss": 2.5})
            writer.append_log(name, {"type": "step", "step": 2, "loss": float("nan")})
            path = writer.save_summary(name, {"steps": 2, "note": "é", "final_val_loss": float("inf")})
        assert path == f"logs/{name}.summary.json"
        assert [line["loss"] for line in store.read_log(ID, name)] == [2.5, None]
        assert store.read_summary(ID, name) == {"steps": 2, "note": "é", "final_val_loss": None}

    def test_log_names_stay_inside_the_log_folder(self, store: StorePort) -> None:
        with store.writer(ID) as writer:
            for bad in ("", "../x", "a/b", ".hidden", "x" * 101, "a\n"):
                with pytest.raises(StoreError) as caught:
                    writer.append_log(bad, {})
                assert caught.value.code == "store.bad-log-name"

    def test_one_writer_at_a_time_per_document(self, store: StorePort) -> None:
        with store.writer(ID):
            with pytest.raises(StoreError) as caught, store.writer(ID, break_stale=True):
                pass
            assert caught.value.code == "store.locked"
            with store.writer(OTHER_ID):
                pass
        with store.writer(ID):
            pass

    def test_a_failing_writer_lets_go(self, store: StorePort) -> None:
        with pytest.raises(KeyError), store.writer(ID):
            raise KeyError("anything")
        with store.writer(ID):
            pass

    def test_a_waiting_writer_gets_its_turn(self, store: StorePort) -> None:
        inside, leave, order = threading.Event(), threading.Event(), []

        def first() -> None:
            with store.writer(ID):
                inside.set()
                leave.wait(10)
                order.append("first")

        thread = threading.Thread(target=first)
        thread.start()
        inside.wait(10)
        threading.Timer(0.2, leave.set).start()
        with store.writer(ID, wait_s=10):
            order.append("second")
        thread.join()
        assert order == ["first", "second"]

    def test_discard_takes_back_a_fresh_store_only(self, store: StorePort) -> None:
        with store.writer(ID) as writer:
            writer.save_manifest(a_manifest())
            with pytest.raises(StoreError) as caught:
                store.discard(ID)
            assert caught.value.code == "store.locked"
        store.discard(ID)
        assert store.manifest(ID) is None
        with store.writer(ID) as writer:
            commit(writer, "one", "code")
        with pytest.raises(StoreError) as caught:
            store.discard(ID)
        assert caught.value.code == "store.not-empty"
        assert store.current(ID, "code") is not None

    def test_discard_keeps_a_store_that_remembers_a_run(self, store: StorePort) -> None:
        with store.writer(ID) as writer:
            writer.save_manifest(a_manifest().reserve_run(started_at=A_MOMENT, seed=1)[0])
        with pytest.raises(StoreError) as caught:
            store.discard(ID)
        assert caught.value.code == "store.not-empty"

    def test_size_counts_what_is_on_disk(self, store: StorePort) -> None:
        with store.writer(ID) as writer:
            before = store.size(ID).total
            commit(writer, "x" * 1000)
            assert store.size(ID).total >= before + 2000
