"""The workspace: every part replaceable, nothing shared that should not be, safe in threads and event loops."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dlm.domain.document import Document
from dlm.domain.errors import Interrupted, StoreError, TrainingError, UsageError
from dlm.domain.events import Event, RunFinished, RunStarted, StepDone
from dlm.testing.galleries import MemoryGallery, a_template
from dlm.testing.trainers import FakeTrainer
from dlm.wiring import PLUGIN_GROUPS, Workspace, plugins
from run_cases import ID, FailingTrainer, RecordingTrainer, Scene, a_document

PORTS = (
    "store",
    "sources",
    "replay",
    "token_cache",
    "registry",
    "hardware",
    "trainer",
    "generator",
    "gallery",
    "metrics",
    "clock",
    "exports",
    "exporters",
    "adapter_files",
    "chat_format",
    "imatrix",
    "importance_cache",
    "runtime",
    "references",
    "launcher",
    "ollama",
    "packs",
    "installs",
    "signer",
    "trust",
    "verifier",
    "shares",
    "peers",
)
PROPERTIES = {port: port for port in PORTS} | {"metrics": "run_metrics"}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(folder=tmp_path)


class TestParts:
    @pytest.mark.parametrize("port", PORTS)
    def test_each_can_be_replaced(self, port: str, tmp_path: Path) -> None:
        mine: Any = object()
        assert getattr(Workspace(tmp_path, **{port: mine}), PROPERTIES[port]) is mine

    def test_these_are_all(self) -> None:
        known = set(inspect.signature(Workspace).parameters) - {"home", "environ"}
        assert known == set(PORTS)

    @pytest.mark.parametrize("port", PORTS)
    def test_each_has_a_real_one_made_once(self, port: str, tmp_path: Path) -> None:
        workspace = Workspace(tmp_path / "home")
        name = PROPERTIES[port]
        assert getattr(workspace, name) is getattr(workspace, name)
        assert not (tmp_path / "home").exists()

    def test_trainer_and_generator_share_the_loaded_base(self, tmp_path: Path) -> None:
        workspace = Workspace(tmp_path)
        trainer: Any = workspace.trainer
        generator: Any = workspace.generator
        assert trainer._bases is generator._bases

    def test_a_replaced_gallery_is_used(self, tmp_path: Path) -> None:
        workspace = Workspace(tmp_path, gallery=MemoryGallery([a_template()]))
        assert [meta.name for meta in workspace.templates()] == ["recipes"]
        assert workspace.refresh_templates().ok

    def test_plugins_are_listed_by_group(self) -> None:
        assert all(group in PLUGIN_GROUPS for group, _ in plugins())
        assert all(group.startswith("dlm.") for group in PLUGIN_GROUPS)


class TestHome:
    def test_given_named_by_the_environment_or_in_the_users_folder(self, tmp_path: Path) -> None:
        environ = {"DLM_HOME": str(tmp_path / "b"), "HOME": str(tmp_path)}
        assert Workspace(tmp_path / "a", environ=environ).home == tmp_path / "a"
        assert Workspace(environ=environ).home == tmp_path / "b"
        assert Workspace(environ={"HOME": str(tmp_path)}).home == tmp_path / ".dlm"
        assert repr(Workspace(tmp_path)) == f"Workspace(home={str(tmp_path)!r})"

    def test_empty_text_is_no_home(self) -> None:
        with pytest.raises(UsageError):
            Workspace("")

    def test_two_homes_do_not_meet(self, tmp_path: Path) -> None:
        from dlm.adapters.filesystem import FileStore

        scenes = [Scene(folder=tmp_path / name) for name in ("a", "b")]
        for scene in scenes:
            scene.store = FileStore(scene.folder / "home", scene.clock)
        scenes[0].train(a_document())
        assert scenes[1].manifest is None
        assert not (tmp_path / "b" / "home").exists()
        scenes[1].train(a_document(), seed=3)
        assert (scenes[0].manifest.training_runs[0].seed, scenes[1].manifest.training_runs[0].seed) == (42, 3)
        assert [scene.manifest.adapter_version for scene in scenes] == [1, 1]


class TestOptions:
    def test_the_environment_can_force_a_plan(self, scene: Scene) -> None:
        import attrs

        from dlm.domain.errors import HardwareError
        from dlm.testing.hardware import LAPTOP, FakeHardware

        small = attrs.evolve(LAPTOP, ram_gb=0.2, ram_free_gb=0.1)
        workspace = scene.workspace
        workspace.hardware = FakeHardware(small)
        with pytest.raises(HardwareError) as caught:
            workspace.train(a_document())
        assert "DLM_FORCE_PLAN=1" in str(caught.value.hint)
        workspace.environ = {"DLM_FORCE_PLAN": "1"}
        assert workspace.train(a_document()).status == "completed"

    def test_break_lock_reaches_the_store(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[bool] = []
        real = scene.store.writer

        def writer(dlm_id: str, *, wait_s: float = 0.0, break_stale: bool = False) -> Any:
            asked.append(break_stale)
            return real(dlm_id)

        monkeypatch.setattr(scene.store, "writer", writer)
        scene.train(a_document())
        scene.train(a_document(), break_lock=True)
        assert asked == [False, True]


class TestEventStream:
    def test_it_yields_what_happens_to_the_end(self, scene: Scene) -> None:
        events = list(scene.workspace.train_events(a_document(), max_steps=3))
        kinds = [type(event) for event in events]
        assert kinds.index(RunStarted) < kinds.index(StepDone)
        assert kinds.count(StepDone) == 3
        assert kinds[-1] is RunFinished
        assert scene.manifest.adapter_version == 1

    def test_events_come_while_the_run_goes_on(self, scene: Scene) -> None:
        scene.trainer = Patient()
        stream = scene.workspace.train_events(a_document())
        next(event for event in stream if isinstance(event, StepDone))
        assert scene.store.current(ID) is None
        scene.trainer.go_on.set()
        assert isinstance(list(stream)[-1], RunFinished)
        assert scene.store.current(ID) is not None

    def test_the_error_of_the_run_comes_after_its_last_event(self, scene: Scene) -> None:
        error = TrainingError("train.diverged", "no", hint="x")
        scene.trainer = FailingTrainer(error)
        seen: list[Event] = []
        with pytest.raises(TrainingError) as caught:
            seen.extend(scene.workspace.train_events(a_document()))
        assert caught.value is error
        assert caught.value.__cause__ is None

    def test_a_refusal_is_raised_at_the_first_step(self, scene: Scene) -> None:
        stream = scene.workspace.train_events(a_document(), max_steps=0)
        with pytest.raises(UsageError):
            next(stream)

    def test_closing_it_stops_the_run_and_keeps_a_checkpoint(self, scene: Scene) -> None:
        scene.trainer = UntilStopped()
        stream = scene.workspace.train_events(a_document())
        next(event for event in stream if isinstance(event, StepDone))
        close(stream)
        assert not [thread for thread in threading.enumerate() if thread.name == "dlm-run"]
        assert scene.last_run.status == "cancelled"
        assert scene.store.checkpoint(ID) is not None
        scene.trainer = FakeTrainer()
        assert scene.workspace.train(a_document(), mode="resume").status == "completed"

    def test_not_begun_means_not_run(self, scene: Scene) -> None:
        close(scene.workspace.train_events(a_document()))
        assert scene.manifest is None

    def test_an_exception_in_the_loop_stops_the_run(self, scene: Scene) -> None:
        scene.trainer = UntilStopped()

        def consume() -> None:
            stream = scene.workspace.train_events(a_document())
            try:
                for event in stream:
                    if isinstance(event, StepDone):
                        raise RuntimeError("mine")
            finally:
                close(stream)

        with pytest.raises(RuntimeError, match="mine"):
            consume()
        assert scene.last_run.status == "cancelled"
        with scene.store.writer(ID):
            """The run let go of its lock."""


class Patient(FakeTrainer):
    """Waits after each step until it may go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def train(self, job: Any, *, into: Path, emit: Any, **rest: Any) -> Any:
        def slowly(event: Any) -> None:
            emit(event)
            assert self.go_on.wait(20)

        return super().train(job, into=into, emit=slowly, **rest)


