"""Training is killed, stopped, starved of disk and fed with poison; what was learned before stays usable."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dlm.domain.document import Document
from dlm.domain.errors import DiskError, DlmError, HardwareError, StoreError, TrainingError
from dlm.domain.events import StepDone
from dlm.wiring import Workspace
from run_cases import ID
from tiny_runs import (
    adapter_files,
    base_folder,
    command,
    document_on,
    environment,
    greedy,
    small_disk,
    steps_logged,
    training,
    tree,
    wait_until,
)

__all__ = ["base_folder"]

LONG = 200
"""Steps of the runs that are stopped on their way: a few seconds."""


@pytest.fixture(scope="module")
def uninterrupted(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Weights and settings of the long run, when nobody stops it."""
    home = tmp_path_factory.mktemp("whole")
    return adapter_files(Workspace(home, environ={}).train(document_on(base_folder, epochs=LONG)))


@pytest.fixture
def notes(tmp_path: Path, base_folder: Path) -> Path:
    path = tmp_path / "my notes.dlm"
    document_on(base_folder, path, epochs=LONG)
    return path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "kill"])
def test_a_stopped_run_goes_on_to_the_very_same_adapter(
    number: signal.Signals, notes: Path, tmp_path: Path, uninterrupted: tuple[bytes, bytes]
) -> None:
    home = tmp_path / "home"
    with training(home, notes) as process:
        wait_until(lambda: steps_logged(home, 1) >= 3, process)
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert out == ""
    assert f"dlm --home {home} train '{notes}' --resume" in err
    workspace, document = Workspace(home, environ={}), Document.load(notes)
    manifest = workspace.store.manifest(ID)
    assert manifest is not None
    assert [(run.status, run.adapter_version) for run in manifest.training_runs] == [("cancelled", 0)]
    assert 3 <= manifest.training_runs[0].steps < LONG
    assert workspace.store.checkpoint(ID) is not None
    assert not list(home.rglob(".lock"))

    if number is signal.SIGINT:
        done = subprocess.run(
            command(home, "train", notes, "--resume", "--json"),
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["steps"] == LONG
    else:
        assert workspace.train(document, mode="resume").steps == LONG
    assert adapter_files(home) == uninterrupted
    assert workspace.store.checkpoint(ID) is None


def test_a_killed_run_leaves_the_old_version_and_says_how_to_go_on(
    base_folder: Path, notes: Path, tmp_path: Path, uninterrupted: tuple[bytes, bytes]
) -> None:
    home = tmp_path / "home"
    workspace = Workspace(home, environ={})
    small, document = document_on(base_folder), Document.load(notes)
    workspace.train(small)
    before, answer = adapter_files(home), greedy(workspace, small)
    with training(home, notes) as process:
        wait_until(lambda: steps_logged(home, 2) >= 3, process)

        with pytest.raises(StoreError) as caught:  # while the other one is at work
            workspace.train(small, mode="fresh")
        assert caught.value.code == "store.locked"
        assert str(process.pid) in f"{caught.value} {caught.value.hint}"
        assert greedy(workspace, small) == answer

        process.kill()
        process.wait()
    assert adapter_files(home) == before
    assert greedy(workspace, small) == answer
    with pytest.raises(StoreError) as caught:
        workspace.train(document)
    assert caught.value.code == "store.lock-stale"
    assert "--break-lock" in str(caught.value.hint)
    assert str(process.pid) in caught.value.message

    report = workspace.train(document, break_lock=True)
    manifest = workspace.store.manifest(ID)
    assert manifest is not None
    assert [run.status for run in manifest.training_runs] == ["completed", "failed", "completed"]
    assert (report.run_id, report.adapter_version) == (3, 2)
    assert adapter_files(home) == uninterrupted
    assert not list(home.rglob(".staging*"))


def the_rest(home: Path) -> dict[str, bytes]:
    """Give the files of the adapter versions."""
    return tree(home / "store" / ID / "adapter")


@pytest.fixture(scope="module")
def trained_home(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("trained") / "home"
    Workspace(home, environ={}).train(document_on(base_folder))
    return home


class TestPoison:
    @pytest.fixture
    def trained(self, trained_home: Path, tmp_path: Path) -> Workspace:
        return Workspace(shutil.copytree(trained_home, tmp_path / "home"), environ={})

    def still_answers(self, workspace: Workspace, base_folder: Path, answer: str) -> None:
        assert greedy(workspace, document_on(base_folder)) == answer
        manifest = workspace.store.manifest(ID)
        assert manifest is not None
        assert manifest.adapter_version == 1
        assert [run.status for run in manifest.training_runs] == ["completed", "failed"]

    def test_steps_that_are_far_too_large(self, trained: Workspace, base_folder: Path) -> None:
        answer, before = greedy(trained, document_on(base_folder)), adapter_files(trained.home)
        wild = document_on(base_folder, epochs=40).edit(set={"training.learning_rate": 1e30})
        with pytest.raises(TrainingError) as caught:
            trained.train(wild)
        assert caught.value.code in ("train.diverged", "train.non-finite-weights")
        assert "learning_rate" in str(caught.value.hint)
        assert adapter_files(trained.home) == before
        self.still_answers(trained, base_folder, answer)

    def test_a_base_with_a_weight_that_is_no_number(self, base_folder: Path, tmp_path: Path) -> None:
        from safetensors.torch import load_file, save_file

        broken = tmp_path / "broken"
        shutil.copytree(base_folder, broken)
        tensors = load_file(broken / "model.safetensors")
        name = next(name for name in tensors if name.endswith("q_proj.weight"))
        tensors[name][0, 0] = float("nan")
        save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
        workspace = Workspace(tmp_path / "home", environ={})
        with pytest.raises(TrainingError) as caught:
            workspace.train(document_on(broken))
        assert caught.value.code == "train.diverged"
        assert workspace.store.current(ID) is None
        manifest = workspace.store.manifest(ID)
        assert manifest is not None
        assert (manifest.training_runs[0].status, manifest.training_runs[0].final_train_loss) == ("failed", None)

    def test_a_base_that_changes_under_the_adapter_is_noticed(
        self, trained: Workspace, base_folder: Path, tmp_path: Path
    ) -> None:
        """The lock compares the digest of a local folder, which has no revision."""
        from dlm.domain.errors import LockDriftError

        changed = tmp_path / "changed"
        shutil.copytree(base_folder, changed)
        workspace = Workspace(tmp_path / "other", environ={})
        workspace.train(document_on(changed), max_steps=1)
        data = bytearray((changed / "model.safetensors").read_bytes())
        data[-1] ^= 1
        (changed / "model.safetensors").write_bytes(bytes(data))
        os.utime(changed / "model.safetensors", (1, 1))
        with pytest.raises(LockDriftError, match="base_model_sha256"):
            workspace.train(document_on(changed), max_steps=1)

    def test_an_observer_that_fails_in_the_middle(self, trained: Workspace, base_folder: Path) -> None:
        answer = greedy(trained, document_on(base_folder))
        error = KeyError("mine")

        def observe(event: Any) -> None:
            if isinstance(event, StepDone) and event.step == 3:
                raise error

        with pytest.raises(KeyError) as caught:
            trained.train(document_on(base_folder), mode="fresh", on_event=observe)
        assert caught.value is error
        self.still_answers(trained, base_folder, answer)

    def test_memory_that_runs_out(self, trained: Workspace, base_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import torch

        answer = greedy(trained, document_on(base_folder))

        def too_large(*_: Any, **__: Any) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

        with monkeypatch.context() as patched:
            patched.setattr(torch.nn.utils, "clip_grad_norm_", too_large)
            with pytest.raises(HardwareError) as caught:
                trained.train(document_on(base_folder), mode="fresh")
        assert caught.value.code == "hardware.out-of-memory"
        self.still_answers(trained, base_folder, answer)


class TestDisks:
    def test_a_disk_that_fills_up_during_training(self, base_folder: Path, tmp_path: Path) -> None:
        with small_disk(tmp_path / "disk", "128m") as disk:
            workspace, document = Workspace(disk / "home", environ={}), document_on(base_folder)
            workspace.train(document)
            before, answer = the_rest(disk / "home"), greedy(workspace, document)

            def fill(event: Any) -> None:
                if isinstance(event, StepDone) and event.step == 2:
                    free = shutil.disk_usage(disk).free
                    (disk / "ballast").write_bytes(bytes(max(0, free - 8 * 4096)))

            with pytest.raises(DiskError) as caught:
                workspace.train(document, mode="fresh", on_event=fill)
            assert caught.value.code == "disk.full"
            assert the_rest(disk / "home") == before
            assert greedy(workspace, document) == answer
            assert not list((disk / "home").rglob(".lock"))

            (disk / "ballast").unlink()
            assert workspace.train(document, mode="fresh").adapter_version == 2

    def test_a_disk_with_too_little_room_from_the_start(self, base_folder: Path, tmp_path: Path) -> None:
        with small_disk(tmp_path / "disk", "8m") as disk:
            with pytest.raises(DiskError) as caught:
                Workspace(disk / "home", environ={}).train(document_on(base_folder))
            assert caught.value.code == "disk.preflight"
            assert not (disk / "home" / "store").exists()

    def test_a_home_that_cannot_be_written(self, base_folder: Path, tmp_path: Path) -> None:
        with small_disk(tmp_path / "disk", "128m") as disk:
            workspace, document = Workspace(disk / "home", environ={}), document_on(base_folder)
            workspace.train(document)
            answer, before = greedy(workspace, document), tree(disk)
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            with pytest.raises(DiskError) as caught:
                workspace.train(document, mode="fresh")
            assert caught.value.code == "disk.read-only"
            assert "--home" in str(caught.value.hint)
            assert Workspace(disk / "home", environ={}).exam(document).probes == 16
            assert greedy(workspace, document) == answer
            assert tree(disk) == before


def test_two_threads_of_one_process_take_turns_with_the_base(base_folder: Path, tmp_path: Path) -> None:
    """Different documents, one workspace: each gets what it would have got alone."""
    from concurrent.futures import ThreadPoolExecutor

    workspace = Workspace(tmp_path / "home", environ={})
    ids = [ID[:-1] + letter for letter in "ABC"]
    documents = [document_on(base_folder, dlm_id=dlm_id, epochs=4) for dlm_id in ids]
    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(workspace.train, documents))
    alone = adapter_files(Workspace(tmp_path / "alone", environ={}).train(documents[0]))
    assert [adapter_files(report) for report in reports] == [alone] * 3


def test_an_answer_left_half_read_does_not_block_training(base_folder: Path, tmp_path: Path) -> None:
    """As in a notebook: ask for a stream, take one piece, train again, read on."""
    workspace, document = Workspace(tmp_path / "home", environ={}), document_on(base_folder, epochs=2)
    first = workspace.train(document)
    pieces = workspace.prompt(document, "Who?", temperature=0, max_tokens=64)
    next(pieces)
    again = workspace.train(document, mode="fresh")
    assert adapter_files(again) == adapter_files(first)


def test_a_foreign_error_is_named_when_the_document_asks_for_the_impossible(base_folder: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "home", environ={})
    document = document_on(base_folder).edit(set={"training.target_modules": ["no_such_layer"]})
    with pytest.raises(DlmError) as caught:
        workspace.train(document)
    assert "no_such_layer" in caught.value.message