class UntilStopped(FakeTrainer):
    """Takes one step, then waits to be stopped."""

    def train(self, job: Any, *, into: Path, emit: Any, stop: Any, **rest: Any) -> Any:
        def patiently(event: Any) -> None:
            emit(event)
            for _ in range(2000):
                if stop():
                    return
                time.sleep(0.01)
            raise AssertionError("nobody asked to stop")

        return super().train(job, into=into, emit=patiently, stop=stop, **rest)


def close(stream: Iterator[Any]) -> None:
    stream.close()  # type: ignore[attr-defined]  # a generator, promised as an iterator only


class TestConcurrency:
    def test_it_works_inside_a_running_event_loop(self, scene: Scene) -> None:
        async def notebook() -> tuple[Any, str, int]:
            report = scene.workspace.train(a_document(), max_steps=2)
            answer = "".join(scene.workspace.prompt(a_document(), "When does the lighthouse close?"))
            n_events = sum(1 for _ in scene.workspace.train_events(a_document(), mode="fresh", max_steps=2))
            in_thread = await asyncio.to_thread(scene.workspace.exam, a_document())
            assert in_thread.own.right == 2
            return report, answer, n_events

        report, answer, n_events = asyncio.run(notebook())
        assert (report.steps, answer) == (2, "It closes at 6:40.")
        assert n_events > 2

    def test_threads_train_different_documents_at_once(self, scene: Scene) -> None:
        workspace = scene.workspace
        ids = [f"01KPXZ00000000000000000{n:03d}" for n in range(12)]
        documents = [a_document(dlm_id=dlm_id) for dlm_id in ids]
        with ThreadPoolExecutor(6) as pool:
            reports = list(pool.map(lambda document: workspace.train(document, max_steps=5), documents))
        assert [report.dlm_id for report in reports] == ids
        assert {(report.status, report.adapter_version) for report in reports} == {("completed", 1)}

    def test_of_two_trainings_of_one_document_one_is_refused(self, scene: Scene) -> None:
        scene.trainer = Patient()
        stream = scene.workspace.train_events(a_document(), mode="fresh")
        next(event for event in stream if isinstance(event, StepDone))
        with pytest.raises(StoreError) as caught:
            scene.workspace.train(a_document())
        assert caught.value.code == "store.locked"
        scene.trainer.go_on.set()
        list(stream)
        assert [run.status for run in scene.manifest.training_runs] == ["completed"]

    def test_asking_goes_on_while_another_thread_trains(self, scene: Scene) -> None:
        scene.train(a_document())
        scene.trainer = Patient()
        stream = scene.workspace.train_events(a_document(), mode="fresh")
        next(event for event in stream if isinstance(event, StepDone))
        assert "".join(scene.workspace.prompt(a_document(), "When does the lighthouse close?")) == "It closes at 6:40."
        scene.trainer.go_on.set()
        list(stream)
        assert scene.manifest.adapter_version == 2

    def test_the_bases_are_made_once_however_many_ask(self, tmp_path: Path) -> None:
        workspace = Workspace(tmp_path)
        start = threading.Barrier(8)

        def ask(number: int) -> Any:
            start.wait()
            port: Any = workspace.trainer if number % 2 else workspace.generator
            return port._bases

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(ask, range(8)))
        assert len({id(bases) for bases in found}) == 1


def test_it_never_configures_logging_or_leaves(scene: Scene, capfd: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    scene.train(a_document())
    list(scene.workspace.prompt(a_document(), "q?"))
    assert (root.level, list(root.handlers)) == before
    assert capfd.readouterr() == ("", "")


def test_the_same_call_twice_in_one_session(scene: Scene) -> None:
    scene.trainer = RecordingTrainer()
    document = a_document()
    first, second = scene.train(document), scene.train(document)
    assert (first.run_id, second.run_id) == (1, 2)
    assert scene.trainer.jobs[0] == scene.trainer.jobs[1]
    assert isinstance(document, Document)


def test_a_stop_asked_through_the_workspace(scene: Scene) -> None:
    with pytest.raises(Interrupted):
        scene.workspace.train(a_document(), stop=lambda: True)
